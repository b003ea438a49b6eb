"""One run: one agent, one seed, from its construction to its row in the results."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from isp_gym.benchmark.agent import load_agent
from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.evaluation import Evaluation, evaluate
from isp_gym.benchmark.oracle_file import load_oracle, regret
from isp_gym.benchmark.training import Training
from isp_gym.budget import Budget, BudgetExhausted
from isp_gym.data import SceneSet, recording, sealed
from isp_gym.modules import Bank

RUN_CARD = "run.json"
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
        self.snapshots: list[dict[str, Tensor]] = []
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
        if hasattr(agent, "networks"):
            state = agent.networks.state_dict()
            self.snapshots.append({key: value.clone() for key, value in state.items()})
        self.seconds += time.perf_counter() - start

    def add_test_scores(self, agent: Any, scenes: SceneSet) -> None:
        """Add each point's score on the test scenes (the paper's Fig. 5), afterwards: they are sealed in training."""
        if not self.snapshots:
            return
        for point, snapshot in zip(self.points, self.snapshots, strict=True):
            agent.networks.load_state_dict(snapshot)
            point[f"test_{self.task.score}"] = evaluate(agent, scenes, self.bank, self.task).metrics[self.task.score]


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
    seed_everything(seed)
    budget = Budget(config.budget)
    curve = _Curve(config, budget, on_progress)
    agent = load_agent(*config.agent_spec(name))
    start = time.perf_counter()
    with sealed("test"), recording() as log:
        # Seeds far apart: lane i of an environment has seed + i, and runs must not share their scenes.
        training = Training(config.setting("train"), seed * 1_000_003, budget, curve.checkpoint)
        with suppress(BudgetExhausted):
            agent.train(training)
    seconds = time.perf_counter() - start - curve.seconds
    if budget.task_evaluations:
        curve.measure(agent)
    test = config.setting("test").load_scenes()
    result = evaluate(agent, test, training.bank, curve.task, keep=config.pictures)
    curve.add_test_scores(agent, test)  # the last snapshot is what the agent has learned
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
        "controller_parameters": controller_parameters(agent),
        "curve": curve.points,
        **_regret(config, agent),
        "train_scenes_read": list(log.ids("train")),
        "scenes": scene_rows(result, test.ids, training.bank),
    }
    _save(folder, row, [curve.task.draw_found(output[None])[0] for output in result.outputs])
    _save_agent(folder, agent, config, name)
    return row


def _regret(config: CompareConfig, agent: Any) -> dict[str, float]:
    """How far the agent is from the best sequence there is, if the config names an oracle."""
    if not config.oracle.file:
        return {}
    setting = config.setting("train")
    return regret(agent, load_oracle(config.oracle.file, setting), setting)


def _save_agent(folder: Path, agent: Any, config: CompareConfig, name: str) -> None:
    """All that is needed to use the trained agent again, see :func:`isp_gym.benchmark.policy.load_policy`."""
    spec, options = config.agent_spec(name)
    (folder / RUN_CARD).write_text(json.dumps({"agent": spec, "options": options, "config": asdict(config)}, indent=1))
    if hasattr(agent, "save"):
        (folder / "policy").mkdir()
        agent.save(folder / "policy")


def seed_everything(seed: int) -> None:
    """Seed all random numbers, and compute on one thread, so that runs side by side do not wait for each other."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def controller_parameters(agent: Any) -> int:
    """Size of what the agent needs at inference."""
    networks = getattr(agent, "networks", None)
    return 0 if networks is None else sum(parameter.numel() for parameter in networks.parameters())


def scene_rows(result: Evaluation, ids: Sequence[str], bank: Bank) -> list[dict[str, Any]]:
    """Per scene its metrics and, exactly, the pipeline that it got: all that is needed to compute the row again."""
    rows = []
    for i, scene in enumerate(ids):
        row: dict[str, Any] = {"scene": scene, **_numbers(result.per_scene, i)}
        if result.sequences is not None and result.params is not None:
            tokens = [token for token in result.sequences[i].tolist() if token != bank.end_token]
            row["sequence"] = [bank.names[token] for token in tokens]
            row["params"] = result.params[i].tolist()
            row["words"] = bank.describe(result.sequences[i], result.params[i])
        rows.append(row)
    return rows


def _numbers(per_scene: dict[str, Tensor], i: int) -> dict[str, float]:
    """Scene i's metrics; JSON has no NaN, so what it has not is left out."""
    return {name: float(values[i]) for name, values in per_scene.items() if not values[i].isnan()}


def _save(folder: Path, row: Row, pictures: Sequence[Tensor]) -> None:
    folder.mkdir(parents=True)
    (folder / "row.json").write_text(json.dumps(row, indent=1))
    for i, image in enumerate(pictures):
        write_png(folder / f"test-{i}.png", image)


def write_png(path: Path, image: Tensor) -> None:
    """Write an image, (3, H, W) clipped to [0, 1], as 8-bit sRGB PNG."""
    pixels = image.detach().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    cv2.imwrite(str(path), np.ascontiguousarray(pixels[:, :, ::-1]))
