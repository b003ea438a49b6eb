"""README from top to bottom: its Python blocks run in order, its commands parse, and run on a small budget."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console

from isp_gym import config_files, testing
from isp_gym.benchmark.agent import agent_names
from isp_gym.benchmark.compare import compare
from isp_gym.benchmark.config import load_config, read_config
from isp_gym.benchmark.replay import replay_results
from isp_gym.cli import main, options
from isp_gym.cli.app import app
from isp_gym.envs import environment_table
from isp_gym.envs.config import EnvConfig
from isp_gym.testing import check_agent

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "examples/plugins/README.md"]
PAGES += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
TINY = [
    "budget=32",
    "seeds=[0]",
    "scenes={train: 8, validation: 1, test: 1}",
    "image_size=36",
    "pictures=1",
    "curve_points=1",
]


def commands(page):
    """Every ``isp-gym`` line of a page, of shell blocks and of inline code, in order, as lists of words."""
    text = (ROOT / page).read_text().replace("\\\n", " ")
    blocks = r"^isp-gym .*$(?=(?:(?!^```).*\n)*?```$)"
    found = [match.group().strip("`") for match in re.finditer(rf"{blocks}|`isp-gym [a-z][^`\n]+`", text, re.M)]
    return [shlex.split(line, comments=True)[1:] for line in found]


def parse(words):
    """Options and arguments of a command line, as the real one reads them; nothing for a mention without values."""
    name, *rest = words
    command = typer.main.get_command(app).commands[name]
    if all(word.startswith("--") for word in rest):
        assert set(rest) <= {option for parameter in command.params for option in parameter.opts}
        return {}
    return command.make_context(name, rest).params


EVERY_COMMAND = [pytest.param(words, id=f"{page}: {' '.join(words)}") for page in PAGES for words in commands(page)]


class Anywhere(type(Path())):
    """A path at which there is something."""

    def exists(self):
        return True

    def is_dir(self):
        return not self.suffix


class TestCommands:
    def test_there_are_some(self):
        assert len(commands("README.md")) >= 7 and len(EVERY_COMMAND) > 40

    @pytest.mark.parametrize("words", EVERY_COMMAND)
    def test_the_real_command_line_takes_it(self, words, monkeypatch):
        monkeypatch.setattr(options, "Path", Anywhere)  # what earlier lines of a page make is not there
        given = parse(words)
        configs = [name for name in given.get("config") or () if not name.startswith("runs/")]
        if configs:
            assert read_config(configs, given.get("overrides") or ())

    def test_every_command_has_its_row_with_an_example_of_it(self):
        rows = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs" / "commands.md").read_text(), re.M)
        assert sorted(rows) == sorted(typer.main.get_command(app).commands)
        assert [words[0] for words in commands("docs/commands.md")] == rows


def test_python_blocks_run_in_order():
    scope: dict = {}
    for block in PYTHON:
        exec(block, scope)
    assert scope["observation"].shape == (3, 64, 64) and scope["terminated"]
    scope["model"].learn(32)
    assert {"env", "envs", "model", "BestOfMany"} <= set(scope)


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """A folder with what the README has its reader make, where the shipped configs name one agent."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d", "e"):
        (tmp_path / "PATH").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)).save(tmp_path / "PATH" / f"{name}.png")
    shipped = {name: tmp_path / f"{name}.yaml" for name in ("quick", "detection")}
    for name, path in shipped.items():
        config = OmegaConf.load(config_files.find_config(name))
        config.agents = {"posisp": config.agents.posisp}
        OmegaConf.save(config, path)
    monkeypatch.setattr(config_files, "shipped_configs", lambda: shipped)
    (tmp_path / "my_agent.py").write_text(next(block for block in PYTHON if block.startswith("# my_agent.py")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("my_agent", None)


def test_commands_run_from_top_to_bottom(newcomer, monkeypatch, capfd):
    """All but the one that needs somebody's own detector."""
    written = [words for words in commands("README.md") if "MY_DETECTOR" not in " ".join(words)]
    assert len(written) == len(commands("README.md")) - 1
    for words in written:
        monkeypatch.setattr(sys, "argv", ["isp-gym", *words, *(TINY if words[0] in ("compare", "train") else [])])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, capfd.readouterr().err
    assert (newcomer / "runs" / "quick" / "report.html").is_file()


class TestItsOwnAgent:
    """It once failed `check_agent`, and its rows did not replay."""

    (CODE,) = (example for example in PYTHON if example.startswith("# my_agent.py"))

    @pytest.fixture(autouse=True)
    def forgotten(self):
        """Other tests have a `my_agent` of their own."""
        yield
        sys.modules.pop("my_agent", None)

    def test_passes_the_check(self):
        scope: dict = {}
        exec(self.CODE, scope)
        check_agent(scope["BestOfMany"], setting=EnvConfig(num_scenes=4, image_size=16), budget=16)

    def test_takes_part_and_its_rows_replay(self, tmp_path, monkeypatch):
        (tmp_path / "my_agent.py").write_text(self.CODE)
        monkeypatch.chdir(tmp_path)
        (command,) = re.findall(r"isp-gym compare --config quick .*(agents\.mine\S+)", README)
        small = ["budget=40", "image_size=36", "scenes={train: 4, validation: 2, test: 2}"]
        config = load_config(ROOT / "configs" / "quick.yaml", [*small, command], num_seeds=6)
        config.agents = {"mine": config.agents["mine"]}
        rows = compare(config, tmp_path / "run", jobs=2, console=Console(quiet=True))["rows"]
        assert [(row["agent"], row["task_evaluations"]) for row in rows] == [("mine", 40)] * 6
        assert all(len(set(scene["sequence"])) == len(scene["sequence"]) for row in rows for scene in row["scenes"])
        assert sum(row["refused"] for row in rows) > 0  # it samples modules twice
        replayed = replay_results(tmp_path / "run" / "results.json")
        assert [(one.checked, one.faults) for one in replayed] == [(["pipelines", "log"], [])] * 6


class TestContributing:
    TEXT = (ROOT / "CONTRIBUTING.md").read_text()

    @pytest.mark.parametrize("check", testing.__all__)
    def test_every_check_is_on_a_checklist(self, check):
        assert f"- [ ] Check: `{check}(" in self.TEXT

    def test_the_files_that_it_names_are_there(self):
        paths = re.findall(r"`([\w./]+/\w+\.\w+)`", self.TEXT)
        missing = [path for path in paths if not re.search("NAME|KIND", path) and not (ROOT / path).is_file()]
        assert len(paths) > 15 and not missing


def test_its_table_has_every_environment():
    assert re.findall(r"`(ISP/\w+-v\d+)`", README) == [row["id"] for row in environment_table()]


@pytest.mark.parametrize("name", sorted(agent_names()))
def test_every_agent_of_ours_is_in_the_docs(name):
    assert f"| `{name}` |" in (ROOT / "docs" / "comparisons.md").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """To files that exist, and to headings of theirs."""
    for link in re.findall(r"\]\(((?!http)[^)]+)\)", (ROOT / page).read_text()):
        path, _, heading = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
            assert heading in [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles], link
