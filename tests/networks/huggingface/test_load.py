import json
import os
import re
import runpy
import sys
import warnings
from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers

from isp_gym.errors import UserError
from isp_gym.networks.huggingface import network as huggingface
from isp_gym.networks.huggingface.network import HuggingFaceNetwork

FOLDER = Path(huggingface.__file__).parent


def config(**options):
    options = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 16, **options}
    options = {
        "image_size": [32, 32],
        "patch_size": 8,
        "num_detection_tokens": 6,
        "use_mid_position_embeddings": False,
        **options,
    }
    return transformers.YolosConfig(num_attention_heads=2, num_labels=3, **options)


@pytest.fixture
def folder(tmp_path):
    """A tiny YOLOS, saved."""
    transformers.YolosForObjectDetection(config()).save_pretrained(tmp_path)
    transformers.YolosImageProcessor(size={"shortest_edge": 32, "longest_edge": 32}).save_pretrained(tmp_path)
    return tmp_path


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class Evil:
    """Its pickle makes a folder when it is read."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def refused(spec):
    """What is said of a network that cannot be used."""
    with pytest.raises(UserError) as caught:
        HuggingFaceNetwork(str(spec))
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestPaths:
    @pytest.mark.parametrize("spec", ["./nowhere", "~/nowhere", "/nowhere/at/all", "nowhere", "not/a/model"])
    def test_a_missing_folder_is_no_id_on_the_hub(self, spec):
        assert refused(spec).endswith("there is no such folder; give one, or an id on the hub (org/name)")

    def test_an_id_without_a_network(self, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        message = refused("nobody/nothing")
        assert message.startswith("cannot load network 'nobody/nothing': there is no such folder, and the Hugging Face")
        assert message.endswith("or download the model and give its folder")

    def test_a_file(self, folder):
        assert "it is a file; give the folder" in refused(folder / "config.json")

    def test_a_folder_of_something_else(self, tmp_path):
        assert "the folder has no config.json" in refused(tmp_path)

    def test_a_folder_by_a_relative_path(self, folder, monkeypatch):
        monkeypatch.chdir(folder.parent)
        assert HuggingFaceNetwork(folder.name).classes == ("LABEL_0", "LABEL_1", "LABEL_2")


class TestKinds:
    def test_no_detector(self, tmp_path):
        tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=16, **tiny)).save_pretrained(tmp_path)
        message = refused(tmp_path)
        assert "it is a BertForMaskedLM, and not one of DetrForObjectDetection, " in message
        assert message.endswith("MaskFormerForInstanceSegmentation")

    def test_the_backbone_of_a_detector(self, folder):
        edit(folder / "config.json", architectures=["YolosModel"])
        assert "it is a YolosModel, and not one of" in refused(folder)

    def test_of_no_named_kind(self, folder):
        edit(folder / "config.json", architectures=None)
        assert "its config.json names no architecture" in refused(folder)

    @pytest.mark.parametrize("content", ["{", "{}", '{"model_type": "new"}'])
    def test_no_config(self, folder, content):
        (folder / "config.json").write_text(content)
        assert refused(folder).startswith(f"cannot use {folder}/config.json: ")

    def test_without_an_image_processor(self, folder):
        (folder / "preprocessor_config.json").unlink()
        assert "it has no usable preprocessor_config.json" in refused(folder)


class TestWeights:
    def test_missing(self, folder):
        (folder / "model.safetensors").unlink()
        assert refused(folder).startswith(f"cannot read the weights of network '{folder}': ")

    def test_pickled_weights_are_tensors_only(self, folder):
        model = transformers.YolosForObjectDetection.from_pretrained(folder)
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        assert HuggingFaceNetwork(str(folder)).classes
        torch.save({"weight": Evil(folder / "evil")}, folder / "pytorch_model.bin")
        assert refused(folder).startswith(f"cannot read the weights of network '{folder}': ")
        assert not (folder / "evil").exists()

    @pytest.mark.parametrize(
        "damage", [lambda content: content[:100], lambda content: b"", lambda content: content[9:]]
    )
    def test_damaged(self, folder, damage):
        path = folder / "model.safetensors"
        path.write_bytes(damage(path.read_bytes()))
        assert refused(folder).startswith(f"cannot read the weights of network '{folder}': ")

    def test_of_another_shape(self, folder):
        edit(folder / "config.json", hidden_size=32)
        assert "do not fit its config.json" in refused(folder)

    def test_of_other_classes(self, folder):
        edit(folder / "config.json", id2label={0: "cat"}, label2id={"cat": 0})
        message = refused(folder)
        assert "2 are missing or have another shape (class_labels_classifier.layers.2.bias, ...)" in message

    def test_too_few(self, folder):
        edit(folder / "config.json", num_hidden_layers=3)
        assert "do not fit its config.json" in refused(folder)

    def test_too_many(self, folder):
        edit(folder / "config.json", num_hidden_layers=1)
        with pytest.warns(
            UserWarning, match=r"uses no \d+ of its weights \(.*, \.\.\.\): is its config\.json its own\?"
        ):
            HuggingFaceNetwork(str(folder))

    @pytest.mark.skipif(transformers.utils.is_timm_available(), reason="timm is installed")
    def test_a_backbone_of_timm(self, folder):
        config = transformers.DetrConfig(architectures=["DetrForObjectDetection"], backbone="resnet18")
        config.save_pretrained(folder)
        assert re.match(rf"network '{folder}' needs another package: .*pip install timm", refused(folder))

    def test_in_half_precision_are_made_float32(self, folder):
        transformers.YolosForObjectDetection(config()).half().save_pretrained(folder)
        network = HuggingFaceNetwork(str(folder))
        assert network.detect(torch.rand(1, 3, 32, 32))[0].boxes.dtype == torch.float32


def test_without_transformers(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert (
        refused(folder) == "Hugging Face networks need transformers; install it with pip install 'isp-gym[detection]'"
    )


def test_loading_is_quiet_and_leaves_transformers_as_it_was(folder, capfd):
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_info()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            HuggingFaceNetwork(str(folder))
        assert (log.get_verbosity(), log.is_progress_bar_enabled()) == (log.INFO, bars)
    finally:
        log.set_verbosity(level)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_transformers_is_imported_only_when_needed(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)  # to import it is an error
    runpy.run_path(str(path))
