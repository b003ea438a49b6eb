"""Kills a comparison with SIGKILL at random moments, starts it again each time, and compares it with an unbroken one.

    python perf/kill_and_resume.py --kills 20

It is the parent that is killed; its workers must end themselves. In the end no finished run may have been run twice,
and the rows of agents that go on to the bit must equal those of the unbroken one, but for what depends on the moment.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CONFIG = """
data: skimage
image_size: 48
scenes: {train: 32, validation: 4, test: 4}
pictures: 1
seeds: [0, 18446744073709551615]
curve_points: 5
checkpoint_seconds: 1
agents:
  camera: {}
  random: {scenes_per_candidate: 4}
  posisp: {}
  grpo: {agent: posisp, algorithm: grpo, n_epochs: 2, kl_coef: 0.04, reference_update_interval: 20}
  markov: {agent: posisp, policy: markov, update: alternate, condition: true}
  stepwise-ppo: {num_envs: 8, n_steps: 8, batch_size: 32}
"""
INEXACT = ("stepwise-ppo",)


def main() -> None:
    """Run it; exit code 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--budget", type=int, default=3000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        faults = _try(Path(folder), arguments)
    print("\n".join(faults) or "the same rows, none computed twice")
    sys.exit(bool(faults))


def _try(folder: Path, arguments: argparse.Namespace) -> list[str]:
    config = folder / "config.yaml"
    config.write_text(f"{CONFIG}\nbudget: {arguments.budget}\n")
    start = time.monotonic()
    subprocess.run(_command(config, folder / "whole", arguments.jobs), check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    print(f"unbroken: {seconds:.0f} s", flush=True)
    draw, written, faults = random.Random(arguments.seed), dict[str, int](), list[str]()
    for kill in range(arguments.kills):
        process = subprocess.Popen(
            _command(config, folder / "broken", arguments.jobs), start_new_session=True, stdout=subprocess.DEVNULL
        )
        # A start takes seconds; moments are spread over what is left of the work.
        wait = draw.uniform(2, 12 + 2 * seconds / arguments.kills)
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            _kill(process)
        else:
            print(f"it was complete before kill {kill + 1}", flush=True)
            break
        faults += _rewritten(folder / "broken.partial", written)
        print(f"kill {kill + 1} after {wait:.1f} s, {len(written)} rows finished", flush=True)
    if not (folder / "broken" / "results.json").exists():
        subprocess.run(_command(config, folder / "broken", arguments.jobs), check=True, stdout=subprocess.DEVNULL)
    faults += _rewritten(folder / "broken", written)
    return [*faults, *_different(folder / "whole", folder / "broken")]


def _command(config: Path, out: Path, jobs: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "isp_gym.cli",
        "compare",
        "--config",
        str(config),
        "--out",
        str(out),
        "--jobs",
        str(jobs),
    ]


def _kill(process: subprocess.Popen) -> None:
    """Kill the parent; its workers end themselves, as they must when it dies without a word."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 20
    while _alive(process.pid) and time.monotonic() < end:
        time.sleep(0.1)
    if left := _alive(process.pid):
        raise SystemExit(f"processes outlived their parent: {left}")


def _alive(session: int) -> list[str]:
    text = subprocess.run(["ps", "-s", str(session), "-o", "stat=,pid=,args="], capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if not line.startswith("Z")]


def _rewritten(out: Path, written: dict[str, int]) -> list[str]:
    """Finished rows that were written again since the last look."""
    faults = []
    for path in sorted(out.glob("runs/*/*/row.json")):
        name, when = str(path.relative_to(out)), path.stat().st_mtime_ns
        if written.setdefault(name, when) != when:
            faults.append(f"{name} was computed twice")
    return faults


def _different(whole: Path, broken: Path) -> list[str]:
    faults = []
    rows = [_rows(folder) for folder in (whole, broken)]
    for key, row in rows[0].items():
        other = rows[1].get(key, {})
        if key[0] in INEXACT:
            print(f"{key}: {row['metrics']} unbroken, {other.get('metrics')} resumed {other['cost']['resumed']} times")
            continue
        differing = [name for name in row if name not in ("cost", "seconds") and row[name] != other.get(name)]
        print(f"{key}: resumed {other['cost']['resumed']} times", flush=True)
        if differing:
            faults.append(f"{key}: {', '.join(differing)} differ")
    return faults


def _rows(folder: Path) -> dict[Any, dict[str, Any]]:
    return {(row["agent"], row["seed"]): row for row in json.loads((folder / "results.json").read_text())["rows"]}


if __name__ == "__main__":
    main()
