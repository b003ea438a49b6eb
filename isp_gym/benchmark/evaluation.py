"""How good an agent is on scenes that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isp_gym.data import SceneSet
from isp_gym.errors import UserError
from isp_gym.modules import Bank
from isp_gym.tasks import Task

_CHUNK = 32


@dataclass(frozen=True)
class Evaluation:
    """Outputs (N, 3, H, W), metrics (N,) each, and the pipelines, or ``None`` for an agent that only enhances."""

    outputs: Tensor
    metrics: dict[str, Tensor]
    sequences: Tensor | None
    params: Tensor | None

    def means(self) -> dict[str, float]:
        """Each metric's mean over the scenes."""
        return {name: float(values.mean()) for name, values in self.metrics.items()}


@torch.no_grad()
def evaluate(agent: Any, scenes: SceneSet, bank: Bank, task: Task) -> Evaluation:
    """Run an agent on all scenes; it sees the inputs only.

    Args:
        agent: Has ``pipelines`` or ``enhance``, see :class:`isp_gym.benchmark.agent.Agent`.
        scenes: What to evaluate on.
        bank: Applies the pipelines.
        task: Measures the outputs.

    Raises:
        UserError: The agent returned something of the wrong shape, or numbers that are not finite.
    """
    parts = [_run(agent, scenes, range(start, min(start + _CHUNK, len(scenes))), bank) for start in _starts(scenes)]
    outputs = torch.cat([images for images, _, _ in parts])
    whole = scenes.batch(range(len(scenes)))
    sequences, params = ([part[i] for part in parts] for i in (1, 2))
    listed = parts[0][1] is not None
    return Evaluation(
        outputs,
        task.metrics(outputs, whole),
        torch.cat(sequences) if listed else None,
        torch.cat(params) if listed else None,
    )


def _starts(scenes: SceneSet) -> range:
    return range(0, len(scenes), _CHUNK)


def _run(agent: Any, scenes: SceneSet, indices: range, bank: Bank) -> tuple[Tensor, Any, Any]:
    images = scenes.batch(indices).images
    sequences = params = None
    if hasattr(agent, "pipelines"):
        sequences, params = agent.pipelines(images.clone())
        outputs = bank(images, sequences, params)
    else:
        outputs = agent.enhance(images.clone())
    if outputs.shape != images.shape:
        raise UserError(f"{_name(agent)}.enhance returned shape {tuple(outputs.shape)} for {tuple(images.shape)}")
    if not outputs.isfinite().all():
        raise UserError(f"{_name(agent)} made an image with NaN or infinite values")
    return outputs, sequences, params


def _name(agent: Any) -> str:
    return type(agent).__name__
