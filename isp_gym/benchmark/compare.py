"""A comparison: all runs of a config, side by side, and the results in one folder."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import isp_gym
from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.jobs import run_all
from isp_gym.benchmark.report import BRIGHTER, write_report
from isp_gym.benchmark.run import write_png
from isp_gym.data import SPLITS, data_card
from isp_gym.envs.setting import Setting
from isp_gym.errors import UserError

MARK = "results.json"
_TRIED = 128  # scenes of each split, so that thousands start in seconds


def compare(
    config: CompareConfig, out: Path, jobs: int | None = None, console: Console | None = None
) -> dict[str, Any]:
    """Run every agent with every seed, evaluate on the test scenes, and write the results.

    Everything is written to ``OUT.partial`` and moved to ``OUT`` when it is complete; an earlier run in ``OUT`` is
    kept as ``OUT.1``, ``OUT.2``, ...

    Args:
        config: A checked config.
        out: The folder to write: ``results.json``, ``report.html``, ``runs/AGENT/seed-N/``.
        jobs: Runs at a time, one process each; ``None`` for one a CPU core.
        console: Where progress is shown.

    Returns:
        The content of ``results.json``.

    Raises:
        UserError: ``out`` holds something else than results, or an agent failed; finished runs are kept in
            ``OUT.partial`` then.
    """
    console = console or Console()
    _check_out(out)
    for split in SPLITS:
        _try(config.setting(split))
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror}") from error
    start = time.perf_counter()
    rows = run_all(config, partial / "runs", jobs or len(os.sched_getaffinity(0)), console)
    _save_references(config, partial)
    results = {
        "isp_gym": isp_gym.__version__,
        "machine": _machine(),
        "wall_clock_seconds": round(time.perf_counter() - start, 1),
        "config": asdict(config),
        "data": data_card(config.setting(split).load_scenes() for split in SPLITS),
        "rows": rows,
    }
    (partial / MARK).write_text(json.dumps(results, indent=1))
    write_report(results, partial)
    _publish(partial, out, console)
    return results


@torch.no_grad()
def _try(setting: Setting) -> None:
    """Judge a scene, and read some: what is unreadable or does not suit the task is found now, not in the middle."""
    scenes = setting.load_scenes()
    batch = scenes.batch([0])
    setting.make_task().loss(batch.images, batch)
    for start in range(0, min(len(scenes), _TRIED), 16):
        scenes.batch(range(start, min(start + 16, len(scenes))))


def _check_out(out: Path) -> None:
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"'{out}' exists and holds no results of isp-gym; choose another --out")


def _publish(partial: Path, out: Path, console: Console) -> None:
    """Put the finished folder in its place; an earlier one steps aside."""
    if out.exists() and any(out.iterdir()):
        number = next(n for n in range(1, 10**6) if not out.with_name(f"{out.name}.{n}").exists())
        earlier = out.with_name(f"{out.name}.{number}")
        out.rename(earlier)
        console.print(f"the earlier run is kept in {earlier}")
    elif out.exists():
        out.rmdir()
    partial.rename(out)


def _save_references(config: CompareConfig, partial: Path) -> None:
    """Input and target of the test scenes that the report shows, with what the task should find and what it finds."""
    setting = config.setting("test")
    scenes, task = setting.load_scenes(), setting.make_task()
    folder = partial / "scenes"
    folder.mkdir()
    for i in range(min(config.pictures, len(scenes))):
        scene = scenes.batch([i])
        write_png(folder / f"test-{i}-input.png", task.draw_truth(scene.images * BRIGHTER, scene)[0])
        if scene.targets is not None:
            write_png(folder / f"test-{i}-target.png", task.draw_found(scene.targets)[0])


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
