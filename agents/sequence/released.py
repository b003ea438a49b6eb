"""Checkpoints of the authors' release, ``{"iter": int, "agent_model": state_dict}``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from isp_gym.errors import UserError

# Layers that our networks name otherwise: theirs -> ours.
PREDICTOR_LAYERS = {
    **{"enc1.0": "convs.0", "enc1.2": "convs.1", "enc1.4": "convs.2", "enc2.0": "convs.3", "enc3.0": "convs.4"},
    **{"fc1": "fc1", "fc2": "fc2", "decoder.0": "hidden", "decoder.2": "out"},
}
POLICY_LAYERS = {"step2film.0": "film"}
_LAYERS = {"action_agent": POLICY_LAYERS, "param_net": PREDICTOR_LAYERS}
# A wrapper such as DataParallel puts a prefix before the names.
_KEY = re.compile(r"(?:.*\.)?(action_agent|param_net)\.(.+)\.(\w+)")


def read_released(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the state dicts of the sequence policy and of the parameter predictor, under our names.

    Args:
        path: The ``.pth`` file; it is read with ``weights_only=True``.

    Raises:
        UserError: The file is missing, damaged or something else.
    """
    if not Path(path).is_file():
        raise UserError(f"no checkpoint at '{path}'")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes torch raise
        raise UserError(f"'{path}' is damaged, or holds more than tensors and plain numbers") from error
    state = content.get("agent_model") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise _other(path, "it has no state dict 'agent_model'")
    nets: dict[str, dict[str, Any]] = {net: {} for net in _LAYERS}
    for key, value in state.items():
        if found := _KEY.fullmatch(str(key)):
            net, layer, kind = found.groups()
            nets[net][f"{_LAYERS[net].get(layer, layer)}.{kind}"] = value
    return nets["action_agent"], nets["param_net"]


def longest(policy: dict[str, Any], otherwise: int) -> int:
    """Return the longest sequence that a state dict of the sequence policy has step embeddings for."""
    steps = policy.get("step_embed.weight")
    return len(steps) - 1 if isinstance(steps, Tensor) and steps.ndim == 2 and len(steps) > 1 else otherwise


def fill(network: nn.Module, state: dict[str, Any], path: str | Path) -> None:
    """Load ``state`` into ``network``.

    Raises:
        UserError: A tensor is missing, too many, of another shape, or not finite.
    """
    own = network.state_dict()
    if differing := sorted(own.keys() ^ state.keys()):
        raise _other(path, f"it {'lacks' if differing[0] in own else 'has'} {differing[0]}")
    for key in own:
        theirs, ours = list(getattr(state[key], "shape", ())), list(own[key].shape)
        if theirs != ours:
            raise _other(path, f"its {key} has shape {theirs}, not {ours}")
        if not state[key].isfinite().all():
            raise UserError(f"'{path}' holds weights that are NaN or infinite ({key})")
    network.load_state_dict(state)


def _other(path: str | Path, reason: str) -> UserError:
    return UserError(f"'{path}' is not a released POS-ISP checkpoint: {reason}")
