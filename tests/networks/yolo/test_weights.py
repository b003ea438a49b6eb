import os
import shutil
import subprocess
import sys
import types

import pytest
import torch

from isp_gym.errors import UserError
from isp_gym.networks.yolo.network import YOLONetwork
from isp_gym.networks.yolo.weights import import_ultralytics

full = pytest.mark.full


def test_without_ultralytics(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ultralytics.nn", None)
    (tmp_path / "yolo11n.pt").write_bytes(b"")
    import_ultralytics.cache_clear()
    with pytest.raises(UserError, match=r"need ultralytics.*pip install 'isp-gym\[yolo\]'"):
        YOLONetwork(str(tmp_path / "yolo11n.pt"))
    import_ultralytics.cache_clear()


def test_a_file_that_does_not_exist_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"yolo11n\.pt: there is no such file, and none is downloaded"):
        YOLONetwork("yolo11n.pt")
    assert not list(tmp_path.iterdir())


@full
class TestFiles:
    def refused(self, path):
        with pytest.raises(UserError, match=rf"cannot use YOLO weights .*{path.name}: it is damaged, or no detection"):
            YOLONetwork(str(path))
        return True

    @pytest.mark.parametrize("content", [b"", b"no weights", b"PK\3\4"])
    def test_something_else(self, tmp_path, content):
        (tmp_path / "a.pt").write_bytes(content)
        assert self.refused(tmp_path / "a.pt")

    @pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
    def test_truncated(self, save_yolo, tmp_path, keep):
        with open(save_yolo("yolo11n"), "rb") as file:
            content = file.read()
        (tmp_path / "a.pt").write_bytes(content[: int(len(content) * keep)])
        assert self.refused(tmp_path / "a.pt")

    @pytest.mark.parametrize("content", [{"weight": torch.zeros(3)}, {}, torch.zeros(3), [1, 2], {"model": {"a": 1}}])
    def test_other_tensors(self, tmp_path, content):
        torch.save(content, tmp_path / "a.pt")
        assert self.refused(tmp_path / "a.pt")

    @pytest.mark.parametrize("config", ["yolo11n-cls", "yolo11n-pose", "yolo11n-obb"])
    def test_other_tasks(self, tmp_path, config):
        import_ultralytics()
        from ultralytics import YOLO

        YOLO(f"{config}.yaml").save(tmp_path / "a.pt")
        assert self.refused(tmp_path / "a.pt")

    def test_what_is_missing_is_not_installed(self, tmp_path, monkeypatch):
        import_ultralytics()
        from ultralytics.utils import checks

        module = types.ModuleType("no_such_package_of_mine")
        exec("class Model: pass", module.__dict__)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        torch.save({"model": module.Model()}, tmp_path / "a.pt")
        monkeypatch.delitem(sys.modules, module.__name__)
        started = []
        monkeypatch.setattr(checks, "ONLINE", True)
        monkeypatch.setattr(subprocess, "run", lambda *command, **_: started.append(command))
        monkeypatch.setattr(subprocess, "check_output", lambda *command, **_: started.append(command))
        assert self.refused(tmp_path / "a.pt")
        assert not started

    @pytest.mark.parametrize("name", ["yolo11n.pt", "yolov3.pt", "yolov5s.pt"])
    def test_a_damaged_file_with_a_known_name_is_not_replaced(self, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).write_bytes(b"damaged")
        with pytest.raises(UserError, match="it is damaged"):
            YOLONetwork(name)
        assert (tmp_path / name).read_bytes() == b"damaged" and len(list(tmp_path.iterdir())) == 1

    @pytest.mark.parametrize("name", ["yolov5s.pt", "bob's weights .pt"])
    def test_any_name(self, save_yolo, tmp_path, name):
        shutil.copy(save_yolo("yolo11n"), tmp_path / name)
        assert YOLONetwork(str(tmp_path / name)).classes[:2] == ("0", "1")


QUIET = """
import os, sys, warnings
import cv2, numpy as np, torch
from isp_gym.networks.yolo.network import YOLONetwork

state = lambda: (dict(os.environ), np.get_printoptions(), cv2.getNumThreads(), warnings.filters[:])
before = state()
network = YOLONetwork(sys.argv[1])
network.detect(torch.rand(1, 3, 64, 64))
assert state() == before, [pair for pair in zip(state(), before) if pair[0] != pair[1]]
"""


@full
def test_it_leaves_no_trace(save_yolo, tmp_path):
    folders = {name: tmp_path / name for name in ("home", "temporary", "work")}
    for folder in folders.values():
        folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO_", "XDG_"))}
    environment = {**kept, "HOME": str(folders["home"]), "TMPDIR": str(folders["temporary"]), "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", QUIET, save_yolo("yolo11n")]
    done = subprocess.run(command, cwd=folders["work"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = [path for folder in folders.values() for path in folder.rglob("*")]
    assert not [path for path in written if "torchinductor" not in str(path)]  # which is torch's own
