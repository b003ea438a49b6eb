import pytest
import torch

from agents import POSISP
from isp_gym.errors import UserError

LAYERS = {  # as in the release: a layer's weight; its bias is as long as the weight's first dimension
    "action_agent.decoder": (11, 128),
    "action_agent.step2film.0": (256, 16),
    "param_net.enc1.0": (32, 3, 3, 3),
    "param_net.enc1.2": (64, 32, 3, 3),
    "param_net.enc1.4": (128, 64, 3, 3),
    "param_net.enc2.0": (128, 128, 3, 3),
    "param_net.enc3.0": (128, 128, 3, 3),
    "param_net.fc1": (256, 256),
    "param_net.fc2": (128, 256),
    "param_net.decoder.0": (256, 128),
    "param_net.decoder.2": (27, 256),
}
SHAPES = {
    "action_agent.token_embed.weight": (12, 64),
    "action_agent.step_embed.weight": (11, 16),
    **{f"action_agent.gru.weight_{kind}_l0{way}": (192, 64) for kind in ("ih", "hh") for way in ("", "_reverse")},
    **{f"action_agent.gru.bias_{kind}_l0{way}": (192,) for kind in ("ih", "hh") for way in ("", "_reverse")},
    **{f"{layer}.weight": shape for layer, shape in LAYERS.items()},
    **{f"{layer}.bias": shape[:1] for layer, shape in LAYERS.items()},
}
SEQUENCE = [1, 4, 2, 7, 6, 3, 9, 0, 8]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Numbers in [-1, 1] without a random generator, so that they are the same everywhere."""
    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return (torch.sin(count * 12.9898 + seed) * 43758.5453).frac().reshape(shape)


def state(end_bias: float = 0.0) -> dict[str, torch.Tensor]:
    """A released state dict of made-up weights."""
    weights = {}
    for k, (key, shape) in enumerate(SHAPES.items()):
        fan_in = torch.Size(shape[1:]).numel() if len(shape) > 1 else 100
        scale = 0.3 if key.startswith("action") else (4 / fan_in) ** 0.5
        weights[key] = (scale * noise(*shape, seed=k)).float()
    weights["action_agent.decoder.bias"][10] += end_bias
    return weights


def load(folder, content) -> POSISP:
    torch.save(content, folder / "policy.pth")
    return POSISP.from_released(folder / "policy.pth")


def images() -> torch.Tensor:
    """One bright, one dark."""
    return ((0.5 + 0.5 * noise(2, 3, 24, 20)) * torch.tensor([1.0, 0.1])[:, None, None, None]).float()


class TestForward:
    """The numbers come from an implementation written from the paper, in float64, that shares no code with ours."""

    @pytest.mark.parametrize(("end_bias", "sequence"), [(0.0, SEQUENCE), (0.3, SEQUENCE[:3]), (10.0, [])])
    def test_sequence(self, tmp_path, end_bias, sequence):
        found = load(tmp_path, {"iter": 1, "agent_model": state(end_bias)}).sequence
        assert found.dtype == torch.int64 and found.tolist() == sequence

    @pytest.mark.parametrize(("temperature", "log_prob"), [(0.2, -2.735204), (2.5, -13.530923)])
    def test_log_probability(self, tmp_path, temperature, log_prob):
        policy = load(tmp_path, {"iter": 1, "agent_model": state()}).policy
        assert policy.evaluate(policy.greedy()[None], temperature).log_probs.item() == pytest.approx(log_prob, abs=1e-5)

    def test_sequence_that_runs_out_of_steps(self, tmp_path):
        shorter = {**state(), "action_agent.step_embed.weight": state()["action_agent.step_embed.weight"][:4]}
        assert load(tmp_path, {"iter": 1, "agent_model": shorter}).sequence.tolist() == SEQUENCE[:3]

    def test_parameters(self, tmp_path):
        params = load(tmp_path, {"iter": 1, "agent_model": state()}).predict_params(images())
        expected = [[0.0712724, 0.4004629, 0.6611563], [0.0725309, 0.4026459, 0.6498221]]
        assert params.shape == (2, 27)
        torch.testing.assert_close(params[:, ::9], torch.tensor(expected), atol=1e-6, rtol=0)

    def test_output(self, tmp_path):
        output = load(tmp_path, {"iter": 1, "agent_model": state()}).enhance(images())
        expected = [[0.0700829, 0.0642498, 0.0681323], [0.0299158, 0.0517639, 0.0308444]]
        torch.testing.assert_close(output.mean(dim=(2, 3)), torch.tensor(expected), atol=1e-5, rtol=0)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
    def test_images_of_another_type(self, tmp_path, dtype):
        agent = load(tmp_path, {"iter": 1, "agent_model": state()})
        output = agent.enhance(images().to(dtype))
        assert output.dtype == dtype
        torch.testing.assert_close(output.float(), agent.enhance(images()), atol=1e-2, rtol=0)

    @pytest.mark.parametrize("size", [(16, 16), (31, 47), (100, 150)])
    def test_one_image_or_many_of_any_size(self, tmp_path, size):
        agent, many = load(tmp_path, {"iter": 1, "agent_model": state()}), torch.rand(3, 3, *size)
        torch.testing.assert_close(agent.enhance(many)[1:2], agent.enhance(many[1:2]), atol=1e-3, rtol=0)

    def test_no_module_is_no_change(self, tmp_path):
        agent = load(tmp_path, {"iter": 1, "agent_model": state(end_bias=10.0)})
        assert torch.equal(agent.enhance(images()), images())


class TestOtherLayouts:
    def test_names_behind_a_prefix_and_entries_of_other_parts(self, tmp_path):
        wrapped = {f"module.{key}": value for key, value in state().items()}
        content = {"iter": 1, "agent_model": {**wrapped, "module.filter.0.kernel": torch.zeros(3)}}
        assert load(tmp_path, content).sequence.tolist() == SEQUENCE

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([1], "it has no state dict 'agent_model'"),
            (torch.zeros(3), "it has no state dict 'agent_model'"),
            ({"agent_model": None}, "it has no state dict 'agent_model'"),
            ({"agent_model": {}}, "it lacks "),
            ({"agent_model": {**state(), "param_net.value.weight": torch.zeros(1)}}, "it has value.weight"),
            ({"agent_model": {**state(), "param_net.fc1.bias": torch.zeros(3)}}, r"its fc1.bias has shape \[3\]"),
            ({"agent_model": {**state(), "param_net.fc1.bias": 3}}, r"its fc1.bias has shape \[\]"),
            ({"agent_model": {**state(), "action_agent.step_embed.weight": torch.zeros(16)}}, "its step_embed.weight"),
            ({"agent_model": state(end_bias=float("nan"))}, r"NaN or infinite \(decoder.bias\)"),
        ],
    )
    def test_something_else_is_named(self, tmp_path, content, message):
        with pytest.raises(UserError, match=message):
            load(tmp_path, content)

    def test_missing_file(self, tmp_path):
        with pytest.raises(UserError, match="no checkpoint at"):
            POSISP.from_released(tmp_path / "none.pth")

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
    def test_no_torch_file(self, tmp_path, content):
        (tmp_path / "other.pth").write_bytes(content)
        with pytest.raises(UserError, match="is damaged, or holds more than tensors"):
            POSISP.from_released(tmp_path / "other.pth")

    def test_code_is_not_run(self, tmp_path):
        class Code:
            def __reduce__(self):
                return (open, (str(tmp_path / "written"), "w"))

        with pytest.raises(UserError, match="holds more than tensors"):
            load(tmp_path, {"agent_model": Code()})
        assert not (tmp_path / "written").exists()
