"""Run tests under each set of torch's CPU kernels that a plain run on this machine does not use.

    python .ci/kernels.py tests/modules ...

Kernels round differently, and users have other CPUs: what hangs on the last bit is found here, not by them.
"""

import os
import platform
import subprocess
import sys

import torch

KERNELS = ("default", "avx2")
"""Values of ATEN_CPU_CAPABILITY that are tested, from the least to the most that a CPU must have."""


def others(best: str, machine: str) -> tuple[str, ...]:
    """Name the kernels that this CPU has besides its best ones, which a plain run uses.

    Args:
        best: What torch chooses by itself, e.g. ``"avx512"``.
        machine: The architecture, e.g. ``"x86_64"``.
    """
    if machine.lower() not in ("x86_64", "amd64"):
        return ()
    return KERNELS[: KERNELS.index(best)] if best in KERNELS else KERNELS


def main(tests: list[str]) -> int:
    """Run the tests; return the exit status of the first run that fails, or 0."""
    best, machine = torch.backends.cpu.get_cpu_capability().lower(), platform.machine()
    chosen = others(best, machine)
    for name in KERNELS:
        if name not in chosen:
            why = "a plain run uses them" if name == best else f"this CPU ({machine}) does not have them to choose"
            print(f"kernels '{name}': not run, {why}", flush=True)
    for name in chosen:
        print(f"kernels '{name}':", flush=True)
        status = subprocess.run(
            [sys.executable, "-m", "pytest", *tests], env={**os.environ, "ATEN_CPU_CAPABILITY": name}, check=False
        ).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
