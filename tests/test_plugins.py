"""Plug-ins of every kind, by name, by entry point, and not without trust; the examples are those of docs/plugins.md."""

import json
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
import torch
from gymnasium.envs.registration import EnvSpec

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym import plugins, testing
from isp_gym.benchmark.agent import agent_names, load_agent
from isp_gym.config import read_yaml, typed
from isp_gym.data import check_data, data_card, load_scenes, source_table
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.modules import get_bank
from isp_gym.networks import load_network
from isp_gym.rewards import Objective, get_reward
from isp_gym.rewards import table as reward_table
from isp_gym.tasks import default_data, get_task

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "plugins.md").read_text()
FILES = dict(re.findall(r"```python\n# (my_\w+\.py)\n(.*?)```", DOCS, re.S))

# Of each kind: the example, and what finds one by its name.
EXAMPLES = {
    "agents": ("my_agent:Brighten", load_agent),
    "tasks": ("my_task:Brightness", get_task),
    "networks": ("my_network:Brightest", load_network),
    "rewards": ("my_reward:Spread", get_reward),
    "modules": ("my_module:LIFT", lambda spec: get_bank("stable", ["exposure", spec])),
    "banks": ("my_module:small_bank", get_bank),
    "data": ("my_data:Ramps", lambda spec: load_scenes(spec, count=2, image_size=16)),
}
CHECKS = {
    "agents": testing.check_agent,
    "tasks": testing.check_task,
    "networks": testing.check_network,
    "rewards": testing.check_reward,
    "modules": testing.check_module,
    "banks": testing.check_bank,
    "data": testing.check_data_source,
}
every_kind = pytest.mark.parametrize("kind", plugins.KINDS)


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    """No test finds what another one has imported, nor its folder."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


def write(folder, files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    return folder


def distribution(folder, name, points):
    """What an installer leaves behind of a package with entry points {kind: {name: target}}."""
    lines = [f"[isp_gym.{kind}]\n" + "".join(f"{k} = {v}\n" for k, v in of.items()) for kind, of in points.items()]
    info = f"{name.replace('-', '_')}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    return write(folder, {f"{info}/METADATA": metadata, f"{info}/entry_points.txt": "\n".join(lines)})


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """The working directory, with the examples in it."""
    monkeypatch.chdir(write(tmp_path / "work", FILES))
    return tmp_path / "work"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package with the examples, installed elsewhere; each is called 'mine'."""
    site = distribution(tmp_path / "site", "my-lab", {kind: {"mine": spec} for kind, (spec, _) in EXAMPLES.items()})
    monkeypatch.syspath_prepend(write(site, FILES))
    monkeypatch.chdir(write(tmp_path / "elsewhere", {}))
    return site


def refused(call, *args):
    """The one line that is said."""
    with pytest.raises(UserError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestDocs:
    def test_there_is_an_example_of_every_kind(self):
        assert {spec.split(":")[0] + ".py" for spec, _ in EXAMPLES.values()} == set(FILES)

    @every_kind
    def test_the_table_has_every_kind_with_its_check(self, kind):
        (row,) = (line for line in DOCS.splitlines() if f"`isp_gym.{kind}` |" in line)
        check = row.split("|")[-2].strip(" `")
        assert check in testing.__all__ and getattr(testing, check) is CHECKS[kind]


class TestByName:
    @every_kind
    @pytest.mark.usefixtures("workplace")
    def test_it_is_found_in_the_working_directory(self, kind):
        spec, load = EXAMPLES[kind]
        assert load(spec)

    @every_kind
    @pytest.mark.usefixtures("workplace")
    def test_the_example_passes_its_check(self, kind):
        CHECKS[kind](EXAMPLES[kind][0])

    @every_kind
    @pytest.mark.usefixtures("installed")
    def test_it_is_found_by_its_entry_point(self, kind):
        assert EXAMPLES[kind][1]("mine")

    @every_kind
    @pytest.mark.usefixtures("installed")
    def test_checks_take_entry_points(self, kind):
        CHECKS[kind]("mine")

    @pytest.mark.usefixtures("workplace")
    def test_a_submodule(self, workplace):
        write(workplace, {"my_lab/__init__.py": "", "my_lab/deep.py": FILES["my_task.py"]})
        assert get_task("my_lab.deep:Brightness").name == "brightness"

    @pytest.mark.usefixtures("installed")
    def test_tables_list_entry_points(self):
        (reward,) = (row for row in reward_table() if row["name"] == "mine")
        assert (reward["low"], reward["high"], reward["uses"]) == (0.0, 0.5, "image")
        (data,) = (row for row in source_table() if row["name"] == "mine")
        assert data["licence"] == "MIT" and set(data) == set(source_table()[0])
        assert agent_names()["mine"] == "my_agent:Brighten"
        json.dumps([*reward_table(), *source_table()])

    def test_tables_survive_a_broken_package(self, tmp_path, monkeypatch):
        points = {"rewards": {"mine": "my_broken:R"}, "data": {"mine": "my_broken:D"}}
        monkeypatch.syspath_prepend(write(distribution(tmp_path, "my-lab", points), {"my_broken.py": "1 / 0"}))
        for rows in (reward_table(), source_table()):
            assert "ZeroDivisionError" in rows[-1]["description"] and set(rows[-1]) == set(rows[0])


OPTIONS = {
    "data": "my_data:Ramps",
    "task": "my_task:Brightness",
    "task_options": {"level": 0.25},
    "modules": ["exposure", "my_module:LIFT"],
    "objective": {"my_reward:Spread": 1.0, "anchor": 0.5},
    "num_scenes": 2,
    "image_size": 16,
}


class TestEnvironments:
    def play(self, options):
        env = gym.make("isp_gym:ISP/Sequence-v0", **options)
        again = gym.make(EnvSpec.from_json(env.spec.to_json()))
        _, info = env.reset(seed=0)
        again.reset(seed=0)
        action = env.action_space.sample()
        results = [each.step(action)[1] for each in (env, again)]
        assert results[0] == results[1]
        return info["initial_loss"]

    @pytest.mark.usefixtures("workplace")
    def test_all_kinds_at_once(self):
        self.play(OPTIONS)

    @pytest.mark.usefixtures("workplace")
    def test_the_task_and_its_options_count(self):
        options = {key: value for key, value in OPTIONS.items() if key != "objective"}
        scenes = load_scenes("my_data:Ramps", count=1, image_size=16)
        loss = self.play({**options, "num_scenes": 1})
        assert loss == pytest.approx(float((scenes.images.mean() - 0.25).abs()), abs=1e-6)

    @pytest.mark.usefixtures("workplace")
    def test_a_network(self):
        options = {"task": "detection:my_network:Brightest", "bank": "my_module:small_bank", "num_scenes": 1}
        assert self.play({**options, "image_size": 16}) >= 0

    @pytest.mark.usefixtures("installed")
    def test_all_kinds_by_entry_point(self):
        options = {"data": "mine", "task": "mine", "modules": ["exposure", "mine"], "objective": {"mine": 1.0}}
        self.play({**options, "num_scenes": 1, "image_size": 16})
        self.play({"task": "detection:mine", "bank": "mine", "num_scenes": 1, "image_size": 16})

    @pytest.mark.usefixtures("workplace")
    def test_the_same_in_yaml_and_on_the_command_line(self, workplace):
        lines = [
            "data: my_data:Ramps",
            "task: my_task:Brightness",
            "modules: [exposure, my_module:LIFT]",
            "objective: {my_reward:Spread: 1.0, anchor: 0.5}",
        ]
        (workplace / "a.yaml").write_text("\n".join(lines))
        (workplace / "b.yaml").write_text("task: enhancement")
        written = typed(EnvConfig, read_yaml("a.yaml"), "key")
        overrides = [line.replace(": ", "=", 1) for line in lines]
        assert written == typed(EnvConfig, read_yaml("b.yaml", overrides), "key")
        assert written.modules == OPTIONS["modules"] and written.objective == OPTIONS["objective"]
        EnvConfig.of({key: getattr(written, key) for key in ("data", "task", "modules", "objective")})


class TestTasksAndNetworks:
    @pytest.mark.usefixtures("workplace")
    def test_a_name_that_is_known_wins(self, workplace):
        (workplace / "detection.py").write_text("raise SystemExit('not me')")
        network = get_task("detection:my_network:Brightest").network
        assert type(network).__name__ == "Brightest"

    @pytest.mark.usefixtures("installed")
    def test_a_network_by_entry_point_is_loaded_once(self):
        assert get_task("segmentation:mine", {}).name == "segmentation"
        assert load_network("mine") is get_task("detection:mine").network

    def test_a_task_of_ones_own_takes_a_network_like_ours(self, workplace):
        source = "from isp_gym.tasks import Detection\nclass Boxes(Detection):\n    default_data = 'my_data:Ramps'\n"
        write(workplace, {"my_boxes.py": source})
        task = get_task("my_boxes:Boxes:my_network:Brightest")
        assert type(task.network).__name__ == "Brightest"
        assert default_data("my_boxes:Boxes") == "my_data:Ramps" == EnvConfig(task="my_boxes:Boxes").data

    @pytest.mark.usefixtures("workplace")
    def test_a_task_without_a_network(self):
        assert refused(get_task, "my_task:Brightness:yolo.pt").startswith("task 'my_task:Brightness' has no network")

    def test_a_folder_is_no_plug_in(self, workplace):
        assert "the folder has no config.json" in refused(load_network, str(write(workplace / "net", {})))


class TestBanks:
    @pytest.mark.usefixtures("workplace")
    def test_a_bank_is_made_again_from_what_it_remembers(self):
        bank = get_bank("stable", ["exposure", "my_module:LIFT"])
        assert (bank.names, bank.specs) == (("exposure", "lift"), ("exposure", "my_module:LIFT"))
        again = get_bank(bank.name, bank.specs)
        assert again.modules == bank.modules and again.specs == bank.specs
        images = torch.rand(1, 3, 16, 16)
        lifted = bank(images, torch.tensor([[1, 2]]), torch.ones(1, 2))
        torch.testing.assert_close(lifted, images + 0.2 * (1 - images))

    @pytest.mark.usefixtures("workplace")
    def test_modules_of_a_bank_of_ones_own(self):
        bank = get_bank("my_module:small_bank")
        assert (bank.name, bank.names) == (
            "my_module:small_bank",
            ("exposure", "gamma", "lift"),
        ) and bank.specs == bank.names
        part = get_bank(bank.name, ["lift", "gamma"])
        assert get_bank(part.name, part.specs).modules == (bank.modules[2], bank.modules[1])

    @pytest.mark.parametrize("value", ["get_bank('stable', ['gamma', 'tone'])", "get_bank('stable').modules[1:3]"])
    def test_a_bank_or_a_sequence(self, workplace, value):
        write(workplace, {"my_bank.py": f"from isp_gym.modules import get_bank\nBANK = {value}"})
        assert len(get_bank("my_bank:BANK").modules) == 2

    def test_ours_need_no_specs(self):
        assert get_bank("reference").specs == get_bank("reference").names


class TestData:
    SOURCE = FILES["my_data.py"].replace('    name = "ramps"\n', '    name = "ramps"\n    argument = "PATH"\n')

    @pytest.mark.usefixtures("workplace")
    def test_scenes_know_what_they_were_asked_for_as(self):
        scenes = load_scenes("my_data:Ramps", count=2, image_size=16)
        assert scenes.data == data_card([scenes])["spec"] == "my_data:Ramps"

    def test_an_argument_or_an_instance(self, workplace):
        saying = self.SOURCE.replace('"""There is always something."""', "self.seen = argument") + "\nRAMPS = Ramps()\n"
        write(workplace, {"my_path.py": saying})
        check_data("my_path:RAMPS:some/where:else")
        assert sys.modules["my_path"].RAMPS.seen == "some/where:else"
        assert refused(check_data, "my_path:Ramps") == "data 'my_path:Ramps' is written data=my_path:Ramps:PATH"
        testing.check_data_source("my_path:Ramps:x")

    @pytest.mark.usefixtures("workplace")
    def test_an_argument_too_many(self):
        assert refused(check_data, "my_data:Ramps:x").endswith("written data=my_data:Ramps, not data=my_data:Ramps:x")


class TestTrust:
    @every_kind
    @pytest.mark.usefixtures("workplace")
    def test_what_only_a_file_names_is_not_run(self, kind):
        spec, load = EXAMPLES[kind]
        with plugins.untrusted():
            message = refused(load, spec)
        assert message.endswith("is code that a file asks for; look at it, and add --allow-code to run it")
        assert spec.split(":")[0] not in sys.modules

    @every_kind
    @pytest.mark.usefixtures("installed")
    def test_nor_is_what_is_installed(self, kind):
        with plugins.untrusted():
            assert "of the package 'my-lab' is code" in refused(EXAMPLES[kind][1], "mine")

    @every_kind
    @pytest.mark.usefixtures("workplace")
    def test_what_the_user_names_is(self, kind):
        spec, load = EXAMPLES[kind]
        with plugins.untrusted([spec]):
            assert load(spec)
        with plugins.untrusted(allow=True):
            assert load(spec)

    @pytest.mark.usefixtures("workplace")
    def test_a_part_of_what_the_user_names_counts(self):
        with plugins.untrusted(["detection:my_network:Brightest", "my_data:Ramps:x"]):
            assert get_task("detection:my_network:Brightest").network
            refused(check_data, "my_data:Ramps:x")  # it takes no argument, but it is found
            assert "is code" in refused(get_task, "my_task:Brightness")

    def test_ours_need_none(self):
        with plugins.untrusted():
            assert load_agent("input") and get_task("detection") and get_bank("stable") and get_reward("eme")
            check_data("skimage")
            load_network("")

    def test_a_setting_of_somebody_is_made_but_does_not_pass(self, workplace):
        with plugins.untrusted():
            assert "is code" in refused(EnvConfig.of, {"task": "my_task:Brightness"})
        assert "my_task" not in sys.modules

    def test_a_pickled_checkpoint(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (write, (tmp_path / "evil", {}))

        torch.save(Evil(), tmp_path / "a.pt")
        with plugins.untrusted(["detection"]):
            message = refused(load_network, str(tmp_path / "a.pt"))
        assert message.startswith(f"the pickled checkpoint '{tmp_path / 'a.pt'}' is code that a file asks for")
        assert not (tmp_path / "evil").exists()

    def test_the_block_ends(self):
        with pytest.raises(KeyError), plugins.untrusted():
            raise KeyError
        plugins.require_trust("anything", "")


class TestSearch:
    def test_the_working_directory_is_searched_last(self, workplace):
        assert "wave" not in sys.modules
        (workplace / "wave.py").write_text("raise SystemExit('hidden')")
        assert plugins.find("agents", "wave:Wave_read").__module__ == "wave"
        del sys.modules["wave"]

    def test_files_there_hide_no_package(self, workplace):
        """As from a console script, which has its own folder first on the path."""
        hiding = dict.fromkeys(("torch.py", "numpy.py", "gymnasium.py", "agents.py"), "raise SystemExit('hidden')")
        write(workplace, hiding)
        code = "from isp_gym.tasks import get_task\nprint(get_task('my_task:Brightness', {'level': 0.25}).level)"
        script = write(workplace.parent / "bin", {"script.py": code}) / "script.py"
        run = [sys.executable, str(script)]
        done = subprocess.run(run, cwd=workplace, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        assert (done.stdout, done.returncode) == ("0.25\n", 0), done.stderr

    def test_a_folder_to_work_in_installs_nothing(self, workplace, monkeypatch):
        distribution(workplace, "isp-gym", {"agents": {"evil": "my_agent:Brighten"}})
        monkeypatch.syspath_prepend(str(workplace))
        assert "evil" not in agent_names()
        assert "unknown agent 'evil'" in refused(load_agent, "evil")

    def test_no_package_takes_the_name_of_ours(self, tmp_path, monkeypatch):
        points = {"agents": {"input": "my_agent:Brighten"}, "tasks": {"detection": "my_task:Brightness"}}
        monkeypatch.syspath_prepend(write(distribution(tmp_path, "a-lab", points), FILES))
        assert agent_names()["input"] == "baselines.fixed:InputAsIs"
        assert plugins.find("agents", "input").__name__ == "InputAsIs" and get_task("detection").name == "detection"

    def test_two_packages_with_the_same_name(self, tmp_path, monkeypatch):
        distribution(tmp_path, "a-lab", {"tasks": {"mine": "my_task:Brightness"}})
        distribution(tmp_path, "b-lab", {"tasks": {"mine": "my_other:Task"}})
        monkeypatch.syspath_prepend(str(write(tmp_path, FILES)))
        message = refused(get_task, "mine")
        assert re.search("[ab]-lab and [ab]-lab each have a task 'mine'; write my_", message)
        assert get_task("my_task:Brightness")

    def test_a_package_that_is_there_twice_is_one(self, tmp_path, monkeypatch):
        for name in ("one", "two"):
            folder = distribution(tmp_path / name, "my-lab", {"tasks": {"mine": f"my_task:{name}"}})
            monkeypatch.syspath_prepend(str(folder))
        assert plugins.plugin_names("tasks")["mine"] == "my_task:two"


BROKEN = {
    "my_raises.py": "raise RuntimeError('two\\nlines')",
    "my_exits.py": "import sys\nsys.exit('usage: ...')",
    "my_needs.py": "import my_missing",
    "my_plain.py": """
class Thing:
    pass
class Makes:
    def __init__(self, device):
        pass
thing = 3
def lists():
    return [3]
def takes(x):
    return x
""",
    "my_abstract.py": "from isp_gym.rewards import RewardTerm\nclass Half(RewardTerm): pass\n",
}


class TestErrors:
    @pytest.mark.parametrize(
        ("load", "spec", "message"),
        [
            (get_task, "my_raises:X", "cannot import task 'my_raises:X': RuntimeError: two lines"),
            (get_reward, "my_exits:X", "cannot import reward 'my_exits:X': SystemExit: usage: ..."),
            (
                get_bank,
                "my_needs:X",
                "cannot import bank 'my_needs:X': ModuleNotFoundError: No module named 'my_missing'",
            ),
            (load_agent, "my_plain:X", "agent 'my_plain:X': module 'my_plain' has no 'X'"),
            (get_task, "my_none.deep:X", "cannot import task 'my_none.deep:X': ModuleNotFoundError: No module named"),
            (get_task, "my_plain:Thing", "task 'my_plain:Thing' is no subclass of isp_gym.tasks.Task"),
            (get_task, "my_plain:thing", "task 'my_plain:thing' is no subclass of isp_gym.tasks.Task"),
            (get_reward, "my_plain:thing", "reward 'my_plain:thing' is of type int, and no RewardTerm"),
            (get_reward, "my_plain:Thing", "reward 'my_plain:Thing' is Thing, and no RewardTerm"),
            (get_reward, "my_abstract:Half", "cannot make reward 'my_abstract:Half': Can't instantiate abstract class"),
            (check_data, "my_plain:thing", "data 'my_plain:thing' is of type int, and no DataSource"),
            (load_network, "my_plain:Thing", "cannot make network 'my_plain:Thing': Thing() takes no arguments"),
            (load_network, "my_plain:takes", "cannot make network 'my_plain:takes': takes() got an unexpected"),
            (load_network, "my_plain:Makes", "network 'my_plain:Makes' makes a Makes, and no isp_gym.networks.Network"),
            (get_bank, "my_plain:thing", "bank 'my_plain:thing' is neither a bank nor a sequence of modules"),
            (get_bank, "my_plain:lists", "bank 'my_plain:lists' is neither a bank nor a sequence of modules"),
            (get_bank, "my_plain:takes", "cannot make bank 'my_plain:takes': takes() missing 1 required"),
            (EXAMPLES["modules"][1], "my_plain:thing", "module 'my_plain:thing' is of type int, and no Module"),
            (EXAMPLES["modules"][1], "gama", "unknown module 'gama'; did you mean 'gamma'?"),
            (get_task, "detecton:yolo", "unknown task 'detecton'; did you mean 'detection'?"),
            (get_task, "detecton:yolo", "nor is there a module 'detecton'"),
            (get_task, "", "unknown task ''"),
            (check_data, "folders:photos", "unknown data 'folders'; did you mean 'folder:PATH'?"),
            (get_reward, "entropie", "unknown reward 'entropie'; did you mean 'entropy'?"),
            (get_bank, "stabel", "unknown bank 'stabel'; did you mean 'stable'?"),
        ],
    )
    def test_it_is_one_line(self, workplace, load, spec, message):
        write(workplace, BROKEN)
        assert message in refused(load, spec)

    def test_a_module_named_twice(self, workplace):
        write(workplace, {"my_more.py": "from my_module import LIFT as MORE"})
        message = refused(get_bank, "stable", ["my_module:LIFT", "my_more:MORE"])
        assert "'lift' is named twice: my_module:LIFT, my_more:MORE" in message

    def test_an_objective_names_its_unknown_term(self):
        assert "unknown reward 'x'" in refused(Objective, get_task("enhancement"), {"x": 1.0})

    def test_there_is_no_such_kind(self):
        with pytest.raises(ValueError, match="no plug-ins of kind 'agent'"):
            plugins.find("agent", "input")
