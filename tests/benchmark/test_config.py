from dataclasses import fields

import pytest
import torch

from isp_gym.benchmark.config import CompareConfig, load_config
from isp_gym.benchmark.problem import Problem
from isp_gym.benchmark.training import Training
from isp_gym.budget import Budget
from isp_gym.data import DataSource, MemoryStore, SceneSet
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError

MINIMAL = "agents: {input: {}}\n"


def write(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def only(config):
    (problem,) = config.problems.values()
    return problem


def test_defaults_overrides_and_seeds(tmp_path):
    path = write(tmp_path, MINIMAL + "budget: 50\nscenes: {train: 9}\n")
    config = load_config(path, ["scenes.test=3", "budget=70", "agents.camera.target_mean=0.2"], num_seeds=2)
    problem = only(config)
    assert (problem.budget, problem.scenes.train, problem.scenes.test, config.seeds) == (70, 9, 3, [0, 1])
    assert config.agent_spec("camera") == ("camera", {"target_mean": 0.2})
    assert [problem.setting(split).num_scenes for split in ("train", "validation", "test")] == [9, 16, 3]


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
    config = CompareConfig.of({"agents": {"input": {}}, **dict(change.split("=") for change in overrides)})
    assert only(config).env.data == only(config).setting("train").data == config.flat()["data"] == data


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
        (MINIMAL + "split: test", "unknown config key 'split'"),
        (MINIMAL + "num_scenes: 3", "unknown config key 'num_scenes'"),
        (MINIMAL + "scenes: {training: 3}", "training"),
        (MINIMAL + "scenes: 5", "'scenes' must be a mapping, such as {train: 512, validation: 32, test: 32}, not 5"),
        (MINIMAL + "oracle: o.json", "'oracle' must be a mapping, such as {file: .*}, not 'o.json'"),
        (MINIMAL + "seeds: 5", r"'seeds' must be a list, such as \[0, 1, 2\], not 5"),
        (MINIMAL + "modules: gamma", "'modules' must be a list, not 'gamma'"),
        (MINIMAL + "budget: 0100", "YAML reads 0100 as 64"),
        (MINIMAL + "budget: 1.5", "'budget'.*1.5"),
        ("agents: [input]", r"'agents' must be a mapping, such as {posisp: {}, camera: {}}, not \['input'\]"),
        ("agents: {input: false}", "names no agents"),
        (MINIMAL + "budget: many", "budget.*many"),
        (MINIMAL + "budget: 0", "'budget' must be at least 1"),
        (MINIMAL + "curve_points: 0", "'curve_points' must be at least 1"),
        (MINIMAL + "steps_per_evaluation: 0.5", "'steps_per_evaluation' must be at least 1"),
        (MINIMAL + "steps_per_evaluation: .nan", "'steps_per_evaluation' must be at least 1"),
        (MINIMAL + "seeds: []", "'seeds'"),
        (MINIMAL + "seeds: [1, 1]", "'seeds'"),
        (MINIMAL + "seeds: [-1]", r"'seeds' must lie in \[0, 2\*\*64\)"),
        (MINIMAL + "seeds: [18446744073709551616]", r"'seeds' must lie in \[0, 2\*\*64\)"),
        (MINIMAL + "run_timeout: -1", "'run_timeout' must be at least 0"),
        (MINIMAL + "keep: 0", "'keep' must be at least 1"),
        (MINIMAL + "scenes: {test: 0}", "num_scenes must be at least 1"),
        (MINIMAL + "image_size: 8", "image_size must be at least 16"),
        (MINIMAL + "max_length: 0", "max_length"),
        (MINIMAL + "task: detektion", "unknown task 'detektion'"),
        (MINIMAL + "bank: refrence", "did you mean 'reference'"),
        (MINIMAL + "modules: [gamma, denoize]", "unknown module 'denoize'; did you mean 'denoise'"),
        (MINIMAL + "objective: {entopy: 1}", "did you mean 'entropy'"),
        (MINIMAL + "reward: {hihg: 1}", "unknown reward setting 'hihg'; did you mean 'high'"),
        (MINIMAL + "data: flickr", "flickr"),
        (MINIMAL + "data: 'folder:/no/such/folder'", "/no/such/folder"),
        (MINIMAL + "device: abacus", "device 'abacus'"),
        (MINIMAL + "problems: {}", "'problems' must map names to their keys"),
        (MINIMAL + "problems: {a: 3}", "'problems' must map names to their keys"),
        (MINIMAL + "problems: {a: {buget: 3}}", "unknown config key 'buget'"),
        (MINIMAL + "problems: {a: {seeds: [0]}}", "unknown config key 'seeds'"),
        (MINIMAL + "problems: {a/b: {}}", "'a/b' cannot be a folder's name"),
        ("agents: {'..': {agent: input}}", "cannot be a folder's name"),
        ("agents: {' x': {agent: input}}", "cannot be a folder's name"),
        ("agents: {posisp: {sequence_learning_rate: fast}}", "sequence_learning_rate"),
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


@pytest.mark.parametrize(
    ("text", "only", "names"),
    [
        ("a: {agent: input}, b: {agent: input}, c: {agent: input}", [], ["a", "b", "c"]),
        ("a: {agent: input}, b: false, c: {agent: input}", [], ["a", "c"]),
        ("a: {agent: input}, b: {agent: input}, c: {agent: input}", ["c,a"], ["a", "c"]),
        ("a: {agent: input}, b: {agent: input}, c: {agent: input}", ["b", "a"], ["a", "b"]),
        ("'a,b': {agent: input}, a: {agent: input}", ["a,b"], ["a,b"]),
    ],
)
def test_some_agents_of_a_config(tmp_path, text, only, names):
    config = load_config(write(tmp_path, f"agents: {{{text}}}"), only=only)
    assert list(config.agents) == list(config.flat()["agents"]) == names


def test_an_agent_that_the_config_has_not_cannot_be_chosen(tmp_path):
    with pytest.raises(UserError, match=r"unknown agent of the config 'camera' \(known: input\)"):
        load_config(write(tmp_path, MINIMAL), only=["input,camera"])


def test_whole_floats_are_integers(tmp_path):
    config = load_config(write(tmp_path, MINIMAL + "budget: 1e6\nscenes: {train: 1e1}\nseeds: [2e0]"))
    assert (only(config).budget, only(config).scenes.train, config.seeds) == (10**6, 10, [2])


def test_a_shipped_config_with_another_laid_over_it(tmp_path):
    config = load_config(["quick", write(tmp_path, "scenes: {test: 2}\nseeds: [7]\nagents: {dark: {agent: input}}")])
    scenes = only(config).scenes
    assert (scenes.train, scenes.validation, scenes.test, config.seeds) == (512, 32, 2, [7])
    assert list(config.agents)[-2:] == ["posisp", "dark"]


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="no config file at"):
        load_config(tmp_path / "none.yaml")


def test_override_without_a_value(tmp_path):
    with pytest.raises(UserError, match="key=value"):
        load_config(write(tmp_path, MINIMAL), ["budget"])


# Of each key another value than its default.
OTHERS = {
    "data": "synthetic",
    "data_options": {"light": [0.2, 0.3]},
    "image_size": 24,
    "scene_seed": 5,
    "bank": "reference",
    "modules": ["exposure", "gamma"],
    "max_length": 1,
    "task": "segmentation",
    "task_options": {"losses": ["box", "class"]},
    "on_error": "skip",
    "order": "typed",
    "repeats": True,
    "objective": {"entropy": 1.0},
    "reward": {"low": 0.02},
    "device": "cpu:0",
}


class TestEveryFieldOfTheSettingIsAKey:
    def test_all_have_another_value_here(self):
        assert set(OTHERS) == {field.name for field in fields(EnvConfig)} - {"split", "num_scenes"}
        assert all(getattr(EnvConfig(), key) != value for key, value in OTHERS.items())

    @pytest.mark.parametrize("key", OTHERS)
    def test_it_arrives_in_environments_training_and_results(self, tmp_path, key):
        keys = dict.fromkeys([key, *(["task"] if key == "task_options" else [])])
        file = write(tmp_path, MINIMAL + "\n".join(f"{k}: {OTHERS[k]}" for k in keys) + "\nscenes: {train: 2}")
        config = load_config(file)
        problem = only(config)
        assert problem.flat()[key] == config.flat()[key] == OTHERS[key]
        for split in ("train", "validation", "test"):
            assert getattr(problem.setting(split), key) == OTHERS[key]
        assert getattr(only(CompareConfig.of(config.flat())).setting("test"), key) == OTHERS[key]
        made = Training(problem.setting("train"), 0, Budget()).make("ISP/Sequence-v0").unwrapped
        assert made.spec.kwargs[key] == OTHERS[key]


class TestFlat:
    @pytest.mark.parametrize("several", [False, True])
    def test_makes_the_same_config_again(self, tiny, several):
        keys = {"problems": {"a": {}, "b": {"image_size": 24}}} if several else {"objective": {"entropy": 1.0}}
        config = tiny({"camera": {"target_mean": 0.2}}, **keys)
        assert CompareConfig.of(config.flat()) == config and config.several == several

    def test_a_problem_too(self, tiny):
        problem = only(tiny(order="typed"))
        assert Problem.of(problem.name, problem.flat()) == problem


class TestProblems:
    def test_lie_over_the_common_keys(self, tiny):
        problems = {"dark": {"scenes": {"test": 5}, "budget": 30}, "small": {"modules": ["gamma"]}}
        dark, small = tiny(problems=problems, scenes={"train": 4, "test": 3}).problems.values()
        assert (dark.name, dark.scenes.train, dark.scenes.test, dark.budget) == ("dark", 4, 5, 30)
        assert (small.scenes.test, small.budget, small.env.modules, dark.env.image_size) == (3, 16, ["gamma"], 16)

    def test_one_alone_may_be_named(self, tiny):
        config = tiny(problems={"mine": {}})
        assert not config.several and list(config.problems) == ["mine"]
        assert CompareConfig.of(config.flat()) == config


class Few(DataSource):
    """Six training scenes and three of each other split, as a folder of RAW files may have."""

    name = "few"
    licence = reference = description = ""

    def version(self):
        return "1"

    def check(self, argument):
        pass

    def fingerprint(self, argument):
        return ""

    def load(self, argument, split, count, image_size, seed, on_error="raise"):
        ids = [f"{split}/{i}" for i in range(6 if split == "train" else 3)][:count]
        images = torch.full((len(ids), 3, image_size, image_size), 0.1)
        return SceneSet(MemoryStore(images, images), ids, ids, split, "few")


class TestSceneCounts:
    """Reports once showed what was asked for: 16 training scenes of a set that has 6."""

    @staticmethod
    def problem(**scenes):
        return Problem.of("p", {"data": f"{__name__}:Few", "scenes": scenes, "image_size": 16})

    def test_too_many_is_an_error_that_says_how_many_there_are(self):
        with pytest.raises(UserError, match=r"scenes\.train=9, and data=.*Few has 6; ask for 6, or .*exact=false"):
            self.problem(train=9).counted()

    def test_what_there_is_on_request(self):
        counted = self.problem(train=9, test=2, exact=False).counted()
        assert (counted.scenes.train, counted.scenes.validation, counted.scenes.test) == (6, 3, 2)

    def test_by_default_all_there_are(self):
        counted = self.problem().counted()
        assert (counted.scenes.train, counted.scenes.validation, counted.scenes.test) == (6, 3, 3)
        assert counted.counted() == counted and counted.flat()["scenes"]["train"] == 6
