"""Speed and memory of the module bank against its straightforward form (`isp_gym/modules/plain.py`).

Both run in one process and take turns, so that other work on the machine slows both; a row holds the median and the
range of each. Memory is the growth of the peak resident set of a fresh process a measurement.

    python perf/modules.py [--quick] [--out perf/results/modules.json]
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isp_gym.modules import get_bank, plain

ROOT = Path(__file__).resolve().parents[1]
SHAPES = [(16, 64), (32, 128), (1, 512), (8, 512)]
QUICK_SHAPES = [(16, 64)]
BANK = get_bank("reference")
ALL = "all ten"
Pipeline = Callable[[Tensor, Tensor], Tensor]


def pipelines(name: str) -> tuple[Pipeline, Pipeline]:
    """The straightforward form and the bank, each from images and normalised parameters (B, P)."""
    names = BANK.names if name == ALL else (name,)
    tokens = torch.tensor([BANK.names.index(n) for n in names])

    def straightforward(images: Tensor, params: Tensor) -> Tensor:
        physical = BANK.physical(params)
        for token in tokens.tolist():
            images = plain.apply(BANK.names[token], images, physical[:, BANK.slices[token]])
        return images

    return straightforward, lambda images, params: BANK(images, tokens.expand(len(images), -1), params)


def inputs(count: int, size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, size, size, generator=generator)
    return images, torch.rand(count, BANK.num_params, generator=generator) * 0.5 + 0.25


def forward(pipeline: Pipeline, images: Tensor, params: Tensor) -> None:
    with torch.no_grad():
        pipeline(images, params)


def forward_backward(pipeline: Pipeline, images: Tensor, params: Tensor) -> None:
    images, params = images.requires_grad_(), params.requires_grad_()
    output = pipeline(images, params)
    torch.autograd.grad(output, (images, params), torch.ones_like(output))


PASSES = {"forward": forward, "forward+backward": forward_backward}


def take_turns(jobs: dict[str, Callable[[], object]], seconds: float = 3.0) -> dict[str, dict[str, float]]:
    """Median and range of each job in milliseconds: 2 to 15 rounds, as many as fit ``seconds``."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    started = None
    # The first round is the warm-up, and not counted.
    for _ in range(16):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            times[name].append((time.perf_counter() - start) * 1000)
        started = started or time.perf_counter()
        if len(times[name]) > 2 and time.perf_counter() - started > seconds:
            break
    return {
        name: {"median": statistics.median(taken[1:]), "min": min(taken[1:]), "max": max(taken[1:])}
        for name, taken in times.items()
    }


def measure_speed(shapes: list[tuple[int, int]], threads: int) -> list[dict[str, Any]]:
    torch.set_num_threads(threads)
    rows = []
    for count, size in shapes:
        for name in (*BANK.names, ALL):
            for what, run in PASSES.items():
                images, params = inputs(count, size)
                old, new = pipelines(name)
                jobs = {
                    "baseline": lambda run=run, old=old, i=images, p=params: run(old, i, p),
                    "bank": lambda run=run, new=new, i=images, p=params: run(new, i, p),
                    "clone": images.detach().clone,
                }
                taken = take_turns(jobs)
                row = {"module": name, "shape": [count, 3, size, size], "threads": threads, "pass": what, "ms": taken}
                row["speedup"] = taken["baseline"]["median"] / taken["bank"]["median"]
                row["clones"] = taken["bank"]["median"] / taken["clone"]["median"]
                rows.append(row)
                print(
                    f"{name:14s} {count:3d}x{size:<4d} {threads} thread(s) {what:17s}"
                    f" baseline {taken['baseline']['median']:9.2f} ms   bank {taken['bank']['median']:8.2f} ms"
                    f"   {row['speedup']:6.1f}x   {row['clones']:7.1f} clones",
                    flush=True,
                )
    return rows


def measure_mixed(shapes: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """A different random order for each image against one order for all."""
    torch.set_num_threads(1)
    rows = []
    for count, size in shapes:
        if count == 1:
            continue
        generator = torch.Generator().manual_seed(1)
        mixed = torch.stack([torch.randperm(BANK.num_modules, generator=generator) for _ in range(count)])
        sequences = {"shared": mixed[:1].expand(count, -1), "mixed": mixed}
        for what, run in PASSES.items():
            images, params = inputs(count, size)
            jobs = {
                name: lambda run=run, s=s, i=images, p=params: run(lambda x, q: BANK(x, s, q), i, p)
                for name, s in sequences.items()
            }
            taken = take_turns(jobs)
            ratio = taken["mixed"]["median"] / taken["shared"]["median"]
            rows.append({"shape": [count, 3, size, size], "threads": 1, "pass": what, "ms": taken, "ratio": ratio})
            print(f"mixed over shared sequences {count}x{size} {what}: {ratio:.2f}", flush=True)
    return rows


def peak(name: str, which: str, count: int, size: int) -> float:
    """Growth in MB of this process' peak resident set over one forward and backward pass."""
    torch.set_num_threads(1)
    pipeline = pipelines(name)[which == "bank"]
    forward_backward(pipeline, *inputs(1, 16))
    images, params = inputs(count, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    forward_backward(pipeline, images, params)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def measure_memory(count: int, size: int) -> list[dict[str, Any]]:
    rows = []
    for name in (*BANK.names, ALL):
        row: dict[str, Any] = {"module": name, "shape": [count, 3, size, size], "pass": "forward+backward", "MB": {}}
        for which in ("baseline", "bank"):
            command = [sys.executable, __file__, "--peak", name, which, str(count), str(size)]
            row["MB"][which] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        row["ratio"] = row["MB"]["baseline"] / max(row["MB"]["bank"], 1.0)
        rows.append(row)
        print(f"{name:14s} peak MB: baseline {row['MB']['baseline']:8.0f}   bank {row['MB']['bank']:8.0f}", flush=True)
    return rows


def machine() -> dict[str, Any]:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {
        "cpu": models[0].split(":")[1].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "vector": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit,
        "command": " ".join(["python", str(Path(sys.argv[0]).resolve().relative_to(ROOT)), *sys.argv[1:]]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small images, one thread")
    parser.add_argument("--out", type=Path, help="file for the results; default perf/results/modules.json")
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        name, which, count, size = arguments.peak
        print(peak(name, which, int(count), int(size)))
        return
    shapes = QUICK_SHAPES if arguments.quick else SHAPES
    out = arguments.out or ROOT / "perf" / "results" / f"modules{'-quick' if arguments.quick else ''}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"machine": machine(), "speed": []}
    stages: list[tuple[str, Callable[[], list[dict[str, Any]]]]] = [
        ("memory", lambda: measure_memory(*shapes[-1])),
        ("mixed", lambda: measure_mixed(shapes)),
        *(("speed", lambda n=n: measure_speed(shapes, n)) for n in ((1,) if arguments.quick else (1, 2))),
    ]
    for name, stage in stages:
        result[name] = result.get(name, []) + stage()
        # After every stage, so that an interrupted run keeps what it has.
        out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {out.relative_to(ROOT) if out.is_relative_to(ROOT) else out}")


if __name__ == "__main__":
    main()
