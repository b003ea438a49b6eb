"""The row of a run: made of a policy that has been scored, and of nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from isp_gym.benchmark.agent import Agent
from isp_gym.benchmark.evaluation import Evaluation
from isp_gym.benchmark.oracle_file import load_oracle, regret
from isp_gym.benchmark.provenance import made_with, peak_memory_mb
from isp_gym.benchmark.results import SCHEMA, Row, with_digest
from isp_gym.benchmark.run_context import Run
from isp_gym.data import SPLITS, SceneSet


@dataclass(frozen=True)
class Policy:
    """What came of a training, and is scored.

    Attributes:
        agent: A fresh agent that was loaded from the run's ``policy/``; of one that cannot be saved, itself.
        ended: What ended its training.
        chosen_at: Task evaluations of the point of the curve that it is, if it is one.
        digest: Of the files that it was loaded from, if it was.
    """

    agent: Agent
    ended: str
    chosen_at: int | None
    digest: str | None


@dataclass(frozen=True)
class Scored:
    """A policy with its scores.

    Attributes:
        policy: The policy.
        evaluation: Its outputs, pipelines and metrics.
        scenes: What it was scored on.
    """

    policy: Policy
    evaluation: Evaluation
    scenes: SceneSet


def record(context: Run, scored: Scored) -> Row:
    """Return the row: what was run, what was spent, and of each scene what is needed to replay it."""
    plan, policy, evaluation = context.plan, scored.policy, scored.evaluation
    problem, seconds = plan.problem, round(context.seconds, 2)
    row: Row = {
        "schema": SCHEMA,
        "problem": problem.name,
        "agent": plan.agent,
        "task": problem.env.task,
        "data": problem.env.data,
        "split": plan.split,
        "seed": plan.seed,
        "observes": policy.agent.observes,
        "metrics": evaluation.metrics,
        "scenes_left_out": evaluation.left_out,
        **asdict(context.budget.spent),
        "ended": policy.ended,
        "resumed_inexactly": context.went_on and not policy.agent.exact_resume,
        "controller_parameters": controller_parameters(policy.agent),
        "chosen_at": policy.chosen_at,
        "policy": policy.digest,
        "refused": evaluation.refused,
        "curve": context.curve.points,
        **_regret(context, policy.agent),
        **_reads(context),
        "scenes": scene_rows(evaluation, scored.scenes),
        "made_with": made_with(problem.env.rules.bank, plan.checksums),
        "seconds": seconds,
        "cost": {
            "seconds": seconds,
            "resumed": context.resumed,
            "threads": torch.get_num_threads(),
            "peak_memory_mb": peak_memory_mb(),
        },
    }
    return with_digest(row)


def scene_rows(evaluation: Evaluation, scenes: SceneSet) -> list[dict[str, Any]]:
    """Return of each scene its photo, metrics and exact pipeline: all that is needed to replay it."""
    named = zip(scenes.ids, scenes.photos, strict=True)
    return [{"scene": scene, "photo": photo, **evaluation.row(i)} for i, (scene, photo) in enumerate(named)]


def controller_parameters(agent: Agent) -> int:
    """Count the parameters of what the agent needs at inference."""
    networks = agent.networks
    return 0 if networks is None else sum(parameter.numel() for parameter in networks.parameters())


def _regret(context: Run, agent: Agent) -> dict[str, float]:
    """Measure how far the agent is from the best sequence there is, if the problem names an oracle."""
    problem = context.plan.problem
    if not problem.oracle.file:
        return {}
    setting = problem.setting("train")
    return regret(agent, load_oracle(problem.oracle.file, setting), setting)


def _reads(context: Run) -> dict[str, Any]:
    counts = context.reads.counts
    return {
        "train_scenes_read": context.train_scenes_read,
        "scenes_read": {split: counts.get(split, 0) for split in SPLITS},
        "reads_refused": dict(context.reads.refusals),
    }
