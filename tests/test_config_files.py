import runpy
import shutil
from pathlib import Path

import pytest
import setuptools

import isp_gym
from isp_gym.config_files import find_config, read_configs, shipped_configs
from isp_gym.errors import UserError

CONFIGS = Path(__file__).parents[1] / "configs"


def test_each_file_of_configs_is_shipped_under_its_name():
    assert shipped_configs() == {path.stem: path for path in CONFIGS.glob("*.yaml")} != {}


def test_a_name_is_found_from_any_folder_and_a_file_only_if_written_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("quick", "quick.yaml", "mine.yml"):
        (tmp_path / name).write_text("budget: 1")
    assert find_config("quick") == CONFIGS / "quick.yaml"
    assert [
        find_config(name) for name in ("./quick", "quick.yaml", "mine.yml", Path("quick"), str(tmp_path / "quick"))
    ] == [
        Path("quick"),
        Path("quick.yaml"),
        Path("mine.yml"),
        Path("quick"),
        tmp_path / "quick",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("qiuck", "unknown config 'qiuck'; did you mean 'quick'.*known: .*small.*a file is written as a path: ./qiuck"),
        ("", "unknown config ''"),
        ("none.yaml", "no config file at 'none.yaml'$"),
        ("configs/quick.yaml", "no config file at 'configs/quick.yaml'; the one that is shipped is --config quick"),
        ("./quick", "no config file at './quick'; the one"),
        (".", "config"),
    ],
)
def test_what_there_is_not_is_said_with_what_there_is(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        find_config(name)


def test_configs_in_a_wheel_lie_inside_the_package(tmp_path, monkeypatch):
    shutil.copytree(CONFIGS, tmp_path / "isp_gym" / "configs")
    monkeypatch.setattr(isp_gym, "__file__", str(tmp_path / "isp_gym" / "__init__.py"))
    assert find_config("quick") == tmp_path / "isp_gym" / "configs" / "quick.yaml"


def test_setup_puts_them_there(monkeypatch):
    """The packages that are built: all that have code, and ``configs`` inside ``isp_gym``."""
    monkeypatch.chdir(CONFIGS.parent)
    said = {}
    monkeypatch.setattr(setuptools, "setup", lambda **keywords: said.update(keywords))
    runpy.run_path("setup.py")
    folders = {path.parent for top in ("isp_gym", "agents", "baselines") for path in Path(top).rglob("*.py")}
    assert {".".join(folder.parts) for folder in folders} | {"isp_gym.configs"} <= set(said["packages"])
    assert said["package_dir"] == {"isp_gym.configs": "configs"}
    assert '"isp_gym.configs" = ["*.yaml"]' in Path("pyproject.toml").read_text()


def test_names_paths_and_values_are_read_alike(tmp_path):
    (tmp_path / "mine.yaml").write_text("budget: 8\nseeds: [4]")
    layered = read_configs(["quick", tmp_path / "mine.yaml"], ["image_size=32"])
    quick = read_configs("quick")
    assert layered == {**quick, "budget": 8, "seeds": [4], "image_size": 32}
    assert read_configs(layered, ["budget=9"]) == {**layered, "budget": 9}
