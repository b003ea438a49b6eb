"""Random search: the best of many random pipelines, the same one for every image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from isp_gym.benchmark import Agent, Training
from isp_gym.errors import UserError
from isp_gym.pipelines import Pipelines, Rules
from isp_gym.tuning import Int, Parameter


class RandomSearch(Agent):
    """Sample pipelines uniformly (length, modules, order, parameters) and keep the one with the highest mean reward.

    Args:
        scenes_per_candidate: Each candidate is scored on this many training scenes, the same for all candidates.

    Attributes:
        best: The best pipeline, a batch of one, on the CPU.
        best_reward: Its mean reward.

    Raises:
        UserError: ``scenes_per_candidate`` is no positive integer.
    """

    exact_resume = True
    search_space: ClassVar[Mapping[str, Parameter]] = {"scenes_per_candidate": Int(1, 64, log=True)}

    def __init__(self, scenes_per_candidate: int = 16) -> None:
        self.scenes_per_candidate = _positive_integer(scenes_per_candidate)
        self.best: Pipelines
        self.best_reward = -float("inf")

    @torch.no_grad()
    def train(self, training: Training) -> None:
        """Score candidates until the budget is spent."""
        rules = training.rules
        self.best, self.best_reward = _pipeline(rules, [], torch.zeros(0, rules.bank.num_params)), -float("inf")
        scenes = training.scenes.batch(range(min(self.scenes_per_candidate, len(training.scenes))))
        learner = SearchState(self)
        training.resume(learner)
        while training.remaining >= len(scenes):
            candidate = sample_pipeline(rules)
            outcome = training.play(scenes, _repeated(candidate, scenes.images))
            reward = float(outcome.reward.mean())
            if reward > self.best_reward:
                self.best, self.best_reward = candidate, reward
                training.log(**{"charts/episodic_return": reward})
            training.checkpoint(self, learner)

    def pipelines(self, images: Tensor) -> Pipelines:
        """Return the best pipeline for every image."""
        return _repeated(self.best, images)

    def state(self) -> dict[str, Any]:
        """Return the best pipeline and the rules that it obeys."""
        options = {"scenes_per_candidate": self.scenes_per_candidate}
        return {**self.best.rules.to_dict(), "best": self.best.record(0), "options": options}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` has returned."""
        self.best = Pipelines.from_records(Rules.from_dict(state), [state["best"]])
        self.scenes_per_candidate = _positive_integer(state["options"]["scenes_per_candidate"])


class SearchState:
    """The state of a search that a checkpoint keeps: the best pipeline; the scenes are always the same."""

    def __init__(self, agent: RandomSearch) -> None:
        self.agent = agent

    def state_dict(self) -> dict[str, Any]:
        """Return tokens, parameters and reward of the best pipeline."""
        best = self.agent.best
        return {"tokens": best.tokens, "params": best.params, "reward": self.agent.best_reward}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` has returned."""
        self.agent.best = Pipelines(self.agent.best.rules, state["tokens"], state["params"])
        self.agent.best_reward = state["reward"]


def sample_pipeline(rules: Rules) -> Pipelines:
    """Sample a pipeline: its length uniformly, each module among those allowed there, each step's parameters in [0, 1].

    It ends early where nothing may follow.

    Returns:
        A batch of one, on the CPU.

    Example:
        >>> from isp_gym.modules import get_bank
        >>> pipeline = sample_pipeline(Rules(get_bank("stable"), max_length=4))
        >>> len(pipeline), len(pipeline.names(0)) <= 4
        (1, True)
    """
    bank, length = rules.bank, int(torch.randint(rules.max_length + 1, ()))
    used = torch.zeros(1, bank.num_modules, dtype=torch.bool)
    tokens: list[int] = []
    while len(tokens) < length and (allowed := rules.allowed(used)[0, : bank.num_modules]).any():
        tokens.append(int(torch.multinomial(allowed.float(), 1)))
        used[0, tokens[-1]] = True
    return _pipeline(rules, tokens, torch.rand(len(tokens), bank.num_params))


def _pipeline(rules: Rules, tokens: list[int], params: Tensor) -> Pipelines:
    return Pipelines(rules, torch.tensor([tokens], dtype=torch.int64).reshape(1, -1), params[None])


def _repeated(best: Pipelines, images: Tensor) -> Pipelines:
    """The same pipeline for each image, on the device of the images."""
    return best.to(images.device)[torch.zeros(len(images), dtype=torch.int64, device=images.device)]


def _positive_integer(value: Any) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not (number.is_integer() and number >= 1):
        raise UserError(f"random: scenes_per_candidate must be a positive integer, not {value!r}")
    return int(number)
