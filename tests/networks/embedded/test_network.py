import json
import shutil

import pytest
import torch

from isp_gym.data import load_scenes
from isp_gym.data.synthetic.scenes import CLASSES, VERSION
from isp_gym.errors import UserError
from isp_gym.networks import load_network
from isp_gym.networks.embedded.network import WEIGHTS, EmbeddedNetwork
from isp_gym.tasks import Segmentation


@pytest.fixture(scope="module")
def network():
    return load_network()


@pytest.fixture(scope="module")
def scenes():
    return load_scenes("synthetic", "validation", 24, 128)


def scores(images, batch):
    metric = Segmentation().metric()
    metric.update(images, batch)
    return metric.compute()


class TestWeights:
    def test_they_are_small_and_say_where_they_come_from(self):
        card = json.loads(WEIGHTS.with_suffix(".json").read_text())
        assert WEIGHTS.stat().st_size <= 4 * 2**20
        assert card["data"].startswith(f"synthetic, version {VERSION},") and tuple(card["classes"]) == CLASSES
        assert card["test"]["well lit"]["box_map50"] >= 0.8 and card["test"]["well lit"]["mask_map50"] >= 0.7
        assert "train_embedded" in card["command"]

    def test_loading_draws_no_random_numbers_of_a_run(self):
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        load_network(str(WEIGHTS))  # by its path, so that no other test has loaded it
        assert torch.equal(torch.rand(3), expected)

    def test_loaded_once(self):
        assert load_network() is load_network("", "cpu")


class TestScore:
    def test_well_lit_scenes_are_seen_and_dark_raw_is_not(self, scenes):
        batch = scenes.batch(range(len(scenes)))
        lit, dark = scores(batch.targets, batch), scores(batch.images, batch)
        assert lit["box_map50"] > 0.75 and lit["mask_map50"] > 0.65
        assert dark["box_map50"] < 0.5 * lit["box_map50"] and dark["mask_map50"] < 0.5 * lit["mask_map50"]

    def test_so_are_smaller_and_larger_pictures(self):
        for size, least in ((64, 0.5), (192, 0.7)):
            scenes = load_scenes("synthetic", "validation", 8, size)
            batch = scenes.batch(range(8))
            assert scores(batch.targets, batch)["box_map50"] > least

    def test_the_loss_is_lower_on_well_lit_scenes(self, network, scenes):
        batch = scenes.batch(range(8))
        lit, dark = (network.losses(images, batch.objects) for images in (batch.targets, batch.images))
        for name in network.loss_names:
            assert lit[name].mean() < dark[name].mean()


class TestNetwork:
    def test_frozen(self, network):
        assert not network._net.training
        assert not any(parameter.requires_grad for parameter in network._net.parameters())

    def test_each_image_by_itself(self, network, scenes):
        batch = scenes.batch(range(4))
        together = network.losses(batch.targets, batch.objects)
        for i in range(4):
            for name, loss in network.losses(batch.targets[i : i + 1], batch.objects[i : i + 1]).items():
                torch.testing.assert_close(loss[0], together[name][i], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("size", [48, 128, 200])
    def test_what_it_finds_is_in_the_pixels_of_the_picture(self, network, size):
        scene = load_scenes("synthetic", "validation", 1, size)[0]
        (found,) = network.detect(scene.target[None])
        assert found.masks.shape == (len(found.boxes), size, size) and found.masks.dtype == torch.bool
        assert found.boxes.min() >= 0 and found.boxes.max() <= size + 1e-3
        assert found.boxes.max() > size / 2

    @pytest.mark.parametrize("size", [64, 192])
    def test_its_losses_know_how_large_the_picture_is(self, network, size):
        batch = load_scenes("synthetic", "validation", 4, size).batch(range(4))
        assert network.losses(batch.targets, batch.objects)["box"].mean() < 0.4

    def test_gradients_reach_the_pixels(self, network):
        scene = load_scenes("synthetic", "validation", 1, 64)[0]
        image = scene.target[None].requires_grad_()
        sum(network.losses(image, [scene.objects]).values()).sum().backward()
        assert image.grad.isfinite().all() and (image.grad != 0).float().mean() > 0.9


class TestErrors:
    def test_no_card(self, tmp_path):
        shutil.copy(WEIGHTS, tmp_path / "net.safetensors")
        with pytest.raises(UserError, match=r"net\.safetensors: their card .*net\.json is missing"):
            EmbeddedNetwork(tmp_path / "net.safetensors")

    @pytest.mark.parametrize("content", [b"", b"not weights", WEIGHTS.read_bytes()[:5000]])
    def test_damaged_weights(self, tmp_path, content):
        (tmp_path / "net.safetensors").write_bytes(content)
        shutil.copy(WEIGHTS.with_suffix(".json"), tmp_path / "net.json")
        with pytest.raises(UserError, match=r"net\.safetensors: they are damaged"):
            load_network(str(tmp_path / "net.safetensors"))

    def test_missing_weights(self, tmp_path):
        shutil.copy(WEIGHTS.with_suffix(".json"), tmp_path / "net.json")
        with pytest.raises(UserError, match="damaged or not those"):
            EmbeddedNetwork(tmp_path / "net.safetensors")
