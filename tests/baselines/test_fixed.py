import pytest
import torch

from baselines.fixed import CameraISP, CameraJPEG, InputAsIs, Original, srgb_gamma
from isp_gym.benchmark import load_agent
from isp_gym.errors import UserError


class TestCameraISP:
    images = torch.rand(2, 3, 16, 16) * torch.tensor([0.05, 0.1, 0.04])[:, None, None]

    def test_channels_come_out_grey_and_at_the_target(self):
        camera = CameraISP(target_mean=0.1)
        out = camera.enhance(self.images)
        linear = ((out + 0.055) / 1.055) ** 2.4
        bright = out > 0.04045  # where the transfer function is a power
        linear = linear.where(bright, out / 12.92)
        torch.testing.assert_close(linear.mean(dim=(2, 3)), torch.full((2, 3), 0.1), atol=1e-3, rtol=0)

    def test_exposure_does_not_matter(self):
        camera = CameraISP()
        torch.testing.assert_close(camera.enhance(self.images), camera.enhance(self.images * 0.5))

    def test_black_stays_finite(self):
        assert CameraISP().enhance(torch.zeros(1, 3, 8, 8)).isfinite().all()

    @pytest.mark.parametrize("mean", [0, 1, -1])
    def test_impossible_target(self, mean):
        with pytest.raises(UserError, match="target_mean"):
            load_agent("camera", {"target_mean": mean})


def test_srgb_gamma_at_known_points():
    values = torch.tensor([0.0, 0.0031308, 0.18, 1.0])
    torch.testing.assert_close(srgb_gamma(values), torch.tensor([0.0, 0.04045, 0.46135, 1.0]), atol=1e-4, rtol=0)


def test_input_is_returned_as_it_is():
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(InputAsIs().enhance(images), images)


@pytest.mark.parametrize(("agent", "observes"), [(CameraJPEG(), "camera"), (Original(), "target")])
def test_bounds_from_the_data_answer_with_what_they_observe(agent, observes):
    images = torch.rand(2, 3, 8, 8)
    assert agent.observes == observes and torch.equal(agent.enhance(images), images)


@pytest.mark.parametrize("agent", [InputAsIs(), CameraISP(), CameraJPEG(), Original()])
def test_nothing_is_saved(agent, tmp_path):
    agent.save(tmp_path)
    assert (tmp_path / "policy.json").read_text() == "{}"
    agent.load(tmp_path)
    assert agent.networks is None
