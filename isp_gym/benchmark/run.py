"""One run, from the construction of its agent to its row: train, choose on validation, load, test, record."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from isp_gym.benchmark.agent import Agent
from isp_gym.benchmark.evaluation import Evaluation, evaluate
from isp_gym.benchmark.files import digest_of_folder, write_folder, write_json
from isp_gym.benchmark.oracle_file import load_oracle, regret
from isp_gym.benchmark.plan import POLICY, Plan
from isp_gym.benchmark.provenance import made_with, peak_memory_mb
from isp_gym.benchmark.results import ROW, SCHEMA, Row, with_digest
from isp_gym.benchmark.run_context import Run
from isp_gym.budget import BudgetExhausted
from isp_gym.data import SceneSet
from isp_gym.data.access import lifted
from isp_gym.errors import UserError


def run(plan: Plan, folder: Path, on_start: Callable[[Run], None] = lambda context: None) -> Row:
    """Train and test one agent with one seed.

    Args:
        plan: What to run.
        folder: Its own folder: ``run.json``, ``log.jsonl``, ``points/``, ``policy/``, pictures and, last, ``row.json``.
            A checkpoint in it is gone on from; anything else is made anew.
        on_start: Told of the context, before the training begins, by whoever watches.

    Returns:
        The row.

    Raises:
        UserError: The agent did something that it may not.
        Stopped: The user has asked for an end; the run has saved itself.
    """
    context = Run(plan, folder)
    if context.checkpoints.latest() is None:
        _clear(folder)
    plan.write_card(_made(folder))
    on_start(context)
    with context.open():
        agent = plan.make_agent()
        ended = context.train(agent)
        context.finish(agent, ended)
        final = _chosen(context, agent)
        tested, scenes = _tested(context, final)
        if agent.can_be_saved:
            context.curve.add_test_scores(plan.problem.setting("test"))
        row = _row(context, final, ended, tested, scenes)
    _write_pictures(context, tested)
    write_json(folder / ROW, row)
    context.checkpoints.clear()
    return row


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _clear(folder: Path) -> None:
    """Remove what an interrupted run without a checkpoint has left: this one starts anew."""
    shutil.rmtree(folder, ignore_errors=True)


def _chosen(context: Run, agent: Agent) -> Agent:
    """The policy to test: of the curve's points the best on the validation scenes, as it is read back from its folder.

    Of an agent that cannot be saved, what it is now.
    """
    if not agent.can_be_saved:
        return agent
    folder = context.folder / POLICY
    if context.curve.points:
        best = context.curve.saved(context.curve.best()["task_evaluations"])
        write_folder(folder, partial(_copy, best))
    else:
        write_folder(folder, agent.save)
    return context.plan.load_agent(folder)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)


def _tested(context: Run, agent: Agent) -> tuple[Evaluation, SceneSet]:
    """The one reading of the test scenes that counts."""
    setting = context.plan.problem.setting("test")
    with lifted():
        scenes = setting.load_scenes()
    try:
        task = setting.make_task().unmetered
        return evaluate(agent, scenes, setting.rules, task, keep=context.plan.pictures), scenes
    except BudgetExhausted as error:
        raise UserError(f"agent '{context.plan.agent}' asks for task scores after its training") from error


def _row(context: Run, agent: Agent, ended: str, tested: Evaluation, scenes: SceneSet) -> Row:
    plan, problem, points = context.plan, context.plan.problem, context.curve.points
    policy = context.folder / POLICY
    chosen = context.curve.best()["task_evaluations"] if points and agent.can_be_saved else None
    row: Row = {
        "schema": SCHEMA,
        "problem": problem.name,
        "agent": plan.agent,
        "task": problem.env.task,
        "data": problem.env.data,
        "split": "test",
        "seed": plan.seed,
        "observes": agent.observes,
        "metrics": tested.metrics,
        "scenes_left_out": tested.left_out,
        **asdict(context.budget.spent),
        "ended": ended,
        "resumed_inexactly": context.went_on and not agent.exact_resume,
        "controller_parameters": controller_parameters(agent),
        "chosen_at": chosen,
        "policy": digest_of_folder(policy) if agent.can_be_saved else None,
        "refused": 0 if tested.pipelines is None else int(tested.pipelines.refused.sum()),
        "curve": points,
        **_regret(context, agent),
        "train_scenes_read": context.train_scenes_read,
        "scenes_read": {split: context.reads.counts.get(split, 0) for split in ("train", "validation", "test")},
        "reads_refused": dict(context.reads.refusals),
        "scenes": scene_rows(tested, scenes),
        "made_with": made_with(problem.env.rules.bank, plan.checksums),
        "seconds": round(context.seconds, 2),
        "cost": {
            "seconds": round(context.seconds, 2),
            "resumed": context.resumed,
            "threads": torch.get_num_threads(),
            "peak_memory_mb": peak_memory_mb(),
        },
    }
    return with_digest(row)


def scene_rows(tested: Evaluation, scenes: SceneSet) -> list[dict[str, Any]]:
    """Per scene its photograph, metrics and, exactly, the pipeline that it got: all that is needed to replay it."""
    named = zip(scenes.ids, scenes.photos, strict=True)
    return [{"scene": scene, "photo": photo, **tested.row(i)} for i, (scene, photo) in enumerate(named)]


def _regret(context: Run, agent: Agent) -> dict[str, float]:
    """How far the agent is from the best sequence there is, if the problem names an oracle."""
    problem = context.plan.problem
    if not problem.oracle.file:
        return {}
    setting = problem.setting("train")
    return regret(agent, load_oracle(problem.oracle.file, setting), setting)


def controller_parameters(agent: Agent) -> int:
    """Size of what the agent needs at inference."""
    networks = agent.networks
    return 0 if networks is None else sum(parameter.numel() for parameter in networks.parameters())


def _write_pictures(context: Run, tested: Evaluation) -> None:
    task = context.curve.task
    for i, output in enumerate(tested.outputs):
        write_png(context.folder / f"test-{i}.png", task.draw_predictions(output[None])[0])


def write_png(path: Path, image: Tensor) -> None:
    """Write an image, (3, H, W) clipped to [0, 1], as 8-bit sRGB PNG.

    Raises:
        OSError: It cannot be written.
    """
    pixels = image.detach().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    _, png = cv2.imencode(".png", np.ascontiguousarray(pixels[:, :, ::-1]))
    path.write_bytes(png.tobytes())
