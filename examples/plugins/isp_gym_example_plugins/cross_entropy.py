"""An agent: the cross-entropy method on the parameters of one fixed order of modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from isp_gym.benchmark import Agent, Training
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.pipelines import Pipelines


class CrossEntropy(Agent):
    """Sample parameters from a normal distribution and fit it to the best of them, again and again.

    Args:
        order: Names of the modules, in the order in which they are applied.
        population: Candidates per iteration; each costs one task evaluation.
        elite: Share of them that the distribution is fitted to, in (0, 1].
        std: Initial standard deviation, of parameters normalised to [0, 1].
    """

    exact_resume = True

    def __init__(
        self, order: Sequence[str] = ("exposure", "gamma"), population: int = 16, elite: float = 0.25, std: float = 0.2
    ) -> None:
        self.order, self.population, self.elite, self.std = tuple(order), population, elite, std
        self.tokens: Tensor
        self.mean: Tensor

    def check(self, setting: EnvConfig) -> None:
        """Raise ``UserError`` if the bank lacks a module of the order."""
        names = setting.rules.bank.names
        if missing := [name for name in self.order if name not in names]:
            raise UserError(f"cross-entropy: the bank has no module '{missing[0]}'; order takes {', '.join(names)}")

    @torch.no_grad()
    def train(self, training: Training) -> None:
        """Iterate until the budget does not cover another population."""
        bank = training.bank
        self.tokens = torch.tensor([bank.names.index(name) for name in self.order])
        self.mean = bank.neutral.clone()
        search = Search(self, training)
        training.resume(search)
        while training.remaining >= self.population:
            search.iterate()
            training.checkpoint(self, search)

    def pipelines(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Answer every image with the mean of the distribution: tokens (B, L) and parameters (B, P)."""
        n = len(images)
        return self.tokens.to(images.device).repeat(n, 1), self.mean.to(images).repeat(n, 1)

    def state(self) -> dict[str, Any]:
        """Return what is needed to use it again."""
        return {"tokens": self.tokens, "mean": self.mean}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.tokens, self.mean = state["tokens"], state["mean"]


class Search:
    """What goes on in the training besides the policy: the spread of the distribution and the next scene."""

    def __init__(self, agent: CrossEntropy, training: Training) -> None:
        self.agent, self.training, self.iteration = agent, training, 0
        self.std = torch.full_like(agent.mean, agent.std)

    def iterate(self) -> None:
        """Score one population on one scene, the same for all, and fit the distribution to the best."""
        agent, training, n = self.agent, self.training, self.agent.population
        candidates = (agent.mean + self.std * torch.randn(n, len(agent.mean))).clamp(0, 1)
        scene = training.scenes_at(0, self.iteration)  # what episode `iteration` of an environment would show
        scenes = training.scenes.batch(scene.repeat(n))
        pipelines = Pipelines(training.rules, agent.tokens.repeat(n, 1), candidates)
        reward = training.play(scenes, pipelines).reward
        best = candidates[reward.topk(max(1, round(agent.elite * n))).indices]
        agent.mean = best.mean(dim=0)
        self.std = 0.9 * self.std + 0.1 * best.std(dim=0, correction=0)
        self.iteration += 1
        training.log(reward=float(reward.mean()))

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next iteration depends on."""
        return {"mean": self.agent.mean, "std": self.std, "iteration": self.iteration}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.agent.mean, self.std, self.iteration = state["mean"], state["std"], state["iteration"]
