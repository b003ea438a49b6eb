"""Agents: each trains for a moment, and processes two images."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial

from isp_gym import plugins
from isp_gym.benchmark.agent import agent_names, load_agent
from isp_gym.benchmark.evaluation import process
from isp_gym.benchmark.training import Training
from isp_gym.budget import Budget, BudgetExhausted, metering
from isp_gym.data.access import seal
from isp_gym.doctor.check import Check, Skipped
from isp_gym.doctor.parts import TINY
from isp_gym.errors import UserError

_SETTING = replace(TINY, num_scenes=4, modules=["exposure", "gamma", "contrast"])
_BUDGET, _STEPS = 48, 480


def agent_checks() -> list[Check]:
    """Return a check for each installed agent: a tiny training, and its answer for two images."""
    return [Check("agents", name, partial(_agent, name)) for name in agent_names()]


def _agent(name: str) -> str:
    quick = getattr(plugins.find("agents", name), "quick_options", {})
    budget = Budget(_BUDGET, _STEPS)
    batch = _SETTING.load_scenes().batch([0, 1])
    with seal("validation", "test"), metering(budget):
        agent = load_agent(name, quick)
        try:
            agent.check(_SETTING)
        except UserError as reason:
            raise Skipped(f"needs another problem: {reason}") from reason
        if agent.observes == "camera" and batch.cameras is None:
            raise Skipped("needs data with the camera's own images, such as data=lod:PATH")
        with suppress(BudgetExhausted):
            agent.train(Training(_SETTING, 0, budget))
    process(agent, batch, _SETTING.rules)
    return f"{budget.task_evaluations} task evaluations"
