"""One run: one agent, one seed, from its construction to its row in the results."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from isp_gym.benchmark.agent import load_agent
from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.evaluation import Evaluation, evaluate
from isp_gym.benchmark.training import Training
from isp_gym.budget import Budget, BudgetExhausted
from isp_gym.data import SceneSet, sealed

Row = dict[str, Any]
OnProgress = Callable[[int], None]


class _Curve:
    """The learning curve on the validation scenes, a point each time another part of the budget is spent."""

    def __init__(self, config: CompareConfig, budget: Budget, on_progress: OnProgress) -> None:
        setting = config.setting("validation")
        self.scenes, self.bank, self.task = setting.load_scenes(), setting.make_bank(), setting.make_task()
        self.budget, self.on_progress = budget, on_progress
        self.interval = max(1, config.budget // config.curve_points)
        self.due = 0
        self.points: list[dict[str, float]] = []
        self.seconds = 0.0

    def checkpoint(self, agent: Any) -> None:
        """Report progress and, if a point is due, measure it without disturbing the agent's random numbers."""
        self.on_progress(self.budget.task_evaluations)
        if self.budget.task_evaluations >= self.due:
            self.due = (self.budget.task_evaluations // self.interval + 1) * self.interval
            self.measure(agent)

    def measure(self, agent: Any) -> None:
        """Add a point, unless there is one at this number of evaluations already."""
        if self.points and self.points[-1]["task_evaluations"] == self.budget.task_evaluations:
            return
        start = time.perf_counter()
        with torch.random.fork_rng():
            means = evaluate(agent, self.scenes, self.bank, self.task).metrics
            extra = agent.diagnostics() if hasattr(agent, "diagnostics") else {}
        self.points.append({"task_evaluations": self.budget.task_evaluations, **means, **extra})
        self.seconds += time.perf_counter() - start


def run(config: CompareConfig, name: str, seed: int, folder: Path, on_progress: OnProgress) -> Row:
    """Train and test one agent with one seed.

    Args:
        config: The comparison.
        name: Name of the agent in the config.
        seed: Seed of the run.
        folder: Where ``row.json`` and the pictures go; made here.
        on_progress: Told the number of task evaluations spent.

    Returns:
        The row.
    """
    _seed_everything(seed)
    budget = Budget(config.budget)
    curve = _Curve(config, budget, on_progress)
    agent = load_agent(*config.agent_spec(name))
    start = time.perf_counter()
    with sealed("test"):
        # Seeds far apart: lane i of an environment has seed + i, and runs must not share their scenes.
        training = Training(config.setting("train"), seed * 1_000_003, budget, curve.checkpoint)
        with suppress(BudgetExhausted):
            agent.train(training)
    seconds = time.perf_counter() - start - curve.seconds
    if budget.task_evaluations:
        curve.measure(agent)
    test = config.setting("test").load_scenes()
    result = evaluate(agent, test, training.bank, config.setting("test").make_task(), keep=config.pictures)
    row = {
        "agent": name,
        "task": config.task,
        "data": config.data,
        "split": "test",
        "seed": seed,
        "metrics": result.metrics,
        "task_evaluations": budget.task_evaluations,
        "gradient_evaluations": budget.gradient_evaluations,
        "module_megapixels": round(budget.module_megapixels, 3),
        "seconds": round(seconds, 2),
        "controller_parameters": _controller_parameters(agent),
        "curve": curve.points,
        "train_scenes_read": list(training.scenes.read),
        "scenes": _scene_rows(result, test, training),
    }
    _save(folder, row, result.outputs)
    return row


def _seed_everything(seed: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _controller_parameters(agent: Any) -> int:
    networks = getattr(agent, "networks", None)
    return 0 if networks is None else sum(parameter.numel() for parameter in networks.parameters())


def _scene_rows(result: Evaluation, scenes: SceneSet, training: Training) -> list[dict[str, Any]]:
    """Per scene its metrics and, exactly, the pipeline that it got: all that is needed to compute the row again."""
    rows = []
    for i, scene in enumerate(scenes.ids):
        row: dict[str, Any] = {"scene": scene, **_numbers(result.per_scene, i)}
        if result.sequences is not None and result.params is not None:
            tokens = [token for token in result.sequences[i].tolist() if token != training.bank.end_token]
            row["sequence"] = [training.bank.names[token] for token in tokens]
            row["params"] = result.params[i].tolist()
            row["words"] = training.bank.describe(result.sequences[i], result.params[i])
        rows.append(row)
    return rows


def _numbers(per_scene: dict[str, Tensor], i: int) -> dict[str, float]:
    """Scene i's metrics; JSON has no NaN, so what it has not is left out."""
    return {name: float(values[i]) for name, values in per_scene.items() if not values[i].isnan()}


def _save(folder: Path, row: Row, outputs: Tensor) -> None:
    folder.mkdir(parents=True)
    (folder / "row.json").write_text(json.dumps(row, indent=1))
    for i, image in enumerate(outputs):
        write_png(folder / f"test-{i}.png", image)


def write_png(path: Path, image: Tensor) -> None:
    """Write an image, (3, H, W) clipped to [0, 1], as 8-bit sRGB PNG."""
    pixels = image.detach().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    cv2.imwrite(str(path), np.ascontiguousarray(pixels[:, :, ::-1]))
