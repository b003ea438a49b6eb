"""How many files of the package a reader walks through, from a photo to its reward and in one step.

A file counts when a Python function of it is called (methods, properties and comprehensions too), in any thread, as
``sys.setprofile`` tells. Imports and what they run, and the bodies of modules and classes, do not count: everything is
imported before. The process is fresh and the cache of decoded scenes empty. The pipeline is one module, exposure; each
further one would add its own file, and ``modules/blocks.py`` the first that works in blocks.

    python perf/files_touched.py [--json]
"""

import argparse
import inspect
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import gymnasium as gym

import isp_gym.envs.sequence  # gymnasium would import it when the environment is made

PACKAGE = Path(isp_gym.__file__).parent
ACTION = {"sequence": [0] + [10] * 9, "params": [0.6] * 27}  # exposure, end


def files_entered(run: Callable[[], Any]) -> list[str]:
    """Return the files under ``isp_gym/`` of which ``run`` calls a function, sorted."""
    entered: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        # Bodies of modules and classes are code without fast locals.
        if event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            entered.add(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    paths = map(Path, entered)
    return sorted(path.relative_to(PACKAGE).as_posix() for path in paths if path.is_relative_to(PACKAGE))


def photo_to_reward() -> gym.Env:
    """Make an environment of photos, and take its first step."""
    env = gym.make("ISP/Sequence-v0", data="photos")
    env.reset(seed=0)
    env.step(ACTION)
    return env


def measure() -> dict[str, list[str]]:
    """Return the files that are entered from a photo to its reward, and in one step of an environment in use."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ISP_GYM_CACHE"] = cache
        cold = files_entered(photo_to_reward)
        env = photo_to_reward()
        env.reset()
        return {"photo to reward": cold, "one step": files_entered(lambda: env.step(ACTION))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the lists as JSON")
    counted = measure()
    if parser.parse_args().json:
        print(json.dumps(counted))
        return
    for name, files in counted.items():
        print(f"{name}: {len(files)} files", *files, sep="\n  ")


if __name__ == "__main__":
    main()
