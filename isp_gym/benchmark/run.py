"""One run, from the construction of its agent to its row, in stages that each take what the one before returns.

``learn`` -> ``Learned`` -> ``choose`` -> ``Policy`` -> ``score`` -> ``Scored`` -> ``record`` -> row. The types keep the
order: what is scored is a policy that was loaded back, and only a policy that has been scored has a row.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from isp_gym.benchmark.agent import Agent
from isp_gym.benchmark.evaluation import evaluate
from isp_gym.benchmark.files import digest_of_folder, write_folder, write_json
from isp_gym.benchmark.plan import CARD, POLICY, Plan
from isp_gym.benchmark.results import ROW, Row
from isp_gym.benchmark.row import Policy, Scored, record
from isp_gym.benchmark.run_context import LOG, READS, Run
from isp_gym.budget import BudgetExhausted
from isp_gym.data.access import lifted
from isp_gym.errors import UserError

ERROR = "error.txt"  # the traceback of a run that failed
_PICTURES = "test-*.png"


@dataclass(frozen=True)
class Learned:
    """An agent as its training left it.

    Attributes:
        agent: The agent.
        ended: What ended its training, see :meth:`isp_gym.benchmark.run_context.Run.train`.
    """

    agent: Agent
    ended: str


def run(plan: Plan, folder: Path, on_start: Callable[[Run], None] = lambda context: None) -> Row:
    """Train one agent with one seed, and score what it has learned on the plan's split.

    Args:
        plan: What to run.
        folder: Its own folder: ``run.json``, ``log.jsonl``, ``points/``, ``policy/``, pictures and, last, ``row.json``.
            A checkpoint in it is resumed from; without one the run starts anew.
        on_start: Told of the context, before the training begins, by whoever watches.

    Returns:
        The row.

    Raises:
        UserError: The agent did something that it may not.
        Stopped: The user has asked for an end; the run has saved itself.
    """
    context = Run(plan, folder)
    _prepare(context)
    on_start(context)
    with context.open():
        learned = learn(context)
        policy = choose(context, learned)
        scored = score(context, policy)
        row = record(context, scored)
    _write(context, scored, row)
    return row


def learn(context: Run) -> Learned:
    """Make the agent and train it; the last point of its curve is what it is in the end."""
    agent = context.plan.make_agent()
    ended = context.train(agent)
    context.finish(agent, ended)
    return Learned(agent, ended)


def choose(context: Run, learned: Learned) -> Policy:
    """Save the point of the curve that is best on the validation scenes as the run's policy, and load it back.

    An agent that has no curve is saved as it is, and one that cannot be saved is chosen as it is.
    """
    if not learned.agent.can_be_saved:
        return Policy(learned.agent, learned.ended, None, None)
    folder, best = context.folder / POLICY, context.curve.best() if context.curve.points else None
    if best is None:
        write_folder(folder, learned.agent.save)
    else:
        write_folder(folder, partial(_copy, context.curve.saved(best["task_evaluations"])))
    digest = digest_of_folder(folder)
    chosen_at = None if best is None else int(best["task_evaluations"])
    return Policy(context.plan.load_agent(folder), learned.ended, chosen_at, digest)


def score(context: Run, policy: Policy) -> Scored:
    """Evaluate the policy on the plan's split; of the test scenes this is the one reading that counts.

    When nothing is chosen any more, the points of the curve get their test scores as well.
    """
    plan = context.plan
    setting = plan.problem.setting(plan.split)
    with lifted():
        scenes = setting.load_scenes()
    try:
        task = setting.make_task().unmetered
        evaluation = evaluate(policy.agent, scenes, setting.rules, task, keep=plan.pictures)
    except BudgetExhausted as error:
        raise UserError(f"agent '{plan.agent}' asks for task scores after its training") from error
    if plan.split == "test" and policy.digest is not None:
        context.curve.add_test_scores(setting)
    return Scored(policy, evaluation, scenes)


def _prepare(context: Run) -> None:
    """Make the folder and write what is run; without a checkpoint, what an interrupted run has left is removed."""
    if context.checkpoints.latest() is None:
        clear(context.folder)
    context.folder.mkdir(parents=True, exist_ok=True)
    context.plan.write_card(context.folder)


def clear(folder: Path) -> None:
    """Remove what runs write from ``folder``, and nothing else."""
    for name in (CARD, LOG, READS, ROW, ERROR, _PICTURES, "points", "checkpoints", POLICY):
        for path in (*folder.glob(name), *folder.glob(f"{name}.partial")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)


def _write(context: Run, scored: Scored, row: Row) -> None:
    """Write pictures and, when all else is there, the row; the checkpoints are not needed any more."""
    for i, output in enumerate(scored.evaluation.outputs):
        path = context.folder / _PICTURES.replace("*", str(i))
        write_png(path, context.curve.task.draw_predictions(output[None])[0])
    write_json(context.folder / ROW, row)
    context.checkpoints.clear()


def write_png(path: Path, image: Tensor) -> None:
    """Write an image, (3, H, W) clipped to [0, 1], as 8-bit sRGB PNG.

    Raises:
        OSError: It cannot be written.
    """
    pixels = image.detach().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    _, png = cv2.imencode(".png", np.ascontiguousarray(pixels[:, :, ::-1]))
    path.write_bytes(png.tobytes())
