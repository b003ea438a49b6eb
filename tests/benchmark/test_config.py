from dataclasses import asdict

import pytest

from isp_gym.benchmark.config import load_config
from isp_gym.errors import UserError

MINIMAL = "agents: {input: {}}\n"


def write(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_defaults_overrides_and_seeds(tmp_path):
    path = write(tmp_path, MINIMAL + "budget: 50\nscenes: {train: 9}\n")
    config = load_config(path, ["scenes.test=3", "budget=70", "agents.camera.target_mean=0.2"], num_seeds=2)
    assert (config.budget, config.scenes.train, config.scenes.test, config.seeds) == (70, 9, 3, [0, 1])
    assert config.agent_spec("camera") == ("camera", {"target_mean": 0.2})
    assert config.setting("test").num_scenes == 3


@pytest.mark.parametrize(
    ("overrides", "data"),
    [
        ([], "photos"),
        (["task=detection"], "synthetic"),
        (["task=segmentation:some/network"], "synthetic"),
        (["task=detection", "data=skimage"], "skimage"),
    ],
)
def test_data_is_by_default_what_suits_the_task(tmp_path, overrides, data):
    config = load_config(write(tmp_path, MINIMAL), overrides)
    assert config.data == config.setting("train").data == asdict(config)["data"] == data


def test_one_agent_twice_under_two_names(tmp_path):
    path = write(tmp_path, "agents:\n  dark: {agent: camera, target_mean: 0.1}\n  camera:\n")
    config = load_config(path)
    assert config.agent_spec("dark") == ("camera", {"target_mean": 0.1})
    assert config.agent_spec("camera") == ("camera", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agents: {posips: {}}", "unknown agent 'posips'; did you mean 'posisp'"),
        (MINIMAL + "buget: 3", "unknown config key 'buget'; did you mean 'budget'"),
        (MINIMAL + "scenes: {training: 3}", "training"),
        (MINIMAL + "budget: many", "budget.*many"),
        (MINIMAL + "budget: 0", "'budget' must be at least 1"),
        (MINIMAL + "seeds: []", "'seeds'"),
        (MINIMAL + "seeds: [1, 1]", "'seeds'"),
        (MINIMAL + "scenes: {test: 0}", "num_scenes must be at least 1"),
        (MINIMAL + "image_size: 8", "image_size must be at least 16"),
        (MINIMAL + "max_length: 0", "max_length"),
        (MINIMAL + "task: detektion", "unknown task 'detektion'"),
        (MINIMAL + "bank: refrence", "did you mean 'reference'"),
        (MINIMAL + "modules: [gamma, denoize]", "unknown module 'denoize'; did you mean 'denoise'"),
        (MINIMAL + "reward: {hihg: 1}", "unknown reward setting 'hihg'; did you mean 'high'"),
        (MINIMAL + "data: flickr", "flickr"),
        (MINIMAL + "data: 'folder:/no/such/folder'", "/no/such/folder"),
        (MINIMAL + "device: abacus", "device 'abacus'"),
        ("agents: {posisp: {sequence_lr: fast}}", "sequence_lr"),
        ("agents: {posisp: 3}", "must be a mapping"),
        ("agents: {}", "names no agents"),
        ("- a list", "must be a mapping"),
        ("agents: {input: {}", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        load_config(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="no config file at"):
        load_config(tmp_path / "none.yaml")


def test_override_without_a_value(tmp_path):
    with pytest.raises(UserError, match="key=value"):
        load_config(write(tmp_path, MINIMAL), ["budget"])
