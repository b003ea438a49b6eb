"""Action-space variants of the stepwise family."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from isp_gym.envs.actions import ActionVariant, Native, check_box, check_integers, entry
from isp_gym.envs.config import EnvConfig
from isp_gym.modules import Bank


class StepwiseDict(ActionVariant):
    """``{"module": Discrete(K + 1), "params": Box(0, 1, (P,))}``: the native form."""

    def __init__(self, bank: Bank, config: EnvConfig, bins: int) -> None:
        super().__init__(bank, config, bins)
        self.space = gym.spaces.Dict(
            {
                "module": gym.spaces.Discrete(bank.num_modules + 1),
                "params": gym.spaces.Box(0.0, 1.0, (bank.num_params,), np.float32),
            }
        )

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """Return them as they are, checked."""
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

    def __init__(self, bank: Bank, config: EnvConfig, bins: int) -> None:
        super().__init__(bank, config, bins)
        self.shape = (bank.num_modules + 1 + bank.num_params,)
        self.space = gym.spaces.Box(-1.0, 1.0, self.shape, np.float32)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """Return the preferred module and the parameters."""
        flat = check_box("action", actions, (len(token_mask), *self.shape), -1.0, self.device)
        preferences, params = flat.split([self.bank.num_modules + 1, self.bank.num_params], dim=1)
        module = preferences.masked_fill(~token_mask, -torch.inf).argmax(1)
        return {"module": module, "params": (params + 1) / 2}


class StepwiseMultiDiscrete(ActionVariant):
    """``MultiDiscrete([K + 1] + [bins] * P)``: a module token or the stop, then the bin of every parameter."""

    def __init__(self, bank: Bank, config: EnvConfig, bins: int) -> None:
        super().__init__(bank, config, bins)
        self.counts = [bank.num_modules + 1, *[bins] * bank.num_params]
        self.shape = (len(self.counts),)
        self.space = gym.spaces.MultiDiscrete(self.counts)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """Return the module, and the parameters that the bins stand for."""
        shape = (len(token_mask), *self.shape)
        chosen = check_integers("action", actions, shape, self.counts, self.device)
        return {"module": chosen[:, 0], "params": self._binned(chosen[:, 1:])}

    def mask(self, token_mask: Tensor) -> Tensor:
        """Return tokens, then every bin: (n, K + 1 + P * bins)."""
        free = token_mask.new_ones(len(token_mask), self.bank.num_params * self.bins)
        return torch.cat([token_mask, free], 1)


class StepwiseDiscrete(ActionVariant):
    """``Discrete(P * bins + 1)``: action ``p * bins + b`` applies the module of parameter p, with p in bin b.

    The module's other parameters are neutral; the last action is the stop. For modules of one parameter that is every
    pair of module and bin, as in DRL-ISP; for the others all pairs of one parameter and bin, because their product is
    beyond reach (a colour matrix alone has bins**9 values).
    """

    def __init__(self, bank: Bank, config: EnvConfig, bins: int) -> None:
        super().__init__(bank, config, bins)
        self.stop = bank.num_params * bins
        self.space = gym.spaces.Discrete(self.stop + 1)
        sizes = torch.tensor([span.stop - span.start for span in bank.slices])
        owners = torch.arange(bank.num_modules).repeat_interleave(sizes * bins)
        self._owners = torch.cat([owners, torch.tensor([bank.end_token])]).to(self.device)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """Return the module of the parameter that the action names, with the other parameters neutral."""
        chosen = check_integers("action", actions, (len(token_mask),), self.stop + 1, self.device)
        params = self.bank.neutral.to(self.device).repeat(len(chosen), 1)
        stop = chosen == self.stop
        place = (chosen // self.bins).masked_fill(stop, 0)[:, None]
        value = torch.where(stop, params[:, 0], self._binned(chosen % self.bins))[:, None]
        return {"module": self._owners[chosen], "params": params.scatter(1, place, value)}

    def mask(self, token_mask: Tensor) -> Tensor:
        """Return the actions whose module may be chosen, and the stop: (n, P * bins + 1)."""
        return token_mask[:, self._owners]
