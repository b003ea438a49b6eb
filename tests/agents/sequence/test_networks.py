import pytest
import torch

from agents.sequence.networks import MarkovPolicy, ParameterPredictor, TablePolicy, order_matrix, squash
from isp_gym.modules import get_bank


class TestParameterPredictor:
    def test_parameters_lie_in_the_unit_range(self):
        params = ParameterPredictor(27)(torch.rand(3, 3, 64, 64) * 5)
        assert params.shape == (3, 27)
        assert params.min() >= 0 and params.max() <= 1

    @pytest.mark.parametrize("size", [(64, 64), (17, 40), (512, 300)])
    def test_takes_images_of_any_size(self, size):
        assert ParameterPredictor(27)(torch.rand(1, 3, *size)).shape == (1, 27)

    def test_is_as_small_as_published(self):
        assert sum(p.numel() for p in ParameterPredictor(27).parameters()) == 527_067

    def test_starts_near_the_neutral_parameters(self):
        neutral = get_bank("reference").neutral
        params = ParameterPredictor(27, neutral)(torch.rand(4, 3, 64, 64))
        assert (params - neutral.clamp(0.02, 0.98)).abs().max() < 0.03

    def test_images_do_not_affect_each_other(self):
        predictor, images = ParameterPredictor(27), torch.rand(5, 3, 32, 32)
        torch.testing.assert_close(predictor(images)[2:3], predictor(images[2:3]), atol=1e-6, rtol=0)

    def test_averages_over_the_pixels_of_a_large_image(self):
        predictor, small = ParameterPredictor(27), torch.rand(1, 3, 64, 64)
        large = small.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
        torch.testing.assert_close(predictor(large), predictor(small), atol=1e-5, rtol=0)


class TestSequence:
    def test_order_matrix(self):
        matrix = order_matrix(torch.tensor([[2, 0, 3], [3, 3, 3]]), 3).reshape(2, 3, 3)
        assert matrix[0].tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 1]]
        assert not matrix[1].any()

    def test_order_matrix_of_modules_used_again(self):
        matrix = order_matrix(torch.tensor([[1, 0, 1, 3], [1, 1, 0, 3]]), 3).reshape(2, 3, 3)
        assert matrix[0].tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
        assert matrix[1].tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]

    def test_a_conditioned_predictor_tells_orders_apart(self):
        predictor, images = ParameterPredictor(9, condition_on=3), torch.rand(2, 3, 64, 64)
        sequences = torch.tensor([[0, 1, 3], [1, 0, 3], [0, 1, 3], [3, 3, 3]])
        pretanh = predictor.pretanh(images, sequences, torch.tensor([0, 0, 1, 1]))
        assert pretanh.shape == (4, 9)
        assert not torch.allclose(pretanh[0], pretanh[1], atol=1e-4)
        torch.testing.assert_close(pretanh[2], predictor.pretanh(images[1:], sequences[2:3], torch.tensor([0]))[0])

    def test_another_does_not_look(self):
        predictor, images = ParameterPredictor(9), torch.rand(2, 3, 64, 64)
        rows, sequences = torch.tensor([0, 0, 1]), torch.tensor([[0, 1], [1, 0], [2, 2]])
        pretanh = predictor.pretanh(images, sequences, rows)
        assert torch.equal(squash(pretanh), predictor(images)[rows])


@pytest.mark.parametrize(("width", "most"), [(32, 530_000), (13, 100_000)])
def test_size(width, most):
    assert sum(p.numel() for p in ParameterPredictor(27, width=width).parameters()) <= most


def test_the_table_knows_how_many_came_before():
    policy = TablePolicy(3, 3)
    with torch.no_grad():
        policy.table[0, 2] = policy.table[1, 0] = policy.table[2, 3] = 50.0
    assert policy.greedy().tolist() == [2, 0, 3]
    assert policy.evaluate(torch.tensor([[2, 0, 3]])).log_probs > -1e-3


def test_a_markov_policy_knows_which_came_before():
    policy = MarkovPolicy(3, 3)
    with torch.no_grad():
        policy.table[0, :2] = 50.0
        policy.follows[0, 3] = policy.follows[1, 2] = policy.follows[2, 3] = 50.0
    one, other = policy.evaluate(torch.tensor([[0, 3, 3], [1, 2, 3]])).log_probs.exp()
    torch.testing.assert_close(torch.stack([one, other]), torch.tensor([0.5, 0.5]), atol=1e-3, rtol=0)
