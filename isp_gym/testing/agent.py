"""What every agent must do to take part in a comparison."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isp_gym.benchmark.agent import load_agent
from isp_gym.benchmark.training import Training
from isp_gym.budget import Budget, BudgetExhausted
from isp_gym.data import sealed
from isp_gym.envs.setting import Setting


def check_agent(
    agent: str | Callable[[], Any], *, setting: Setting | None = None, budget: int = 64, seeded: bool = True
) -> None:
    """Check an agent: it trains within its budget, without the test scenes, and then judges each image by itself.

    Args:
        agent: Name of a registered agent, ``package.module:Class``, or a function that makes one.
        setting: What to train on; by default 8 small scenes.
        budget: Task evaluations to train with.
        seeded: Also train a second time with the same seed, and expect the same agent.

    Raises:
        AssertionError: A check has failed; the message says which.
    """
    setting = setting or Setting(num_scenes=8, image_size=64)
    trained, training = _train(agent, setting, budget)
    spent = training.budget.task_evaluations
    assert spent <= budget, f"it spent {spent} of {budget} task evaluations"
    images = training.scenes.batch(range(4)).images
    training.budget.limit = spent  # not one more
    try:
        output = _check_output(trained, training, images)
    except BudgetExhausted as error:
        raise AssertionError("it spends task evaluations after its training") from error
    _check_rows(trained, training, images, output)
    if seeded:
        again, _ = _train(agent, setting, budget)
        same = torch.allclose(_enhanced(again, training, images), output, rtol=1e-4, atol=1e-4)
        assert same, "trained again with the same seed it does something else"


def _train(agent: str | Callable[[], Any], setting: Setting, budget: int) -> tuple[Any, Training]:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    made = load_agent(agent) if isinstance(agent, str) else agent()
    assert callable(getattr(made, "train", None)), "it has no method train(training)"
    methods = [name for name in ("pipelines", "enhance") if callable(getattr(made, name, None))]
    assert methods, "it has neither pipelines(images) nor enhance(images)"
    training = Training(setting, 0, Budget(budget))
    limits = training.budget
    # The benchmark takes an exhausted budget as the end of the training, too.
    with sealed("test"), contextlib.suppress(BudgetExhausted):
        made.train(training)
    assert training.budget is limits, "it replaced its budget"
    assert limits.limit == budget, "it changed the limit of its budget"
    assert torch.is_grad_enabled(), "it leaves gradients switched off"
    return made, training


def _check_output(agent: Any, training: Training, images: Tensor) -> Tensor:
    kept = images.clone()
    if callable(getattr(agent, "pipelines", None)):
        sequences, params = agent.pipelines(images)
        _check_pipelines(sequences, params, training, len(images))
    output = _enhanced(agent, training, images)
    assert torch.equal(images, kept), "it writes to the images that it is shown"
    assert output.shape == images.shape, f"images {tuple(images.shape)} became {tuple(output.shape)}"
    assert output.isfinite().all(), "its images are not finite"
    assert torch.equal(_enhanced(agent, training, images), output), "asked again, it does something else"
    return output


def _check_pipelines(sequences: Tensor, params: Tensor, training: Training, count: int) -> None:
    bank, length = training.bank, training.setting.length
    assert sequences.ndim == 2 and len(sequences) == count, f"tokens must be ({count}, L), not {tuple(sequences.shape)}"
    assert not sequences.is_floating_point(), f"tokens must be integers, not {sequences.dtype}"
    inside = bool(((sequences >= 0) & (sequences <= bank.end_token)).all())
    assert inside, f"tokens must lie in [0, {bank.end_token}]"
    used = (sequences != bank.end_token).cumprod(1).sum(1)
    assert int(used.max()) <= length, f"a pipeline has {int(used.max())} modules; at most {length} are allowed"
    for row in sequences.tolist():
        modules = row[: row.index(bank.end_token)] if bank.end_token in row else row
        assert len(set(modules)) == len(modules), f"a pipeline uses a module twice: {modules}"
    shape = (count, bank.num_params)
    assert params.shape == shape, f"parameters must have shape {shape}, not {tuple(params.shape)}"
    assert bool(((params >= 0) & (params <= 1)).all()), "parameters must lie in [0, 1]"


@torch.no_grad()
def _enhanced(agent: Any, training: Training, images: Tensor) -> Tensor:
    if callable(getattr(agent, "pipelines", None)):
        return training.bank(images, *agent.pipelines(images))
    return agent.enhance(images)


def _check_rows(agent: Any, training: Training, images: Tensor, output: Tensor) -> None:
    for i in range(len(images)):
        alone = _enhanced(agent, training, images[i : i + 1])[0]
        same = torch.allclose(alone, output[i], rtol=1e-3, atol=1e-3)
        assert same, "what it does to an image depends on the rest of the batch"
