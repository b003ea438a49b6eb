from dataclasses import replace

import pytest
import torch

from isp_gym.budget import Budget, BudgetExhausted, Spent
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.transition import Transition

SETTING = EnvConfig(image_size=16, num_scenes=6)


@pytest.fixture
def transition():
    return SETTING.make_transition()


def pipelines(bank, n):
    generator = torch.Generator().manual_seed(0)
    sequences = torch.stack([torch.randperm(bank.num_modules, generator=generator) for _ in range(n)])
    sequences[0, 3:] = bank.end_token
    return sequences, torch.rand(n, bank.num_params, generator=generator)


def test_image_i_does_not_depend_on_the_batch(transition):
    sequences, params = pipelines(transition.bank, 6)
    whole = transition.play(transition.scenes.batch(range(6)), sequences, params)
    for i in (0, 3, 5):
        alone = transition.play(transition.scenes.batch([i]), sequences[i : i + 1], params[i : i + 1])
        for key in ("images", "loss", "penalty", "reward"):
            torch.testing.assert_close(getattr(alone, key)[0], getattr(whole, key)[i], rtol=1e-5, atol=1e-6)


def test_order_of_the_batch_does_not_matter(transition):
    sequences, params = pipelines(transition.bank, 6)
    order = torch.tensor([4, 2, 5, 0, 1, 3])
    whole = transition.play(transition.scenes.batch(range(6)), sequences, params).reward
    shuffled = transition.play(transition.scenes.batch(order), sequences[order], params[order]).reward
    torch.testing.assert_close(shuffled, whole[order], rtol=1e-5, atol=1e-6)


def test_inputs_are_left_alone(transition):
    sequences, params = pipelines(transition.bank, 6)
    scenes = transition.scenes.batch(range(6))
    kept = [t.clone() for t in (scenes.images, scenes.targets, sequences, params)]
    transition.play(scenes, sequences, params)
    for before, after in zip(kept, (scenes.images, scenes.targets, sequences, params), strict=True):
        assert torch.equal(before, after)


def test_gradients_reach_the_parameters_of_used_modules_only(transition):
    bank = transition.bank
    params = bank.neutral.repeat(2, 1).requires_grad_()
    gamma = bank.names.index("gamma")
    sequences = torch.tensor([[gamma, bank.end_token], [bank.end_token, gamma]])
    transition.play(transition.scenes.batch([0, 1]), sequences, params).loss.sum().backward()
    used = torch.zeros_like(params, dtype=torch.bool)
    used[0, bank.slices[gamma]] = True
    assert torch.equal(params.grad != 0, used)


def test_initial_loss_is_computed_once_and_for_free(transition):
    scenes = transition.scenes.batch([1, 2])
    first = transition.initial_loss(scenes)
    task = transition.task.unmetered
    torch.testing.assert_close(first, task.loss(scenes.images, scenes))
    task.loss = None
    assert torch.equal(transition.initial_loss(scenes), first)
    assert transition.budget.spent == Spent()


def test_budget_counts_images_gradients_and_megapixels(transition):
    end = transition.bank.end_token
    scenes = transition.scenes.batch([0, 1])
    sequences = torch.tensor([[0, 1, end], [0, end, 1]])
    params = torch.full((2, transition.bank.num_params), 0.4)
    transition.play(scenes, sequences, params)
    transition.play(scenes, sequences, params.requires_grad_())
    spent = transition.budget.spent
    assert (spent.task_evaluations, spent.gradient_evaluations, spent.env_steps) == (4, 2, 0)
    assert spent.module_megapixels == pytest.approx(2 * 3 * 16 * 16 / 1e6)


def test_an_exhausted_budget_scores_nothing(transition):
    transition.budget = Budget(3)
    sequences, params = pipelines(transition.bank, 2)
    transition.play(transition.scenes.batch([0, 1]), sequences, params)
    spent = replace(transition.budget.spent)
    with pytest.raises(BudgetExhausted):
        transition.play(transition.scenes.batch([0, 1]), sequences, params)
    assert transition.budget.spent == spent
    assert spent.task_evaluations == 2


def test_the_task_and_the_transition_count_once_each_and_in_the_current_budget(transition):
    scenes, task = transition.scenes.batch([0, 1]), transition.task
    transition.loss(scenes.images, scenes)
    assert transition.budget.spent == Spent(2)
    first, transition.budget = transition.budget, Budget()
    task.loss(scenes.images, scenes)
    task.metric().update(scenes.images, scenes)
    assert (first.task_evaluations, transition.budget.task_evaluations) == (2, 4)


@pytest.mark.parametrize("name", ["initial_loss", "initial_loss_map"])
def test_nobody_scores_their_own_images_as_inputs(name):
    transition = EnvConfig(image_size=16, num_scenes=6, objective={"fidelity": 1.0}).make_transition()
    scenes = transition.scenes.batch([4, 1])
    expected = transition.task.unmetered.loss(scenes.images, scenes)
    mine = replace(scenes, images=torch.rand_like(scenes.images), targets=torch.rand_like(scenes.images))
    losses = getattr(transition, name)(mine)
    torch.testing.assert_close(losses if losses.ndim == 1 else losses.mean(dim=(1, 2)), expected)
    torch.testing.assert_close(transition.initial_loss(scenes), expected)
    assert transition.budget.spent == Spent()


def test_play_takes_pipelines_or_tokens_of_which_it_drops_the_illegal_steps(transition):
    scenes, params = transition.scenes.batch([0, 1]), torch.full((2, transition.bank.num_params), 0.4)
    tokens = torch.tensor([[1, 1, 0], [2, transition.bank.end_token, 0]])
    admitted = transition.rules.admit(tokens, params)
    assert torch.equal(transition.play(scenes, tokens, params).images, transition.play(scenes, admitted).images)
    with pytest.raises(TypeError, match="their params"):
        transition.play(scenes, tokens)


def test_the_loss_of_an_input_does_not_depend_on_what_is_asked_with_it(transition):
    """To the bit: a training that goes on asks for it in other company."""
    together = transition.initial_loss(transition.scenes.batch(range(6)))
    fresh = Transition(transition.scenes, transition.rules, transition.task.unmetered, transition.reward)
    alone = torch.cat([fresh.initial_loss(fresh.scenes.batch([i])) for i in range(6)])
    assert torch.equal(together, alone)
