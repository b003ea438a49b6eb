"""Action-space variants: the same environment for learners that take only boxes, or only whole numbers.

A view owns an action space and turns its actions into the native ones of the family, which are checked tensors on the
environment's device. A new one is a class here and a line in the family's ``views``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from isp_gym.envs.checks import check_box, check_integers, entry
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.modules import Bank

Native = dict[str, Tensor]


class ActionVariant(ABC):
    """One way to write the actions of a family.

    Args:
        bank: The ISP modules.
        setting: Longest pipeline, image size and device.
        bins: How many values a binned parameter can take, evenly from end to end of its range.
    """

    #: What ``info`` calls :meth:`mask`: ``"module_mask"`` where the actions hold no module token to lay it over.
    mask_name: ClassVar[str] = "action_mask"
    space: gym.Space
    shape: tuple[int, ...]  # of one action, where it is a single array

    def __init__(self, bank: Bank, setting: EnvConfig, bins: int) -> None:
        if bins < 2:
            raise UserError(f"bins must be at least 2, not {bins}")
        self.bank = bank
        self.length = setting.length
        self.device = torch.device(setting.device)
        self.bins = bins

    @abstractmethod
    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """Native actions of a batch.

        Args:
            actions: A batch of ``space``, numpy or torch.
            token_mask: Module tokens that may be chosen (first, where an action names several), (n, K + 1) bool.

        Raises:
            ValueError: An action is not of ``space``.
        """

    def mask(self, token_mask: Tensor) -> Tensor:
        """Which choices are open, (n, M) bool: here module tokens; as MaskablePPO wants it in the discrete views."""
        return token_mask

    def _binned(self, bins: Tensor) -> Tensor:
        return bins.to(torch.float32) / (self.bins - 1)


class StepwiseDict(ActionVariant):
    """``{"module": Discrete(K + 1), "params": Box(0, 1, (P,))}``: the native form."""

    def __init__(self, bank: Bank, setting: EnvConfig, bins: int) -> None:
        super().__init__(bank, setting, bins)
        self.space = gym.spaces.Dict(
            {
                "module": gym.spaces.Discrete(bank.num_modules + 1),
                "params": gym.spaces.Box(0.0, 1.0, (bank.num_params,), np.float32),
            }
        )

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """As they are."""
        n, bank = len(token_mask), self.bank
        module = check_integers("module", entry(actions, "module"), (n,), bank.num_modules + 1, self.device)
        return {
            "module": module,
            "params": check_box("params", entry(actions, "params"), (n, bank.num_params), 0.0, self.device),
        }


class StepwiseBox(ActionVariant):
    """``Box(-1, 1, (K + 1 + P,))``: K + 1 preferences, then P parameters.

    The module is the allowed one (or the stop) with the highest preference; parameter p is ``(a + 1) / 2``.
    """

    mask_name = "module_mask"

    def __init__(self, bank: Bank, setting: EnvConfig, bins: int) -> None:
        super().__init__(bank, setting, bins)
        self.shape = (bank.num_modules + 1 + bank.num_params,)
        self.space = gym.spaces.Box(-1.0, 1.0, self.shape, np.float32)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """The preferred module and the parameters."""
        flat = check_box("action", actions, (len(token_mask), *self.shape), -1.0, self.device)
        preferences, params = flat.split([self.bank.num_modules + 1, self.bank.num_params], dim=1)
        module = preferences.masked_fill(~token_mask, -torch.inf).argmax(1)
        return {"module": module, "params": (params + 1) / 2}


class StepwiseMultiDiscrete(ActionVariant):
    """``MultiDiscrete([K + 1] + [bins] * P)``: a module token or the stop, then the bin of every parameter."""

    def __init__(self, bank: Bank, setting: EnvConfig, bins: int) -> None:
        super().__init__(bank, setting, bins)
        self.counts = [bank.num_modules + 1, *[bins] * bank.num_params]
        self.shape = (len(self.counts),)
        self.space = gym.spaces.MultiDiscrete(self.counts)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """The module, and the parameters that the bins stand for."""
        shape = (len(token_mask), *self.shape)
        chosen = check_integers("action", actions, shape, self.counts, self.device)
        return {"module": chosen[:, 0], "params": self._binned(chosen[:, 1:])}

    def mask(self, token_mask: Tensor) -> Tensor:
        """Tokens, then every bin: (n, K + 1 + P * bins)."""
        free = token_mask.new_ones(len(token_mask), self.bank.num_params * self.bins)
        return torch.cat([token_mask, free], 1)


class StepwiseDiscrete(ActionVariant):
    """``Discrete(P * bins + 1)``: action ``p * bins + b`` applies the module of parameter p, with p in bin b.

    The module's other parameters are neutral; the last action is the stop. For modules of one parameter that is every
    pair of module and bin, as in DRL-ISP; for the others all pairs of one parameter and bin, because their product is
    beyond reach (a colour matrix alone has bins**9 values).
    """

    def __init__(self, bank: Bank, setting: EnvConfig, bins: int) -> None:
        super().__init__(bank, setting, bins)
        self.stop = bank.num_params * bins
        self.space = gym.spaces.Discrete(self.stop + 1)
        sizes = torch.tensor([span.stop - span.start for span in bank.slices])
        owners = torch.arange(bank.num_modules).repeat_interleave(sizes * bins)
        self._owners = torch.cat([owners, torch.tensor([bank.end_token])]).to(self.device)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """The module of the parameter that the action names, with the other parameters neutral."""
        chosen = check_integers("action", actions, (len(token_mask),), self.stop + 1, self.device)
        params = self.bank.neutral.to(self.device).repeat(len(chosen), 1)
        stop = chosen == self.stop
        place = (chosen // self.bins).masked_fill(stop, 0)[:, None]
        value = torch.where(stop, params[:, 0], self._binned(chosen % self.bins))[:, None]
        return {"module": self._owners[chosen], "params": params.scatter(1, place, value)}

    def mask(self, token_mask: Tensor) -> Tensor:
        """Actions whose module may be chosen, and the stop: (n, P * bins + 1)."""
        return token_mask[:, self._owners]


class SequenceDict(ActionVariant):
    """``{"sequence": MultiDiscrete([K + 1] * L), "params": Box(0, 1, (P,))}``: the native form."""

    def __init__(self, bank: Bank, setting: EnvConfig, bins: int) -> None:
        super().__init__(bank, setting, bins)
        self.space = gym.spaces.Dict(
            {
                "sequence": gym.spaces.MultiDiscrete([bank.num_modules + 1] * self.length),
                "params": gym.spaces.Box(0.0, 1.0, (bank.num_params,), np.float32),
            }
        )

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """As they are."""
        n, bank = len(token_mask), self.bank
        asked = entry(actions, "sequence")
        sequence = check_integers("sequence", asked, (n, self.length), bank.num_modules + 1, self.device)
        return {
            "sequence": sequence,
            "params": check_box("params", entry(actions, "params"), (n, bank.num_params), 0.0, self.device),
        }


class SequenceBox(ActionVariant):
    """``Box(-1, 1, (K + 1 + P,))``: K + 1 preferences, then P parameters.

    The pipeline is the modules in falling order of preference, down to that of the end token: every action is a
    pipeline without repeats, also where the rules allow them. Parameter p is ``(a + 1) / 2``.
    """

    mask_name = "module_mask"

    def __init__(self, bank: Bank, setting: EnvConfig, bins: int) -> None:
        super().__init__(bank, setting, bins)
        self.shape = (bank.num_modules + 1 + bank.num_params,)
        self.space = gym.spaces.Box(-1.0, 1.0, self.shape, np.float32)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """The modules sorted by preference, and the parameters."""
        flat = check_box("action", actions, (len(token_mask), *self.shape), -1.0, self.device)
        preferences, params = flat.split([self.bank.num_modules + 1, self.bank.num_params], dim=1)
        ranked = preferences.argsort(dim=1, descending=True, stable=True)
        padded = torch.nn.functional.pad(ranked, (0, self.length), value=self.bank.end_token)
        return {"sequence": padded[:, : self.length], "params": (params + 1) / 2}


class SequenceMultiDiscrete(ActionVariant):
    """``MultiDiscrete([K + 1] * L + [bins] * P)``: the tokens, then the bin of every parameter."""

    def __init__(self, bank: Bank, setting: EnvConfig, bins: int) -> None:
        super().__init__(bank, setting, bins)
        self.counts = [*[bank.num_modules + 1] * self.length, *[bins] * bank.num_params]
        self.shape = (len(self.counts),)
        self.space = gym.spaces.MultiDiscrete(self.counts)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """The sequence, and the parameters that the bins stand for."""
        shape = (len(token_mask), *self.shape)
        chosen = check_integers("action", actions, shape, self.counts, self.device)
        return {"sequence": chosen[:, : self.length], "params": self._binned(chosen[:, self.length :])}

    def mask(self, token_mask: Tensor) -> Tensor:
        """What may come first, then everything: what may follow depends on the first, which a flat mask cannot say."""
        free = (self.length - 1) * (self.bank.num_modules + 1) + self.bank.num_params * self.bins
        return torch.cat([token_mask, token_mask.new_ones(len(token_mask), free)], 1)


class CurveBox(ActionVariant):
    """``Box(-1, 1, (3, H, W))``: gamma, alpha and beta of every pixel, 0 for the identity; the native form."""

    def __init__(self, bank: Bank, setting: EnvConfig, bins: int) -> None:
        super().__init__(bank, setting, bins)
        self.shape = (3, setting.image_size, setting.image_size)
        self.space = gym.spaces.Box(-1.0, 1.0, self.shape, np.float32)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """As they are."""
        return {"curves": check_box("action", actions, (len(token_mask), *self.shape), -1.0, self.device)}


class CurveMultiDiscrete(ActionVariant):
    """``MultiDiscrete([bins] * (3 H W))``: the bin of gamma, then alpha, then beta of every pixel (as in PixelRL)."""

    def __init__(self, bank: Bank, setting: EnvConfig, bins: int) -> None:
        super().__init__(bank, setting, bins)
        self.image = (3, setting.image_size, setting.image_size)
        self.shape = (int(np.prod(self.image)),)
        self.space = gym.spaces.MultiDiscrete([bins] * self.shape[0])

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """The curves that the bins stand for."""
        n = len(token_mask)
        chosen = check_integers("action", actions, (n, *self.shape), self.bins, self.device)
        return {"curves": (2 * self._binned(chosen) - 1).reshape(n, *self.image)}

    def mask(self, token_mask: Tensor) -> Tensor:
        """Every bin."""
        return token_mask.new_ones(len(token_mask), self.shape[0] * self.bins)
