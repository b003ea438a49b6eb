"""Speed of the vector environments against n single ones, and of the pixel rewards against their reference form.

What is compared runs in one process and takes turns, so that other work on the machine slows both; a row holds the
median and the range of each.

    python perf/envs.py [--quick] [--out perf/results/envs.json]
"""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pixel_baseline
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from modules import ROOT, machine, take_turns

from isp_gym.envs import REGISTRY
from isp_gym.modules import MODULE_NAMES

FAMILIES = ("ISP/Sequence-v0", "ISP/Stepwise-v0", "ISP/PixelCurve-v0")
OBJECTIVE = {"gradient": 1.0, "entropy": 1.0, "eme": 1.0}
Row = dict[str, Any]


def stepper(env: gym.vector.VectorEnv, actions: list[Any]) -> Callable[[], None]:
    """Takes the next of a ring of actions at each call."""
    env.reset(seed=0)
    position = 0

    def step() -> None:
        nonlocal position
        env.step(actions[position % len(actions)])
        position += 1

    return step


def draw_actions(env: gym.vector.VectorEnv, count: int = 16) -> list[Any]:
    env.action_space.seed(0)
    return [env.action_space.sample() for _ in range(count)]


def measure_vector(sizes: list[int], counts: list[int], seconds: float) -> list[Row]:
    """Images a second of the batched environment and of ``SyncVectorEnv``, with the same actions.

    Random pipelines of all ten modules, where the denoiser takes most of the time of both, and of the nine cheap ones,
    where the cost of the environment itself shows.
    """
    rows = []
    cheap = [name for name in MODULE_NAMES if name != "denoise"]
    for size in sizes:
        for env_id in FAMILIES:
            for bank, modules in (("all", None), ("without denoise", cheap)):
                if modules and "Pixel" in env_id:
                    continue
                for n in counts:
                    rows.append(vector_row(env_id, bank, modules, size, n, seconds))
    return rows


def vector_row(env_id: str, bank: str, modules: list[str] | None, size: int, n: int, seconds: float) -> Row:
    options = {"image_size": size, "num_scenes": 32, "modules": modules}
    batched = gym.make_vec(env_id, n, vectorization_mode="vector_entry_point", **options)
    single = [lambda: gym.make(env_id, **options)] * n
    apart = SyncVectorEnv(single, autoreset_mode=AutoresetMode.SAME_STEP)
    actions = draw_actions(batched)
    ms = take_turns({"single": stepper(apart, actions), "batched": stepper(batched, actions)}, seconds)
    row = {"id": env_id, "modules": bank, "size": size, "n": n, "ms": ms}
    row["images_per_second"] = {name: 1000 * n / taken["median"] for name, taken in ms.items()}
    row["speedup"] = ms["single"]["median"] / ms["batched"]["median"]
    print(
        f"{env_id:18s} {bank:15s} {size:3d}x{size:<3d} n={n:<2d} images/s: {n} single"
        f" {row['images_per_second']['single']:8.0f}   batched {row['images_per_second']['batched']:8.0f}"
        f"   {row['speedup']:5.1f}x",
        flush=True,
    )
    return row


def measure_ids(seconds: float) -> list[Row]:
    """Environment steps a second of every id at its defaults, 16 sub-environments, for the table of environments."""
    rows = []
    for registered in REGISTRY:
        env = gym.make_vec(registered.env_id, 16, vectorization_mode="vector_entry_point")
        ms = take_turns({"step": stepper(env, draw_actions(env))}, seconds)["step"]
        rows.append({"id": registered.env_id, "n": 16, "size": 64, "ms": ms, "steps_per_second": 16e3 / ms["median"]})
        print(f"{registered.env_id:32s} {rows[-1]['steps_per_second']:8.0f} steps/s", flush=True)
    return rows


def measure_pixel(batch: int, size: int, seconds: float) -> Row:
    """A step of the pixel environment with gradient, entropy and EME rewards against the reference form."""
    options = {"vectorization_mode": "vector_entry_point", "image_size": size, "objective": OBJECTIVE}
    env = gym.make_vec("ISP/PixelCurve-v0", batch, **options)
    tensors = gym.make_vec("ISP/PixelCurve-v0", batch, output="torch", **options)
    actions = draw_actions(env)
    images = env.reset(seed=0)[0]["image"]
    state = {"images": torch.from_numpy(images), "step": 0}

    @torch.no_grad()
    def reference() -> None:
        action = torch.from_numpy(actions[state["step"] % len(actions)])
        # Its own default ranges: gamma [.3, 3], alpha [.5, 2], beta [-.2, .2].
        gamma, alpha, beta = 1.65 + 1.35 * action[:, :1], 1.25 + 0.75 * action[:, 1:2], 0.2 * action[:, 2:]
        state["images"], _ = pixel_baseline.step(state["images"], gamma, alpha, beta)
        state["step"] += 1
        if state["step"] % 5 == 0:
            state["images"] = torch.from_numpy(images)

    in_torch = [torch.from_numpy(action) for action in actions]
    jobs = {"reference": reference, "numpy": stepper(env, actions), "torch": stepper(tensors, in_torch)}
    ms = take_turns(jobs, seconds)
    row: Row = {"shape": [batch, 3, size, size], "ms": ms}
    row["speedup"] = {name: ms["reference"]["median"] / ms[name]["median"] for name in ("numpy", "torch")}
    print(
        f"pixel step {batch}x3x{size}x{size}: reference {ms['reference']['median']:.2f} ms,"
        f" environment {ms['numpy']['median']:.2f} ms ({row['speedup']['numpy']:.1f}x),"
        f" torch output {ms['torch']['median']:.2f} ms ({row['speedup']['torch']:.1f}x)",
        flush=True,
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="64x64 with 64 sub-environments only")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--out", type=Path, help="file for the results; default perf/results/envs.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    np.random.seed(0)
    result: Row = {"machine": machine() | {"threads": arguments.threads}}
    seconds = 1.5 if arguments.quick else 6.0
    sizes, counts = ([64], [64]) if arguments.quick else ([64, 256], [1, 8, 64])
    result["pixel_rewards"] = [measure_pixel(8, size, seconds) for size in ([64] if arguments.quick else [64, 256])]
    result["vector"] = measure_vector(sizes, counts, seconds)
    result["ids"] = measure_ids(seconds)
    worst = dict.fromkeys(FAMILIES, math.inf)
    for row in result["vector"]:
        if (row["size"], row["n"]) == (64, 64):
            worst[row["id"]] = min(worst[row["id"]], row["speedup"])
    result["speedup_64_envs_64x64"] = worst
    out = arguments.out or ROOT / "perf" / "results" / f"envs{'-quick' if arguments.quick else ''}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {out.relative_to(ROOT) if out.is_relative_to(ROOT) else out}")


if __name__ == "__main__":
    main()
