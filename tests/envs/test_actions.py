import numpy as np
import pytest
import torch

from isp_gym.envs.actions import check_box, check_integers, entry
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.pixel_curve import CurveBox, CurveMultiDiscrete
from isp_gym.envs.sequence import SequenceBox, SequenceDict, SequenceMultiDiscrete
from isp_gym.envs.stepwise_actions import StepwiseBox, StepwiseDict, StepwiseDiscrete, StepwiseMultiDiscrete
from isp_gym.errors import UserError
from isp_gym.modules import get_bank

BANK = get_bank("reference")
CONFIG = EnvConfig(image_size=16, max_length=4)
BINS = 5
OPEN = torch.ones(3, 11, dtype=torch.bool)
ALL = [
    StepwiseDict,
    StepwiseBox,
    StepwiseMultiDiscrete,
    StepwiseDiscrete,
    SequenceDict,
    SequenceBox,
    SequenceMultiDiscrete,
    CurveBox,
    CurveMultiDiscrete,
]
every_variant = pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)


def variant(cls, bins=BINS):
    return cls(BANK, CONFIG, bins)


def samples(made, n=3):
    made.space.seed(0)
    sampled = [made.space.sample() for _ in range(n)]
    if isinstance(sampled[0], dict):
        return {key: np.stack([item[key] for item in sampled]) for key in sampled[0]}
    return np.stack(sampled)


@every_variant
def test_every_action_means_something_native(cls):
    made = variant(cls)
    native = made.decode(samples(made), OPEN)
    if "params" in native:
        assert native["params"].shape == (3, 27)
        assert native["params"].dtype == torch.float32
        assert ((native["params"] >= 0) & (native["params"] <= 1)).all()
    if "module" in native:
        assert native["module"].shape == (3,)
        assert native["module"].dtype == torch.int64
    if "sequence" in native:
        assert native["sequence"].shape == (3, 4)
    if "curves" in native:
        assert native["curves"].shape == (3, 3, 16, 16)
        assert native["curves"].abs().max() <= 1


@every_variant
def test_tensors_are_as_good_as_arrays(cls):
    made = variant(cls)
    actions = samples(made)
    tensors = (
        {key: torch.as_tensor(value) for key, value in actions.items()}
        if isinstance(actions, dict)
        else torch.as_tensor(actions)
    )
    for one, other in zip(made.decode(actions, OPEN).values(), made.decode(tensors, OPEN).values(), strict=True):
        assert torch.equal(one, other)


@every_variant
@pytest.mark.parametrize(
    "wrong", [None, "word", np.zeros((3, 2)), np.full((3, 38), np.nan), {"module": 1}, [[1], [2, 3]]]
)
def test_what_is_no_action_is_a_value_error(cls, wrong):
    with pytest.raises(ValueError, match=r"action|module|sequence"):
        variant(cls).decode(wrong, OPEN)


@pytest.mark.parametrize("cls", [StepwiseBox, SequenceBox, CurveBox])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.01, -1.01])
def test_boxes_refuse_what_is_outside(cls, value):
    made = variant(cls)
    actions = samples(made)
    actions.reshape(3, -1)[1, 5] = value
    with pytest.raises(ValueError, match="sub-environment 1"):
        made.decode(actions, OPEN)


@pytest.mark.parametrize("cls", [StepwiseMultiDiscrete, SequenceMultiDiscrete, CurveMultiDiscrete, StepwiseDiscrete])
@pytest.mark.parametrize("value", [-1, 10**6])
def test_discrete_ones_refuse_what_is_outside(cls, value):
    made = variant(cls)
    actions = samples(made)
    actions.reshape(3, -1)[1, 0] = value
    with pytest.raises(ValueError, match="sub-environment 1"):
        made.decode(actions, OPEN)


class TestStepwiseBox:
    def test_the_best_that_is_allowed(self):
        actions = np.full((2, 38), -0.5, np.float32)
        actions[:, 3], actions[:, 7] = 0.9, -0.1
        mask = OPEN[:2].clone()
        mask[1, 3] = False
        assert variant(StepwiseBox).decode(actions, mask)["module"].tolist() == [3, 7]

    def test_parameters_are_scaled(self):
        actions = np.linspace(-1, 1, 38, dtype=np.float32)[None].repeat(2, 0)
        params = variant(StepwiseBox).decode(actions, OPEN[:2])["params"]
        torch.testing.assert_close(params[0], (torch.linspace(-1, 1, 38)[11:] + 1) / 2)


class TestSequenceBox:
    def test_falling_preference_down_to_the_end(self):
        actions = np.full((1, 38), -0.9, np.float32)
        actions[0, [5, 0, 8]] = [0.8, 0.3, 0.6]
        actions[0, 10] = 0.1
        sequence = variant(SequenceBox).decode(actions, OPEN[:1])["sequence"]
        assert sequence.tolist()[0][:4] == [5, 8, 0, 10]

    def test_longest_pipeline_takes_the_best(self):
        actions = np.linspace(1, -1, 38, dtype=np.float32)[None]
        assert variant(SequenceBox).decode(actions, OPEN[:1])["sequence"].tolist() == [[0, 1, 2, 3]]

    def test_longer_than_the_bank(self):
        long = SequenceBox(BANK, EnvConfig(image_size=16, max_length=13), BINS)
        assert long.decode(samples(long), OPEN)["sequence"].shape == (3, 13)


class TestBins:
    def test_they_reach_from_end_to_end(self):
        made = variant(StepwiseMultiDiscrete, bins=3)
        actions = np.zeros((3, 28), int)
        actions[:, 1:] = np.arange(3)[:, None]
        assert made.decode(actions, OPEN)["params"][:, 0].tolist() == [0.0, 0.5, 1.0]

    def test_middle_bin_of_a_curve_is_the_identity(self):
        made = variant(CurveMultiDiscrete)
        curves = made.decode(np.full((3, 3 * 16 * 16), 2), OPEN)["curves"]
        assert not curves.any()

    def test_one_bin_is_none(self):
        with pytest.raises(UserError, match="bins"):
            variant(StepwiseDiscrete, bins=1)


class TestStepwiseDiscrete:
    def test_every_pair_of_parameter_and_bin_is_an_action(self):
        made = variant(StepwiseDiscrete)
        assert made.space.n == 27 * BINS + 1
        native = made.decode(np.arange(27 * BINS), torch.ones(27 * BINS, 11, dtype=torch.bool))
        owners = [k for k, span in enumerate(BANK.slices) for _ in range(span.start, span.stop)]
        for action in range(27 * BINS):
            expected = BANK.neutral.clone()
            expected[action // BINS] = (action % BINS) / (BINS - 1)
            assert torch.equal(native["params"][action], expected)
            assert native["module"][action] == owners[action // BINS]

    def test_last_action_is_the_stop(self):
        assert variant(StepwiseDiscrete).decode(np.full(3, 27 * BINS), OPEN)["module"].tolist() == [10] * 3

    def test_mask_closes_all_actions_of_a_module(self):
        mask = OPEN.clone()
        mask[0, 2] = False
        open_actions = variant(StepwiseDiscrete).mask(mask)
        assert open_actions.shape == (3, 27 * BINS + 1)
        closed = torch.nonzero(~open_actions)
        span = BANK.slices[2]
        assert closed[:, 1].tolist() == list(range(span.start * BINS, span.stop * BINS))


@pytest.mark.parametrize("cls", [StepwiseMultiDiscrete, SequenceMultiDiscrete, CurveMultiDiscrete])
def test_mask_has_an_entry_a_choice(cls):
    made = variant(cls)
    mask = OPEN.clone()
    mask[:, 4] = False
    flat = made.mask(mask)
    assert flat.shape == (3, int(made.space.nvec.sum()))
    assert (~flat).sum(1).tolist() == ([0] * 3 if cls is CurveMultiDiscrete else [1] * 3)


CPU = torch.device("cpu")


class TestBox:
    @pytest.mark.parametrize("make", [np.array, torch.tensor, list])
    def test_numbers_of_any_kind(self, make):
        assert check_box("x", make([[0.0, 0.5], [1.0, 0.25]]), (2, 2), 0.0, CPU).dtype == torch.float32

    def test_a_read_only_array_is_fine(self):
        values = np.full((1, 2), 0.5)
        values.flags.writeable = False
        check_box("x", values, (1, 2), 0.0, CPU)
        check_box("x", np.full((2, 2), 0.5)[::-1], (2, 2), 0.0, CPU)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.1, -0.1])
    def test_the_culprit_is_named(self, value):
        with pytest.raises(ValueError, match=r"'x' must lie in \[0, 1\]; sub-environment 1, entry \[0\] is"):
            check_box("x", np.array([[0.1, 0.2], [value, 0.3]]), (2, 2), 0.0, CPU)

    @pytest.mark.parametrize("values", ["word", None, object(), [[1], [1, 2]], {"a": 1}])
    def test_what_is_no_number(self, values):
        with pytest.raises(ValueError, match="'x' must"):
            check_box("x", values, (2,), 0.0, CPU)


class TestIntegers:
    def test_each_entry_has_its_own_count(self):
        check_integers("x", np.array([[1, 4]]), (1, 2), [2, 5], CPU)
        with pytest.raises(ValueError, match=r"\[0, 1\]; sub-environment 0 has 2"):
            check_integers("x", np.array([[2, 4]]), (1, 2), [2, 5], CPU)

    @pytest.mark.parametrize("values", [[1.0], [True], [[1]], ["1"], [-1], [5], 1])
    def test_what_is_no_choice(self, values):
        with pytest.raises(ValueError, match="'x' must"):
            check_integers("x", values, (1,), 5, CPU)

    def test_small_types_are_widened(self):
        assert check_integers("x", np.array([3], np.uint8), (1,), 5, CPU).dtype == torch.int64


def test_entry_says_what_there_is():
    with pytest.raises(ValueError, match=r"no 'params'; it has \['module'\]"):
        entry({"module": 1}, "params")
    with pytest.raises(ValueError, match="dict with 'params', not list"):
        entry([1], "params")
