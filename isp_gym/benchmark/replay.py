"""``isp-gym replay``: compute recorded results again from nothing but what the file says."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isp_gym.benchmark.config import CompareConfig
from isp_gym.config import typed
from isp_gym.data import SceneSet, data_card
from isp_gym.envs.setting import Setting
from isp_gym.errors import UserError
from isp_gym.modules import Bank

TOLERANCE = 1e-3
"""How far a replayed metric may be off: convolutions on another processor differ in the last digits."""

_CHUNK = 32


@torch.no_grad()
def replay_file(path: Path) -> list[dict[str, Any]]:
    """Replay ``results.json`` or ``oracle.json``.

    Returns:
        A row a run (or the oracle's best sequences): what was recorded, what came out now, and the largest difference.

    Raises:
        UserError: The file is neither, or records nothing that can be replayed.
    """
    try:
        content = json.loads(path.read_text())
        kind = "oracle" if "problem" in content else "comparison"
        rows = content["sequences"] if kind == "oracle" else content["rows"]
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{path}' is neither a results.json nor an oracle.json") from error
    if kind == "oracle":
        return _replay_oracle(content, rows[:10])
    config = typed(CompareConfig, content["config"], "config key")
    for split in sorted({row["split"] for row in rows}):
        _compare_data(content.get("data"), config.setting(split), path)
    replayed = [_replay_row(row, config.setting(row["split"])) for row in rows if "params" in row["scenes"][0]]
    if not replayed:
        raise UserError(f"'{path}' records no pipelines: its agents only enhance")
    return replayed


def _compare_data(recorded: dict[str, Any] | None, setting: Setting, path: Path) -> None:
    """Warn if the data is no longer what it was: a score that differs is no surprise then."""
    if recorded is None:  # by an earlier version
        return
    now = data_card([setting.load_scenes()])
    then = recorded["checksums"].get(setting.split)
    if then not in (None, now["checksums"][setting.split]):
        warnings.warn(
            f"data={now['spec']} has changed since '{path}' was written: the {setting.split} split's checksum was "
            f"{then[:12]} and is {now['checksums'][setting.split][:12]}",
            stacklevel=2,
        )


def _replay_row(row: dict[str, Any], setting: Setting) -> dict[str, Any]:
    scenes, bank, task = setting.load_scenes(), setting.make_bank(), setting.make_task()
    meter = task.meter()
    for start in range(0, len(row["scenes"]), _CHUNK):
        recorded = row["scenes"][start : start + _CHUNK]
        batch = scenes.batch([scenes.index(scene["scene"]) for scene in recorded])
        sequences = _tokens([scene["sequence"] for scene in recorded], bank, setting.length)
        params = torch.tensor([scene["params"] for scene in recorded])
        meter.add(bank(batch.images, sequences.to(batch.images.device), params.to(batch.images)), batch)
    then, now, score = row["metrics"], meter.result(), task.score
    difference = max(abs(now[key] - value) for key, value in then.items())
    return {"what": f"{row['agent']} seed {row['seed']}", **_both(score, then[score], now[score], difference)}


def _replay_oracle(content: dict[str, Any], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    setting = Setting(split="train", num_scenes=len(content["scenes"]), **content["problem"])
    transition = setting.make_transition()
    batch = transition.scenes.batch(_positions(transition.scenes, content["scenes"]))
    replayed = []
    for row in rows:
        sequences = _tokens([row["sequence"]] * len(batch), transition.bank, setting.length)
        rewards = transition.play(batch, sequences, torch.tensor(row["params"])).reward
        difference = float((rewards - torch.tensor(row["rewards"])).abs().max())
        what = " > ".join(row["sequence"]) or "no module"
        replayed.append({"what": what, **_both("reward", row["reward"], float(rewards.mean()), difference)})
    return replayed


def _positions(scenes: SceneSet, ids: Sequence[str]) -> list[int]:
    return [scenes.index(scene) for scene in ids]


def _tokens(sequences: Sequence[Sequence[str]], bank: Bank, length: int) -> Tensor:
    """Names of modules as tokens, (B, L), padded with the end token."""
    rows = [[bank.names.index(name) for name in sequence] for sequence in sequences]
    return torch.tensor([row + [bank.end_token] * (length - len(row)) for row in rows])


def _both(metric: str, recorded: float, now: float, difference: float) -> dict[str, Any]:
    return {"metric": metric, "recorded": round(recorded, 6), "now": round(now, 6), "difference": difference}
