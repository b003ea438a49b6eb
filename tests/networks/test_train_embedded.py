import pytest
import torch

from isp_gym.data.synthetic import make_scene
from isp_gym.networks import train_embedded
from isp_gym.networks.embedded import EmbeddedNetwork
from isp_gym.networks.spotter import Spotter
from isp_gym.networks.train_embedded import turn, write


class TestTurn:
    @pytest.mark.parametrize("way", range(8))
    def test_boxes_and_masks_turn_with_the_picture(self, way):
        scene = make_scene("train", 0, 32)
        marked = scene.objects.masks.float()[:1].expand(3, -1, -1)[None]
        picture, (objects,) = turn(marked, [scene.objects], way)
        assert torch.equal(picture[0, 0].bool(), objects.masks[0])
        for box, mask in zip(objects.boxes, objects.masks, strict=True):
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            tight = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert (tight - box).abs().max() <= 1.5

    def test_no_two_ways_are_alike(self):
        picture = torch.rand(1, 3, 8, 8)
        ways = [turn(picture, [], way)[0] for way in range(8)]
        assert torch.equal(ways[0], picture)
        assert all(not torch.equal(a, b) for i, a in enumerate(ways) for b in ways[:i])


class TestTrain:
    def test_it_learns(self, capsys, monkeypatch):
        for name, value in {"SIZE": 64, "_BATCH": 4, "_SHOWN_EVERY": 30, "_WARM_UP": 5}.items():
            monkeypatch.setattr(train_embedded, name, value)
        train_embedded.train(scenes=4, epochs=31, seed=0)
        first, last = (line.split() for line in capsys.readouterr().out.splitlines()[:2])
        for name in ("box", "class", "mask"):
            assert float(last[last.index(name) + 1]) < 0.8 * float(first[first.index(name) + 1])

    def test_what_it_writes_can_be_loaded(self, tmp_path):
        network = Spotter(6).eval()
        write(network, tmp_path, {"scenes": 1, "out": tmp_path}, 1.0)
        assert (tmp_path / "embedded.safetensors").stat().st_size < 4e6
        loaded = EmbeddedNetwork(tmp_path / "embedded.safetensors")
        assert len(loaded.classes) == 6
        image = torch.rand(1, 3, 128, 128)
        found = loaded._net(image)
        torch.testing.assert_close(found.classes, network(image).classes, rtol=0.05, atol=0.05)
