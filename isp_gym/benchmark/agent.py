"""What the benchmark asks of an agent, and how it finds one."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from isp_gym import plugins
from isp_gym.errors import UserError
from isp_gym.pipelines import Pipelines

if TYPE_CHECKING:
    from isp_gym.benchmark.training import Training
    from isp_gym.envs.config import EnvConfig
    from isp_gym.tuning.space import Parameter

OBSERVES = ("raw", "camera", "target")
_TENSORS, _METADATA = "policy.safetensors", "policy.json"


class Agent:
    """Base of agents: learns from a :class:`Training`, then makes a pipeline, or an image, of every image.

    A subclass defines ``train``, and one of ``pipelines`` and ``enhance``. The options of the config become arguments
    of its constructor, which must be cheap. All else is a capability, which a subclass has by defining it:

    =====================================  =============================================================================
    Capability                             What it is for
    =====================================  =============================================================================
    ``pipelines``                          Rows name modules and parameters, and replay without the agent.
    ``enhance``                            For what is no sequence of modules; rows hold metrics only.
    ``state`` and ``load_state``           The policy is saved: it can be evaluated, exported and resumed from, its best
                                           point is chosen on the validation scenes, and its curve has test scores.
    ``networks``                           Its size is reported, and :meth:`to` moves it to the images' device.
    ``diagnostics``                        Numbers beside each point of the learning curve.
    ``check``                              A problem that it cannot learn is refused before any work is done.
    ``exact_resume``                       An interrupted training ends as if it had not been.
    =====================================  =============================================================================

    A plain class with ``train`` and ``pipelines`` or ``enhance`` takes part as well (:class:`PlainAgent`).

    Attributes:
        observes: What it is shown: ``"raw"``, the input; ``"camera"``, what the camera itself made of the shot; or
            ``"target"``, the well-lit picture (an upper bound, not a baseline).
        search_space: Its options that ``isp-gym tune-agents`` tunes, and their ranges; a dotted name reaches into an
            option that is a mapping.
        quick_options: Options with which it learns from a few dozen task evaluations, for ``isp-gym doctor``.
        exact_resume: Whether a training that is resumed from a checkpoint ends with the same numbers to the bit; the
            agent then hands its learner to :meth:`Training.resume` and :meth:`Training.checkpoint`.

    Example:
        >>> class Half(Agent):
        ...     def train(self, training): pass
        ...     def enhance(self, images): return images / 2
        >>> Half().can_be_saved, Half().makes_pipelines, Half().observes
        (False, False, 'raw')
    """

    observes: ClassVar[str] = "raw"
    search_space: ClassVar[Mapping[str, Parameter]] = {}
    quick_options: ClassVar[Mapping[str, Any]] = {}
    exact_resume: ClassVar[bool] = False

    @property
    def networks(self) -> nn.Module | None:
        """The networks that it needs at inference, and no others; their size is in the table."""
        return None

    def check(self, setting: EnvConfig) -> None:
        """Raise ``UserError`` if it cannot take part in a problem; asked before any work is done."""

    def train(self, training: Training) -> None:
        """Learn from ``training``; its budget ends the training if the agent does not."""
        raise NotImplementedError(f"{type(self).__name__} has no train(training)")

    def pipelines(self, images: Tensor) -> Pipelines | tuple[Tensor, Tensor]:
        """Choose a pipeline for each image.

        Args:
            images: Linear RGB inputs, (B, 3, H, W).

        Returns:
            The pipelines; or module tokens (B, L) int64, padded with the bank's end token, and normalised parameters
            (B, P), or (B, L, P) with one row per step. Steps that the problem's rules do not allow are dropped, as in
            the environments.
        """
        raise NotImplementedError

    def enhance(self, images: Tensor) -> Tensor:
        """Process images, (B, 3, H, W) -> (B, 3, H, W), if that is no sequence of modules of the bank."""
        raise NotImplementedError

    def diagnostics(self) -> dict[str, float]:
        """Return numbers to plot beside the learning curve."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return what was learned, and all that is needed to use it again: tensors, and values that JSON can hold.

        Nothing of the data or the device that it was trained on.
        """
        raise NotImplementedError

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave, in a fresh agent made with the same options; tensors are on the CPU."""
        raise NotImplementedError

    @property
    def makes_pipelines(self) -> bool:
        """Whether it answers with pipelines of the bank, which replay from the row alone."""
        return type(self).pipelines is not Agent.pipelines

    @property
    def can_be_saved(self) -> bool:
        """Whether it defines what to keep."""
        return type(self).state is not Agent.state

    def save(self, folder: Path) -> None:
        """Write :meth:`state` to ``folder``: ``policy.safetensors`` and ``policy.json``; nothing is pickled."""
        state = self.state()
        tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
        metadata = {key: value for key, value in state.items() if key not in tensors}
        copies = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        save_file(copies, folder / _TENSORS)
        (folder / _METADATA).write_text(json.dumps(metadata, indent=1))

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: A file is missing or damaged, or of another agent.
        """
        name = type(self).__name__
        try:
            state = {**json.loads((folder / _METADATA).read_text()), **load_file(folder / _TENSORS)}
        except Exception as error:  # whatever a damaged file makes its reader raise
            raise UserError(f"'{folder}' holds no saved {name}: {one_line(error)}") from error
        try:
            self.load_state(state)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise UserError(f"'{folder}' holds something else than this {name}: {one_line(error)}") from error

    def to(self, device: str) -> None:
        """Move its networks, if it has any."""
        if self.networks is not None:
            self.networks.to(device)


class PlainAgent(Agent):
    """A plain class with ``train`` and ``pipelines`` or ``enhance`` as an agent; what else it has is used.

    Args:
        agent: An instance of it. It may also have ``networks``, ``diagnostics()``, ``save(folder)`` with
            ``load(folder)``, and ``observes``.
        name: What it is called in errors.

    Raises:
        UserError: It lacks a method that it needs.
    """

    def __init__(self, agent: Any, name: str) -> None:
        self.agent, self.name = agent, name
        if not self._has("train"):
            raise UserError(f"agent '{name}' has no method train(training)")
        if not (self._has("pipelines") or self._has("enhance")):
            raise UserError(f"agent '{name}' has neither pipelines(images) nor enhance(images)")
        self.observes = agent.observes if self._has("observes") else "raw"  # type: ignore[misc]

    def _has(self, name: str) -> bool:
        """Return whether the class or the instance has it; errors inside a property of the user's are not swallowed."""
        try:
            inspect.getattr_static(self.agent, name)
        except AttributeError:
            return False
        return True

    @property
    def networks(self) -> nn.Module | None:
        """The agent's, if it has any."""
        return self.agent.networks if self._has("networks") else None

    def train(self, training: Training) -> None:
        """Let the agent learn."""
        self.agent.train(training)

    def pipelines(self, images: Tensor) -> Pipelines | tuple[Tensor, Tensor]:
        """Ask the agent."""
        return self.agent.pipelines(images)

    def enhance(self, images: Tensor) -> Tensor:
        """Ask the agent."""
        return self.agent.enhance(images)

    def diagnostics(self) -> dict[str, float]:
        """Return the agent's, if it has any."""
        return self.agent.diagnostics() if self._has("diagnostics") else {}

    @property
    def makes_pipelines(self) -> bool:
        """Whether it has ``pipelines``."""
        return self._has("pipelines")

    @property
    def can_be_saved(self) -> bool:
        """Whether it has ``save`` and ``load``."""
        return self._has("save") and self._has("load")

    def save(self, folder: Path) -> None:
        """Let the agent write to ``folder``."""
        self.agent.save(folder)

    def load(self, folder: Path) -> None:
        """Let the agent read from ``folder``."""
        self.agent.load(folder)


def agent_names() -> dict[str, str]:
    """Return the registered agents: name -> ``package.module:Class``."""
    return plugins.plugin_names("agents")


def load_agent(spec: str, options: Mapping[str, Any] | None = None) -> Agent:
    """Make an agent.

    Args:
        spec: Name of an entry point of the group ``isp_gym.agents``, or ``package.module:Class``.
        options: Arguments of its constructor.

    Raises:
        UserError: There is no such agent, or it does not take these options.
    """
    cls = plugins.find("agents", spec)
    try:
        made = cls(**(options or {}))
    except (TypeError, ValueError) as error:
        raise UserError(f"agent '{spec}' does not take its options: {one_line(error)}") from error
    return as_agent(made, spec)


def as_agent(made: Any, name: str) -> Agent:
    """Return an instance of any class as an agent.

    Raises:
        UserError: It lacks a method that it needs, or observes what there is not.
    """
    agent = made if isinstance(made, Agent) else PlainAgent(made, name)
    methods = [method for method in ("pipelines", "enhance") if _defines(agent, method)]
    if not _defines(agent, "train") or not methods:
        missing = "method train(training)" if methods else "pipelines(images) or enhance(images)"
        raise UserError(f"agent '{name}' has no {missing}")
    if agent.observes not in OBSERVES:
        raise UserError(f"agent '{name}' observes '{agent.observes}'; what there is: {', '.join(OBSERVES)}")
    return agent


def _defines(agent: Agent, method: str) -> bool:
    return getattr(type(agent), method) is not getattr(Agent, method)


def one_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
