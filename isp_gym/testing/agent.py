"""What every agent must do to take part in a comparison."""

from __future__ import annotations

import json
import pickle
import pickletools
import random
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isp_gym.benchmark.agent import Agent, as_agent, load_agent
from isp_gym.benchmark.training import Training
from isp_gym.budget import Budget, BudgetExhausted, StepsExhausted, metering
from isp_gym.data import SceneBatch, sealed
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.pipelines import Pipelines
from isp_gym.testing.interruption import Interrupted, MemoryRecorder

STEPS_PER_EVALUATION = 20


def check_agent(
    agent: str | Callable[[], Any], *, setting: EnvConfig | None = None, budget: int = 64, seeded: bool = True
) -> None:
    """Check an agent: it trains within its budget, without validation or test scenes, then answers image by image.

    What it saves does the same when it is loaded, without any scene; and if it says ``exact_resume``, a training that
    was interrupted ends like one that was not. Steps that the rules of the problem do not allow are dropped from its
    pipelines, as in the environments.

    Args:
        agent: Name of a registered agent, ``package.module:Class``, or a function that makes one.
        setting: What to train on; by default 8 small scenes.
        budget: Task evaluations to train with; environment steps are limited to 20 for each of them.
        seeded: Also train a second time with the same seed, and expect the same agent.

    Raises:
        AssertionError: A check has failed; the message says which.
    """
    check = _Check(agent, setting or EnvConfig(num_scenes=8, image_size=64), budget)
    with metering(check.budget):
        trained, recorder = check.train()
    check.close_budget()
    with metering(check.budget):
        try:
            output = check.answers(trained)
            check.saving(trained, output)
        except BudgetExhausted as error:
            raise AssertionError("it spends task evaluations after its training") from error
    if seeded:
        again, _ = check.go_on(None, None, seed=0)
        check.same(again, output, "trained again with the same seed it does something else", 1e-4)
    if trained.exact_resume:
        check.resuming(recorder.checkpoints, output)


class _Check:
    """One agent and the problem that it is checked on."""

    def __init__(self, agent: str | Callable[[], Any], setting: EnvConfig, budget: int) -> None:
        self.spec, self.setting, self.limit = agent, setting, budget
        self.budget = self.new_budget()
        self.scenes: SceneBatch
        self.rules = setting.rules

    def new_budget(self) -> Budget:
        return Budget(self.limit, STEPS_PER_EVALUATION * self.limit)

    def make(self) -> Agent:
        try:
            return load_agent(self.spec) if isinstance(self.spec, str) else as_agent(self.spec(), _name(self.spec))
        except UserError as error:
            raise AssertionError(str(error)) from error

    def train(self) -> tuple[Agent, MemoryRecorder]:
        """Train with all checks of the training."""
        made, budget, recorder = self.make(), self.budget, MemoryRecorder(self.budget)
        _seed(0)
        training = Training(self.setting, 0, budget, recorder)
        try:
            # The benchmark takes an exhausted budget as the end of the training, too.
            with sealed("validation", "test"), suppress(BudgetExhausted):
                try:
                    made.train(training)
                except StepsExhausted as error:
                    raise AssertionError(
                        f"its training neither ends nor spends: {budget.spent.env_steps} environment steps for "
                        f"{budget.task_evaluations} of {self.limit} task evaluations"
                    ) from error
            assert torch.is_grad_enabled(), "it leaves gradients switched off"
        finally:
            torch.set_grad_enabled(True)
        assert training.budget is budget, "it replaced its budget"
        assert (budget.limit, budget.step_limit) == (self.limit, STEPS_PER_EVALUATION * self.limit), (
            "it changed the limit of its budget"
        )
        spent = budget.task_evaluations
        assert spent <= self.limit, f"it spent {spent} of {self.limit} task evaluations"
        self.scenes = training.scenes.batch(range(min(4, len(training.scenes))))
        return made, recorder

    def close_budget(self) -> None:
        """Let nothing more be spent."""
        self.budget.limit = self.budget.task_evaluations

    def answers(self, agent: Agent) -> Tensor:
        """Check what it makes of some images, and return that."""
        images = self.observed(agent)
        kept = images.clone()
        if agent.makes_pipelines:
            self.check_pipelines(self.pipelines(agent, images), len(images))
        output = self.output(agent, images)
        assert torch.equal(images, kept), "it writes to the images that it is shown"
        assert output.shape == images.shape, f"images {tuple(images.shape)} became {tuple(output.shape)}"
        assert output.isfinite().all(), "its images are not finite"
        self.same(agent, output, "asked again, it does something else")
        for i in range(len(images)):
            alone = self.output(agent, images[i : i + 1])[0]
            same = torch.allclose(alone, output[i], rtol=1e-3, atol=1e-3)
            assert same, "what it does to an image depends on the rest of the batch"
        numbers = agent.diagnostics()
        bad = [name for name, value in numbers.items() if not np.isfinite(value)]
        assert not bad, f"its diagnostics are not finite: {bad}"
        return output

    def observed(self, agent: Agent) -> Tensor:
        """What it is shown of the scenes."""
        fields = {"raw": self.scenes.images, "camera": self.scenes.cameras, "target": self.scenes.targets}
        shown = fields[agent.observes]
        assert shown is not None, (
            f"it observes '{agent.observes}', which data={self.setting.data} has not: give a setting"
        )
        return shown

    def pipelines(self, agent: Agent, images: Tensor) -> Pipelines:
        """Its pipelines as the benchmark admits them."""
        answer = agent.pipelines(images)
        try:
            tokens, params = (answer.tokens, answer.params) if isinstance(answer, Pipelines) else answer
            return self.rules.admit(tokens, params)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"its pipelines are none: {error}") from error

    def check_pipelines(self, pipelines: Pipelines, count: int) -> None:
        assert len(pipelines) == count, f"it makes {len(pipelines)} pipelines for {count} images"
        kept, refused = pipelines.lengths, pipelines.refused
        assert kept.any() or not refused.any(), (
            f"every step of its pipelines is refused by the rules (order={self.setting.order}, "
            f"repeats={self.setting.repeats})"
        )

    @torch.no_grad()
    def output(self, agent: Agent, images: Tensor) -> Tensor:
        return self.pipelines(agent, images)(images) if agent.makes_pipelines else agent.enhance(images)

    def same(self, agent: Agent, output: Tensor, message: str, tolerance: float = 0.0) -> None:
        """Check that it makes ``output`` of the images."""
        found = self.output(agent, self.observed(agent))
        assert torch.allclose(found, output, rtol=tolerance, atol=tolerance), message

    def saving(self, agent: Agent, output: Tensor) -> None:
        """Check that what is saved is weights and JSON, and does the same when it is loaded without any scene."""
        if not agent.can_be_saved:
            return
        with tempfile.TemporaryDirectory() as name:
            agent.save(Path(name))
            for path in sorted(Path(name).rglob("*")):
                assert not _pickled(path), f"it saves {path.name} as a pickle, which runs code when it is loaded"
                if path.suffix == ".json":
                    json.loads(path.read_text(), parse_constant=_no_json)
            fresh = self.make()
            with sealed("train", "validation", "test"):
                fresh.load(Path(name))
        fresh.to(self.setting.device)
        self.same(fresh, output, "saved and loaded again it does something else")

    def resuming(self, checkpoints: int, output: Tensor) -> None:
        """Check that a training that was interrupted half-way ends like one that was not."""
        if not checkpoints:
            return
        _, first = self.go_on(None, (checkpoints + 1) // 2, seed=0)
        assert first.saved is not None, "trained again with the same seed it has fewer checkpoints"
        resumed, last = self.go_on(first.saved, None, seed=1)
        assert last.resumed, "it says exact_resume, but never calls training.resume"
        assert last.budget.spent == self.budget.spent, (
            f"interrupted and resumed it has spent {last.budget.spent}, not {self.budget.spent}"
        )
        # Off the CPU the same sums are not always added up in the same order.
        tolerance = 0.0 if self.setting.device == "cpu" else 1e-3
        message = "interrupted and resumed it does something else, although it says exact_resume"
        self.same(resumed, output, message, tolerance)

    def go_on(self, saved: bytes | None, stop_at: int | None, seed: int) -> tuple[Agent, MemoryRecorder]:
        """Train a fresh one, from its start or from where another was interrupted, with other random numbers."""
        made, budget = self.make(), self.new_budget()
        recorder = MemoryRecorder(budget, saved, stop_at)
        _seed(seed)
        with metering(budget), sealed("validation", "test"), suppress(BudgetExhausted, Interrupted):
            made.train(Training(self.setting, 0, budget, recorder))
        return made, recorder


def _name(make: Callable[[], Any]) -> str:
    return getattr(make, "__name__", type(make).__name__)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _pickled(path: Path) -> bool:
    """Whether a file is a pickle, or an archive that holds one as ``torch.save`` and Stable-Baselines3 make them."""
    if not path.is_file():
        return False
    if zipfile.is_zipfile(path):
        return any(Path(name).suffix in {".pkl", ".pth", ".pt"} for name in zipfile.ZipFile(path).namelist())
    content = path.read_bytes()
    if not content.startswith(pickle.PROTO):
        return False
    try:
        return bool(list(pickletools.genops(content)))
    except ValueError:  # another kind of file that begins with the same byte
        return False


def _no_json(constant: str) -> None:
    raise AssertionError(f"its card holds {constant}, which JSON does not know")
