"""How good an agent is on scenes that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isp_gym.data import SceneBatch, SceneSet
from isp_gym.errors import UserError
from isp_gym.modules import Bank
from isp_gym.tasks import Task

_CHUNK = 32


@dataclass(frozen=True)
class Evaluation:
    """What came of it.

    Attributes:
        outputs: The first processed images, (n, 3, H, W), as many as were asked for.
        metrics: Metrics of the whole set.
        per_scene: Metrics of each scene, (N,) each, NaN where a scene has none.
        sequences: The pipelines, (N, L), or ``None`` for an agent that only enhances.
        params: Their normalised parameters, (N, P), or ``None``.
    """

    outputs: Tensor
    metrics: dict[str, float]
    per_scene: dict[str, Tensor]
    sequences: Tensor | None
    params: Tensor | None


@torch.no_grad()
def evaluate(agent: Any, scenes: SceneSet, bank: Bank, task: Task, keep: int = 0) -> Evaluation:
    """Run an agent on all scenes; it sees the inputs only.

    Args:
        agent: Has ``pipelines`` or ``enhance``, see :class:`isp_gym.benchmark.agent.Agent`.
        scenes: What to evaluate on.
        bank: Applies the pipelines.
        task: Measures the outputs.
        keep: How many of the processed images to keep.

    Raises:
        UserError: The agent returned something of the wrong shape, or numbers that are not finite; or a metric is not
            defined on these scenes.
    """
    meter, parts = task.meter(), []
    kept: list[Tensor] = []
    for batch in _batches(scenes):
        outputs, sequences, params = process(agent, batch, bank)
        parts.append((meter.add(outputs, batch), sequences, params))
        kept.append(outputs[: max(0, keep - sum(len(images) for images in kept))])
    listed = parts[0][1] is not None
    return Evaluation(
        torch.cat(kept),
        _defined(meter.result(), scenes),
        {name: torch.cat([part[0][name] for part in parts]) for name in parts[0][0]},
        torch.cat([part[1] for part in parts]) if listed else None,
        torch.cat([part[2] for part in parts]) if listed else None,
    )


def _defined(metrics: dict[str, float], scenes: SceneSet) -> dict[str, float]:
    """The metrics; ``UserError`` if one is NaN, which tables cannot rank by and JSON cannot hold."""
    for name, value in metrics.items():
        if math.isnan(value):
            raise UserError(
                f"{name} is not defined on the {len(scenes)} {scenes.split} scenes of data={scenes.data}: there is "
                f"nothing in them to be measured; take more (scenes.{scenes.split}=N) or other data"
            )
    return metrics


def _batches(scenes: SceneSet) -> Iterator[SceneBatch]:
    for start in range(0, len(scenes), _CHUNK):
        yield scenes.batch(range(start, min(start + _CHUNK, len(scenes))))


def process(agent: Any, batch: SceneBatch, bank: Bank) -> tuple[Tensor, Any, Any]:
    """What an agent makes of some scenes, and its pipelines; arguments and errors as for :func:`evaluate`.

    Returns:
        Images (B, 3, H, W); tokens (B, L) and parameters (B, P), or ``None`` twice from an agent that only enhances.
    """
    images = _shown(agent, batch)
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


def _shown(agent: Any, batch: SceneBatch) -> Tensor:
    """The RAW input or, for an agent that asks for it, what the camera itself made of the shot."""
    if getattr(agent, "sees", "raw") == "raw":
        return batch.images
    if batch.cameras is None:
        raise UserError(f"{_name(agent)} needs camera JPEGs, and this data has none; leave the agent out")
    return batch.cameras


def _name(agent: Any) -> str:
    return type(agent).__name__
