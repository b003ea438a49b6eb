"""What the benchmark asks of an agent, and how it finds one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from isp_gym.errors import UserError, unknown

if TYPE_CHECKING:
    from isp_gym.benchmark.training import Training

ENTRY_POINT_GROUP = "isp_gym.agents"


class Agent(Protocol):
    """Anything with these two methods takes part; the options of the config become arguments of the constructor.

    In place of ``pipelines`` an agent may have ``enhance(images) -> images``, if what it does is no sequence of modules
    of the bank. It may also have:

    - ``networks``: the ``torch.nn.Module`` that it needs at inference, whose size the table shows;
    - ``diagnostics() -> dict[str, float]``: numbers to draw beside the learning curve;
    - ``save(folder)`` and ``load(folder)``: write what training made to a folder, and read it into a new agent made
      with the same options, so that ``isp-gym evaluate --policy RUN`` can use it again;
    - ``sees = "camera"``: it is given what the camera itself made of the shot, not the RAW input.
    """

    def train(self, training: Training) -> None:
        """Learn from ``training``; its budget ends the training if the agent does not."""

    def pipelines(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Choose a pipeline for each image.

        Args:
            images: Linear RGB inputs, (B, 3, H, W).

        Returns:
            Module tokens (B, L) int64, padded with the bank's end token, and normalised parameters (B, P).
        """
        ...


def agent_names() -> dict[str, str]:
    """The registered agents: name -> ``package.module:Class``."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}


def load_agent(spec: str, options: Mapping[str, Any] | None = None) -> Agent:
    """Make an agent.

    Args:
        spec: Name of an entry point of the group ``isp_gym.agents``, or ``package.module:Class``; the current folder is
            searched too.
        options: Arguments of its constructor.

    Raises:
        UserError: There is no such agent, or it does not take these options.
    """
    cls = _load_class(spec)
    try:
        agent = cls(**(options or {}))
    except (TypeError, ValueError) as error:
        raise UserError(f"agent '{spec}' does not take its options: {error}") from error
    _check_methods(spec, agent)
    return agent


def _load_class(spec: str) -> Any:
    names = agent_names()
    if spec not in names and ":" not in spec:
        raise unknown("agent", spec, [*names, "package.module:Class"])
    module_name, _, class_name = names.get(spec, spec).partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a console script does not search the current folder by itself
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"cannot import agent '{spec}': {error}") from error
    if not hasattr(module, class_name):
        raise UserError(f"agent '{spec}': module '{module_name}' has no class '{class_name}'")
    return getattr(module, class_name)


def _check_methods(spec: str, agent: Any) -> None:
    if not callable(getattr(agent, "train", None)):
        raise UserError(f"agent '{spec}' has no method train(training)")
    if not any(callable(getattr(agent, name, None)) for name in ("pipelines", "enhance")):
        raise UserError(f"agent '{spec}' has neither pipelines(images) nor enhance(images)")
