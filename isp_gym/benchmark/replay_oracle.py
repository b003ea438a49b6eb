"""Replaying ``oracle.json``: the best sequences' parameters, applied to their scenes again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from isp_gym.benchmark.agent import one_line
from isp_gym.benchmark.files import read_json
from isp_gym.benchmark.replay import Replayed
from isp_gym.benchmark.tolerance import tolerance
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.transition import Transition
from isp_gym.errors import UserError

_BEST = 10


def is_oracle(path: Path) -> bool:
    """Tell whether a file looks like an oracle's."""
    try:
        return "problem" in read_json(path)
    except (OSError, ValueError, TypeError):
        return False


@torch.no_grad()
def replay_oracle(path: Path) -> list[Replayed]:
    """Replay the best sequences of an ``oracle.json``.

    Raises:
        UserError: The file is none.
    """
    try:
        content = read_json(path)
        setting = EnvConfig(split="train", num_scenes=len(content["scenes"]), **content["problem"])
        setting.check()
        transition = setting.make_transition()
        batch = transition.scenes.batch([transition.scenes.index(scene) for scene in content["scenes"]])
        return [_replay(row, transition, batch) for row in content["sequences"][:_BEST]]
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"'{path}' is neither a results.json nor an oracle.json: {one_line(error)}") from error


def _replay(row: dict[str, Any], transition: Transition, batch: Any) -> Replayed:
    tokens = torch.tensor(
        [[transition.bank.names.index(name) for name in row["sequence"]]] * len(batch), dtype=torch.int64
    )
    params = torch.tensor(row["params"]).to(batch.images)
    rewards = transition.play(batch, tokens.reshape(len(batch), -1).to(batch.images.device), params).reward.cpu()
    recorded = torch.tensor(row["rewards"])
    replayed = Replayed(" > ".join(row["sequence"]) or "no module", ["rewards"])
    off = (rewards - recorded).abs()
    if not bool((off <= tolerance("reward")).all()) or abs(row["reward"] - float(rewards.mean())) > tolerance("reward"):
        replayed.faults.append(f"reward was recorded as {row['reward']:.6g} and is {float(rewards.mean()):.6g}")
    return replayed
