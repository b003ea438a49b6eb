"""``data_options``: what of a data source can be set, from every side that data can be named on."""

import json
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
import torch
from PIL import Image

import isp_gym.data.cache
from isp_gym.data import DataSource, LazyStore, Scene, SceneSet, check_data, data_card, load_scenes
from isp_gym.data.unprocess import UnprocessSettings
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.testing import check_data_source

DARK = {"light": [0.01, 0.02]}
COCO_OBJECT = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [5, 5, 20, 20], "iscrowd": 0, "area": 400}


@dataclass(frozen=True)
class Level:
    level: float = 0.5

    def __post_init__(self):
        if not 0 <= self.level <= 1:
            raise ValueError(f"level must lie in [0, 1], not {self.level!r}")


class Flat(DataSource):
    name, licence, reference, description, options = "flat", "MIT", "this test", "grey", Level

    def version(self):
        return "1"

    def check(self, argument):
        pass

    def fingerprint(self, argument):
        return "1"

    def load(self, argument, split, count, image_size, seed, on_error="raise", options=None):
        def scene(k):
            noise = torch.from_numpy(np.random.default_rng([len(split), k]).random((3, image_size, image_size)))
            return Scene((noise * (options or Level()).level).float(), None, f"{split}/{k}")

        names = [str(k) for k in range(count)]
        return SceneSet(LazyStore(scene, count), [f"{split}/{k}" for k in names], names, split, self.name)


FLAT = f"{__name__}:Flat"


@pytest.fixture
def data(request, tmp_path, monkeypatch):
    """A data spec of each kind that unprocesses."""
    monkeypatch.setenv("ISP_GYM_CACHE", str(tmp_path / "cache"))
    if ":" not in request.param:
        return request.param
    kind, root = request.param.partition(":")[0], tmp_path / "mine"
    for split, seeds in (("train", range(3)), ("val", range(3, 5)), ("test", range(5, 7))):
        names = [f"{seed}.png" for seed in seeds]
        (root / split).mkdir(parents=True)
        for seed, name in zip(seeds, names, strict=True):
            pixels = np.random.default_rng(seed).integers(60, 200, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(root / split / name)
        if kind == "coco":
            (root / "annotations").mkdir(exist_ok=True)
            images = [{"id": i, "file_name": name, "width": 40, "height": 40} for i, name in enumerate(names)]
            content = {"images": images, "annotations": [COCO_OBJECT], "categories": [{"id": 1, "name": "dog"}]}
            (root / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return f"{kind}:{root}"


SPECS = pytest.mark.parametrize("data", ["photos", "synthetic", "folder:", "coco:"], indirect=True)


@SPECS
class TestEverySourceThatUnprocesses:
    def test_the_light_is_what_was_asked_for(self, data):
        scenes, darker = load_scenes(data, count=2, image_size=24), load_scenes(data, "train", 2, 24, options=DARK)
        assert torch.equal(scenes.targets, darker.targets)
        assert (darker.images.mean((1, 2, 3)) < scenes.images.mean((1, 2, 3)) / 2).all()

    def test_without_options_scenes_are_as_before(self, data):
        plain = load_scenes(data, count=2, image_size=24).images
        default = {"light": list(UnprocessSettings().light)}
        for options in (None, {}, default):
            again = load_scenes(data, count=2, image_size=24, options=options)
            assert torch.equal(again.images, plain)
            assert again.options == {} and "options" not in data_card([again])

    def test_the_card_records_all_of_them(self, data):
        card = data_card([load_scenes(data, count=1, image_size=24, options=DARK).to("cpu")])
        assert card["options"]["light"] == DARK["light"]
        assert card["options"]["gamma"] == UnprocessSettings().gamma
        assert json.loads(json.dumps(card)) == card


@pytest.mark.parametrize("data", ["folder:", "coco:"], indirect=True)
def test_the_cache_keeps_them_apart(data, monkeypatch):
    def load(options):
        isp_gym.data.registry._load.cache_clear()
        return load_scenes(data, count=1, image_size=24, options=options).images

    first, darker = load(None), load(DARK)
    monkeypatch.setattr(isp_gym.data.cache, "_write", lambda *_: pytest.fail("it is in the cache already"))
    assert torch.equal(load(None), first)
    assert torch.equal(load(DARK), darker)
    assert not torch.equal(first, darker)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lihgt": [0.1, 0.2]}, "unknown key of data_options 'lihgt'; did you mean 'light'?"),
        (
            {"light": 0.1},
            r"light must be two numbers, 0 < low <= high <= 1, such as \[0.1, 0.4\], not 0.1",
        ),
        ({"light": [0.1]}, "data_options.light must be two numbers"),
        ({"light": ["a", "b"]}, "data_options.light must be two numbers"),
        ({"light": [0.3, 0.2]}, "data_options.light must be two numbers, 0 < low <= high <= 1, not"),
        ({"light": [0, 0.2]}, "data_options.light"),
        ({"light": [0.2, 2]}, "data_options.light"),
        ({"light": [0.2, float("nan")]}, "data_options.light"),
        ({"red_gain": [True, 2]}, "data_options.red_gain"),
        ({"digital_gain": [0.8, -0.1]}, "data_options.digital_gain must have a standard deviation of at least 0"),
        ({"read_noise_line": [2.0, float("inf")]}, "data_options.read_noise_line"),
        ({"read_noise_line": [2.0, 50]}, "data_options.read_noise_line gives a read variance above 1; lower"),
        ({"highlight_knee": 1}, "data_options.highlight_knee must be a number between 0 and 0.999, not 1"),
        ({"gamma": "2.2"}, "data_options.gamma must be a number between 0.1 and 10, not '2.2'"),
        ({"gamma": None}, "data_options.gamma"),
        ("light", "data_options must map names of options to values, not 'light'"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(options, message):
    for refuse in (check_data, lambda data, options: load_scenes(data, options=options)):
        with pytest.raises(UserError, match=message) as caught:
            refuse("photos", options)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", ["raw:PATH", "fivek:PATH", "lod:PATH", "lis:PATH"])
def test_sources_that_simulate_nothing_take_none(data):
    with pytest.raises(UserError, match="takes no options; leave them out"):
        check_data(data, DARK)


class TestEnvironments:
    def test_a_made_environment_shows_them_and_its_spec_survives_json(self):
        options = {"data": "photos", "num_scenes": 2, "image_size": 16, "data_options": DARK}
        env = gym.make("isp_gym:ISP/Sequence-v0", **options)
        again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
        plain = gym.make("isp_gym:ISP/Sequence-v0", **{**options, "data_options": None})
        seen = [np.asarray(one.reset(seed=0)[0]) for one in (env, again, plain)]
        assert np.array_equal(seen[0], seen[1])
        assert seen[0].mean() < seen[2].mean() / 2

    def test_the_options_are_left_as_they_came(self):
        given = {"light": [0.01, 0.02]}
        EnvConfig.of({"data": "photos", "data_options": given}).load_scenes()
        assert given == {"light": [0.01, 0.02]}

    def test_a_fault_is_found_before_any_image_is_loaded(self):
        with pytest.raises(UserError, match=r"data_options\.light"):
            gym.make("isp_gym:ISP/Sequence-v0", data="photos", data_options={"light": "dark"})


class TestPlugIns:
    def test_they_can_have_options_of_their_own(self):
        half, whole = (load_scenes(FLAT, count=2, image_size=8, options=o).images for o in (None, {"level": 1.0}))
        assert torch.allclose(half * 2, whole)
        with pytest.raises(UserError, match=r"data_options\.level must lie in \[0, 1\], not 2"):
            check_data(FLAT, {"level": 2})
        with pytest.raises(UserError, match=f"data_options of data={FLAT} do not fit"):
            check_data(FLAT, {"level": "high"})

    def test_the_check_sees_whether_they_arrive(self, monkeypatch):
        check_data_source(FLAT, options={"level": 0.25})
        monkeypatch.setattr(Flat, "load", lambda self, *args, load=Flat.load, options=None: load(self, *args))
        isp_gym.data.registry._load.cache_clear()
        with pytest.raises(AssertionError, match="its scenes are the same with data_options"):
            check_data_source(FLAT, options={"level": 0.25})
