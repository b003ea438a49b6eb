"""``isp-gym enhance`` from the command line to the files."""

import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from isp_gym.cli import main
from isp_gym.modules import get_bank

AGENTS = """
import torch
from isp_gym.modules import get_bank

BANK = get_bank("stable")

class Dusk:
    '''Brightens by what it sees, denoises and applies gamma.'''
    def train(self, training): pass
    def pipelines(self, images):
        assert images.shape == (1, 3, 64, 64)
        params = BANK.neutral.repeat(len(images), 1)
        params[:, 0] = 1 - images.mean((1, 2, 3))
        params[:, 1], params[:, BANK.slices[4]] = 0.2, 0.5
        return torch.tensor([[0, 4, 1]]), params

class Nan(Dusk):
    def pipelines(self, images):
        return torch.full((1, 1), 10), torch.full((1, 27), float("nan"))

class Half:
    def train(self, training): pass
    def enhance(self, images):
        return images[:, :, ::2]
"""


@pytest.fixture
def cli(tmp_path, monkeypatch, capfd):
    """Runs ``isp-gym enhance ARGS`` in a folder with two photos; returns exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    Path("my_agents.py").write_text(AGENTS)
    monkeypatch.delitem(sys.modules, "my_agents", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    rng = np.random.default_rng(0)
    Path("photos/deep").mkdir(parents=True)
    cv2.imwrite("photos/deep/raw.png", (rng.random((90, 120, 3)) * 12000).astype(np.uint16))
    exif = Image.Exif()
    exif[274] = 6  # stored lying, shown standing
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save("photos/photo.jpg", exif=exif)

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["isp-gym", "enhance", *args])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capfd.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_a_folder_by_a_policy_that_only_enhances(cli):
    code, out, err = cli("--policy", "input", "photos", "--out", "out", "--bits", "16")
    assert code == 0 and err == ""
    assert files_in("out") == ["deep/raw.json", "deep/raw.png", "photo.json", "photo.png"]
    assert np.array_equal(read("out/deep/raw.png"), read("photos/deep/raw.png"))  # linear, hence every bit as it was
    assert read("out/photo.png").shape == (60, 40, 3)  # upright
    assert "photos/photo.jpg (display) -> out/photo.png: no pipeline of modules" in out
    assert "1 files taken as linear RAW-RGB, 1 as display-referred sRGB" in out


@pytest.mark.parametrize("bits", [8, 16])
def test_a_pipeline_is_chosen_on_a_thumbnail_and_applied_to_the_whole_image(cli, bits):
    args = ("--policy", "my_agents:Dusk", "photos/deep/raw.png", "--out", "out", "--bits", str(bits), "--tile", "32")
    code, out, err = cli(*args)
    assert code == 0, err
    record = json.loads(Path("out/raw.json").read_text())
    bank, pixels = get_bank("stable"), read("photos/deep/raw.png")
    image = torch.from_numpy(pixels.astype(np.float32) / 65535).permute(2, 0, 1)[None]
    params = bank.neutral[None].clone()
    params[:, 0], params[:, 1], params[:, bank.slices[4]] = record["params"][0][0], 0.2, 0.5
    expected = bank(image, torch.tensor([[0, 4, 1]]), params)[0].clamp(0, 1).permute(1, 2, 0) * (2**bits - 1)
    np.testing.assert_allclose(read("out/raw.png"), expected, atol=0.5001 + 1e-6 * 2**bits)
    assert abs(1 - record["params"][0][0] - pixels.mean() / 65535) < 1e-3
    assert record["sequence"] == ["exposure", "denoise", "gamma"]
    exposure = record["physical"][0]["parameters"]["exposure"]
    assert exposure["unit"] == "EV" and abs(exposure["value"] - (record["params"][0][0] * 7 - 3.5)) < 1e-5
    assert (record["width"], record["height"], record["bits"], record["light"]) == (120, 90, bits, "linear")
    assert (record["view"], record["image_size"], record["policy"]) == ("crop", 64, "my_agents:Dusk")
    assert " > ".join(record["description"]) in out and "EV > denoise" in out


def test_a_run_folder_brings_its_modules_and_the_size_of_its_scenes(cli, monkeypatch, tmp_path):
    config = "{image_size: 16, scenes: {train: 4, validation: 2, test: 2}, budget: 8, seeds: [0], bank: reference, "
    Path("c.yaml").write_text(config + "modules: [exposure, gamma], agents: {random: {scenes_per_candidate: 4}}}")
    monkeypatch.setattr(sys, "argv", ["isp-gym", "compare", "--config", "c.yaml", "--out", "run", "--jobs", "1"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    code, _, err = cli("--policy", "run/runs/random/seed-0", "photos", "--out", "out", "--json")
    assert code == 0, err
    record = json.loads(Path("out/photo.json").read_text())
    assert record["rules"]["bank"] == "reference" and record["rules"]["modules"] == ["exposure", "gamma"]
    assert record["image_size"] == 16


def test_json_is_the_last_line_and_one_bad_file_does_not_stop_the_others(cli):
    Path("photos/bad.jpg").write_text("no image")
    code, out, err = cli("--policy", "camera", "photos", "--out", "out", "--json")
    result = json.loads(out.splitlines()[-1])
    assert code == 2
    assert [row["input"] for row in result["files"]] == ["photos/deep/raw.png", "photos/photo.jpg"]
    assert [row["input"] for row in result["errors"]] == ["photos/bad.jpg"]
    assert files_in("out") == ["deep/raw.json", "deep/raw.png", "photo.json", "photo.png"]
    assert "1 of 3 files could not be enhanced" in err.splitlines()[-1] and "photos/bad.jpg" in err.splitlines()[-1]


def test_the_cameras_own_image_is_that_of_a_finished_photo(cli):
    code, _, err = cli("--policy", "camera-jpeg", "photos", "--out", "out")
    assert code == 2 and "photos/deep/raw.png: CameraJPEG needs what the camera itself made" in err
    upright = np.asarray(Image.open("photos/photo.jpg")).swapaxes(0, 1)[:, ::-1]
    assert np.array_equal(read("out/photo.png"), upright)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--policy", "original", "photos"], "shows well-lit originals, which files have not"),
        (["--policy", "camra", "photos"], "did you mean 'camera'"),
        (["--policy", "no/such/run", "photos"], "no run at 'no/such/run'"),
        (["--policy", "input", "photos", "--device", "abacus"], "device 'abacus'"),
        (["--policy", "input", "nothing"], "no file or folder 'nothing'"),
        (["--policy", "my_agents:Nan", "photos/photo.jpg"], "photos/photo.jpg: Nan.pipelines is wrong"),
        (["--policy", "my_agents:Half", "photos/photo.jpg"], "Half.enhance did not return an image of shape"),
    ],
)
def test_what_must_be_changed_is_one_line_and_nothing_is_written(cli, args, message):
    code, out, err = cli(*args, "--out", "out")
    assert code == 2 and message in err and len(err.splitlines()) == 1 and out == ""
    assert not os.path.exists("out")


def test_results_are_replaced_only_when_asked_for(cli):
    args = ("--policy", "input", "photos/photo.jpg", "--out", "out")
    assert cli(*args)[0] == 0
    code, _, err = cli(*args)
    assert code == 2 and "'out/photo.png' is there already" in err
    assert cli(*args, "--overwrite")[0] == 0
