"""A policy made ready to enhance images of any size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import isp_gym
from isp_gym.benchmark.agent import Agent
from isp_gym.benchmark.evaluation import name_of, pipelines_of
from isp_gym.benchmark.policy import is_run, load_policy, problem_of_run
from isp_gym.benchmark.problem import Problem
from isp_gym.benchmark.random_state import seed_everything
from isp_gym.data.registry import SOURCES
from isp_gym.data.sets.base_annotated import AnnotatedSource
from isp_gym.enhance.apply import apply_pipeline
from isp_gym.enhance.pictures import Picture, View
from isp_gym.enhance.tiles import TILE
from isp_gym.envs.config import check_device
from isp_gym.errors import UserError
from isp_gym.pipelines import Pipelines


@dataclass(frozen=True)
class Enhanced:
    """What came of one image.

    Attributes:
        image: Display-referred, (3, H, W) float32 on the CPU, unclipped.
        pipeline: A batch of one on the CPU, or ``None`` of a policy that makes no pipeline.
    """

    image: Tensor
    pipeline: Pipelines | None

    def record(self) -> dict[str, Any]:
        """Return the pipeline as plain values: modules, normalised and physical parameters, and versions."""
        if self.pipeline is None:
            return {"description": []}
        bank, names = self.pipeline.rules.bank, self.pipeline.names(0)
        return {
            **self.pipeline.record(0),
            "physical": [_physical(self.pipeline, step, name) for step, name in enumerate(names)],
            "rules": self.pipeline.rules.to_dict(),
            "module_versions": {name: bank.versions[name] for name in names},
        }


class Enhancer:
    """Enhances pictures with one policy.

    A policy that makes pipelines sees a thumbnail of the size that it was trained at; its pipeline is then applied to
    the whole image in tiles, side by side, for which torch is set to one thread. One that only enhances is given the
    whole image.

    Args:
        policy: Its SPEC, see :func:`isp_gym.benchmark.policy.load_policy`.
        view: How the thumbnail is made; by default as the policy's training scenes were.
        side: Side of a tile in pixels.
        budget: Task evaluations to train an agent with that is given by name and learns.
        device: Torch device to compute on.

    Raises:
        UserError: There is no such policy or device.
    """

    def __init__(
        self, policy: str, view: View | None = None, side: int = TILE, budget: int = 1000, device: str = "cpu"
    ) -> None:
        check_device(device)
        self.policy, self.side, self.device = policy, side, device
        self.agent, problem = _load(policy, budget, device)
        if self.agent.observes == "target":
            raise UserError(
                f"{name_of(self.agent)} shows well-lit originals, which files have not; give another policy"
            )
        self.rules, self.size = problem.env.rules, problem.env.image_size
        self.view: View = view or ("letterbox" if _letterboxed(problem.env.data) else "crop")

    @torch.no_grad()
    def __call__(self, picture: Picture) -> Enhanced:
        """Enhance a picture.

        Raises:
            UserError: The policy observes what the file does not hold, or answers something of the wrong kind.
        """
        if self.agent.observes == "camera" and (picture.light == "linear" or self.agent.makes_pipelines):
            # Of a finished photo, what the camera made is the photo itself.
            name = name_of(self.agent)
            raise UserError(f"{name} needs what the camera itself made of the shot; give it the camera's JPEG files")
        if self.agent.makes_pipelines:
            thumbnail = picture.thumbnail(self.size, self.view)[None].to(self.device)
            pipeline = pipelines_of(self.agent, thumbnail, self.rules)
            return Enhanced(apply_pipeline(pipeline, picture.linear(), self.side), pipeline.to("cpu"))
        image = picture.display() if self.agent.observes == "camera" else picture.linear()
        shape = (1, *image.shape)
        output = self.agent.enhance(image[None].to(self.device))
        if not isinstance(output, Tensor) or output.shape != shape:
            raise UserError(f"{name_of(self.agent)}.enhance did not return an image of shape {shape}")
        return Enhanced(output[0].cpu(), None)

    def record(self) -> dict[str, Any]:
        """Return what made the images, as plain values."""
        made_with = {"policy": self.policy, "isp_gym": isp_gym.__version__, "torch": torch.__version__}
        seen = {"view": self.view, "image_size": self.size} if self.agent.makes_pipelines else {}
        return {**made_with, **seen}


def _load(policy: str, budget: int, device: str) -> tuple[Agent, Problem]:
    """The policy, and the problem that it was made for, with its modules."""
    seed = seed_everything(0)
    problem = problem_of_run(Path(policy)) if is_run(policy) else Problem()
    agent, problem, _ = load_policy(policy, replace(problem, env=replace(problem.env, device=device)), budget, seed)
    return agent, problem


def _letterboxed(data: str) -> bool:
    """Whether the scenes of a data source are whole images, rather than squares cut out of them."""
    return isinstance(SOURCES.get(data.partition(":")[0]), AnnotatedSource)


def _physical(pipeline: Pipelines, step: int, name: str) -> dict[str, Any]:
    bank = pipeline.rules.bank
    token = bank.names.index(name)
    values = bank.physical(pipeline.params[0, step])[bank.slices[token]].tolist()
    parameters = zip(bank.modules[token].parameters, values, strict=True)
    return {"module": name, "parameters": {p.name: {"value": value, "unit": p.unit} for p, value in parameters}}
