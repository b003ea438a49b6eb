"""Size, multiply-adds and latency of the controllers, with and without decoding the sequence, for one 512x512 image.

    python perf/controllers.py [--quick] [--out perf/results/controllers.json]

All take turns in one process; times are medians, and ratios are to the published parameter predictor (0.53 M).
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from modules import ROOT, machine, take_turns
from torch.utils.flop_counter import FlopCounterMode

from agents import POSISP
from isp_gym.modules import get_bank
from isp_gym.pipelines import Rules

REPEATS = 20  # a call takes about a millisecond
BANK = get_bank("stable")
VARIANTS: dict[str, dict[str, Any]] = {
    "posisp": {},
    "posisp, width 13": {"width": 13},
    "posisp, conditioned on the sequence": {"condition": True},
    "posisp, table policy": {"policy": "table"},
}


def multiply_adds(function: Callable[[], Any]) -> int:
    """Multiply-adds of convolutions and linear layers."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() // 2


def measure(seconds: float, image: torch.Tensor) -> list[dict[str, Any]]:
    agents = {}
    for name, options in VARIANTS.items():
        agents[name] = POSISP(**options)
        agents[name].build(Rules(BANK, BANK.num_modules))
    calls: dict[str, Callable[[], Any]] = {}
    for name, agent in agents.items():
        sequence = agent.policy.greedy()[None]
        calls[f"{name}/predictor"] = lambda agent=agent, sequence=sequence: agent.predictor(image, sequence)
        # The agent itself decodes its sequence once: a sample takes the same steps each time.
        calls[f"{name}/with decoding"] = lambda agent=agent: agent.predictor(image, agent.policy.sample(1).sequences)
    with torch.no_grad():
        timed = take_turns(
            {name: lambda call=call: [call() for _ in range(REPEATS)] for name, call in calls.items()}, seconds
        )
        rows = []
        for name, agent in agents.items():
            predictor, both = timed[f"{name}/predictor"], timed[f"{name}/with decoding"]
            rows.append(
                {
                    "controller": name,
                    "predictor_parameters": sum(p.numel() for p in agent.predictor.parameters()),
                    "policy_parameters": sum(p.numel() for p in agent.policy.parameters()),
                    "predictor_multiply_adds": multiply_adds(calls[f"{name}/predictor"]),
                    "predictor_ms": round(predictor["median"] / REPEATS, 3),
                    "with_decoding_ms": round(both["median"] / REPEATS, 3),
                    "relative_to_published": round(predictor["median"] / timed["posisp/predictor"]["median"], 2),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the time")
    parser.add_argument("--out", type=Path, default=ROOT / "perf/results/controllers.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = measure(0.5 if options.quick else 5.0, torch.rand(1, 3, 512, 512))
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    options.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
