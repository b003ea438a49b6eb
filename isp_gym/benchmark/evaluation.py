"""Evaluation of an agent on scenes that it has not seen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from isp_gym.benchmark.agent import Agent, PlainAgent, one_line
from isp_gym.data import SceneBatch, SceneSet
from isp_gym.data.access import lifted
from isp_gym.errors import UserError
from isp_gym.pipelines import Pipelines, Rules
from isp_gym.tasks import Task

_CHUNK = 32


#: When an agent was asked for something that it has not answered yet, by time.monotonic(); for who watches the run.
asked_at: float | None = None


@contextmanager
def _asking() -> Iterator[None]:
    global asked_at
    asked_at = time.monotonic()
    try:
        yield
    finally:
        asked_at = None


@dataclass(frozen=True)
class Evaluation:
    """Metrics, pipelines and images of an agent on a set of scenes.

    Attributes:
        outputs: The first processed images, (n, 3, H, W), as many as were asked for.
        metrics: Metrics of the whole set.
        per_scene: Metrics of each scene, (N,) each, NaN where a scene has none.
        pipelines: What was applied, N of them, or ``None`` for an agent that only enhances.
        left_out: Scenes that are no test of anything (a constant target) and not part of the metrics.
    """

    outputs: Tensor
    metrics: dict[str, float]
    per_scene: dict[str, Tensor]
    pipelines: Pipelines | None
    left_out: int

    @property
    def refused(self) -> int:
        """Steps of the pipelines that the rules do not allow, and that were dropped."""
        return 0 if self.pipelines is None else int(self.pipelines.refused.sum())

    def row(self, i: int) -> dict[str, Any]:
        """Return scene i's metrics and its exact pipeline; JSON has no NaN, so what it has not is left out."""
        numbers = {name: float(values[i]) for name, values in self.per_scene.items() if not values[i].isnan()}
        return numbers if self.pipelines is None else {**numbers, **self.pipelines.record(i)}


@torch.no_grad()
def evaluate(
    agent: Agent,
    scenes: SceneSet,
    rules: Rules,
    task: Task,
    keep: int = 0,
    on_batch: Callable[[int], None] = lambda scored: None,
) -> Evaluation:
    """Run an agent on all scenes; it is shown what it observes of them only.

    Args:
        agent: Asked for pipelines or images.
        scenes: What to evaluate on; their split may be sealed, for they are read here and not by the agent.
        rules: What a pipeline may be; steps that they do not allow are dropped, as in the environments.
        task: Measures the outputs; not metered.
        keep: How many of the processed images to keep.
        on_batch: Told how many scenes have been scored, some at a time.

    Raises:
        UserError: The agent returned something of the wrong kind, or numbers that are not finite; or a metric is not
            defined on these scenes.
    """
    metric, chunks = task.metric(), []
    kept: list[Tensor] = []
    for batch in batches(scenes):
        outputs, pipelines = process(agent, batch, rules)
        chunks.append((metric.update(outputs, batch), pipelines))
        kept.append(outputs[: max(0, keep - sum(len(images) for images in kept))])
        on_batch(min(len(chunks) * _CHUNK, len(scenes)))
    made = [pipelines.to("cpu") for _, pipelines in chunks if pipelines is not None]
    return Evaluation(
        torch.cat(kept),
        defined(metric.compute(), scenes),
        {name: torch.cat([per_scene[name] for per_scene, _ in chunks]) for name in chunks[0][0]},
        Pipelines.cat(made) if made else None,
        metric.left_out(),
    )


def batches(scenes: SceneSet) -> Iterator[SceneBatch]:
    """Yield all scenes in chunks, read by the benchmark itself."""
    for start in range(0, len(scenes), _CHUNK):
        with lifted():
            batch = scenes.batch(range(start, min(start + _CHUNK, len(scenes))))
        yield batch


def defined(metrics: dict[str, float], scenes: SceneSet) -> dict[str, float]:
    """Return the metrics; ``UserError`` if one is NaN, which tables cannot rank by and JSON cannot hold."""
    for name, value in metrics.items():
        if math.isnan(value):
            raise UserError(
                f"{name} is not defined on the {len(scenes)} {scenes.split} scenes of data={scenes.data}: there is "
                f"nothing in them to be measured; take more (scenes.{scenes.split}=N) or other data"
            )
    return metrics


def process(agent: Agent, batch: SceneBatch, rules: Rules) -> tuple[Tensor, Pipelines | None]:
    """Run an agent on some scenes; arguments and errors as for :func:`evaluate`.

    Returns:
        Images (B, 3, H, W), and the pipelines that made them, or ``None`` of an agent that only enhances.
    """
    images = _observed(agent, batch)
    if not agent.makes_pipelines:
        with _asking():
            outputs = agent.enhance(images.clone())
        _check_images(agent, outputs, images)
        return outputs, None
    pipelines = pipelines_of(agent, images, rules)
    outputs = pipelines(images)
    if not outputs.isfinite().all():
        raise UserError(f"{name_of(agent)} made an image with NaN or infinite values")
    return outputs, pipelines


def pipelines_of(agent: Agent, images: Tensor, rules: Rules) -> Pipelines:
    """Ask an agent for pipelines of images (B, 3, H, W), admitted by the rules as the environments admit actions.

    Raises:
        UserError: What it answers is of the wrong kind.
    """
    with _asking():
        answer = agent.pipelines(images.clone())
    try:
        if not isinstance(answer, Pipelines):
            tokens, params = answer
            answer = rules.admit(tokens, params)
        elif answer.rules != rules:
            answer = rules.admit(answer.tokens, answer.params)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name_of(agent)}.pipelines is wrong: {one_line(error)}") from error
    if len(answer) != len(images) or answer.tokens.device != images.device:
        raise UserError(
            f"{name_of(agent)}.pipelines returned {len(answer)} on {answer.tokens.device} "
            f"for {len(images)} images on {images.device}"
        )
    return answer


def _check_images(agent: Agent, outputs: Any, images: Tensor) -> None:
    if not isinstance(outputs, Tensor) or outputs.shape != images.shape:
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise UserError(f"{name_of(agent)}.enhance returned shape {shape} for {tuple(images.shape)}")
    if not outputs.isfinite().all():
        raise UserError(f"{name_of(agent)} made an image with NaN or infinite values")


def _observed(agent: Agent, batch: SceneBatch) -> Tensor:
    shown = {"raw": batch.images, "camera": batch.cameras, "target": batch.targets}[agent.observes]
    if shown is None:
        what = {"camera": "camera JPEGs", "target": "target images"}[agent.observes]
        raise UserError(f"{name_of(agent)} needs {what}, and this data has none; leave the agent out")
    return shown


def name_of(agent: Agent) -> str:
    """Return the name of an agent's class."""
    return type(agent.agent if isinstance(agent, PlainAgent) else agent).__name__
