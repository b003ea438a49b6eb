"""``isp-gym evaluate``: one policy on the scenes of one split."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from isp_gym.benchmark.config import CompareConfig, read_config
from isp_gym.benchmark.evaluation import evaluate
from isp_gym.benchmark.policy import load_config_of, load_policy
from isp_gym.benchmark.run import Row, controller_parameters, scene_rows, seed_everything
from isp_gym.config import with_overrides
from isp_gym.data.splits import check_split


def settings_for(
    policy: str, file: Path | None, overrides: Sequence[str], task: str | None, data: str | None
) -> CompareConfig:
    """What to evaluate on: a config file's settings, else the run's own, else the defaults; then the changes.

    Of the defaults, the data is what suits the task.

    Raises:
        UserError: Naming the first fault.
    """
    changes = [f"{key}={value}" for key, value in (("task", task), ("data", data)) if value is not None]
    if file is not None:
        config = read_config(file, [*overrides, *changes])
    else:
        own, first = (load_config_of(Path(policy)), []) if Path(policy).is_dir() else (CompareConfig(), ["data=''"])
        config = with_overrides(own, [*first, *overrides, *changes], "config key")
    config.check_setting()
    return config


def evaluate_policy(policy: str, config: CompareConfig, split: str, budget: int = 1000) -> Row:
    """Evaluate a policy.

    Args:
        policy: Its SPEC, see :func:`isp_gym.benchmark.policy.load_policy`.
        config: What it is evaluated on.
        split: The scenes.
        budget: Task evaluations to train a named agent with.

    Returns:
        A row as in ``results.json``.
    """
    check_split(split)
    seed_everything(0)
    start = time.perf_counter()
    agent, config, spent = load_policy(policy, config, budget)
    seconds = time.perf_counter() - start
    setting = config.setting(split)
    scenes, bank = setting.load_scenes(), setting.make_bank()
    result = evaluate(agent, scenes, bank, setting.make_task())
    return {
        "agent": policy,
        "task": config.task,
        "data": config.data,
        "split": split,
        "seed": 0,
        "metrics": result.metrics,
        "task_evaluations": spent,
        "seconds": round(seconds, 2) if spent else 0.0,
        "controller_parameters": controller_parameters(agent),
        "scenes": scene_rows(result, scenes.ids, bank),
    }
