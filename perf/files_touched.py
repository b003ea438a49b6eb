"""How many files of the package a reader walks through, from a photo to its reward and in one step.

A file counts when a Python function of it is entered, in any thread: calls, generator expressions and properties, not
imports or the bodies of modules and classes. Run it in a process of its own: what is loaded or cached before
does not run again.

    python perf/files_touched.py
"""

import inspect
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import gymnasium as gym

import isp_gym

PACKAGE = Path(isp_gym.__file__).parent


def files_entered(run: Callable[[], Any]) -> list[str]:
    """Return the files under ``isp_gym/`` of which ``run`` enters a function, sorted."""
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
    paths = (Path(name) for name in entered)
    return sorted(str(path.relative_to(PACKAGE)) for path in paths if path.is_relative_to(PACKAGE))


def measure() -> dict[str, list[str]]:
    """Return the files from making the environment to its first reward, with an empty cache; and those of one step."""

    def from_photo_to_reward() -> gym.Env:
        env = gym.make("ISP/Sequence-v0", data="photos")
        env.reset(seed=0)
        env.action_space.seed(0)
        env.step(env.action_space.sample())
        return env

    with tempfile.TemporaryDirectory() as cache, mock.patch.dict("os.environ", ISP_GYM_CACHE=cache):
        cold = files_entered(from_photo_to_reward)
        env = from_photo_to_reward()
        env.reset()
        action = env.action_space.sample()
        return {"from photo to reward": cold, "one step": files_entered(lambda: env.step(action))}


if __name__ == "__main__":
    for name, files in measure().items():
        print(f"{name}: {len(files)} files", *files, sep="\n  ")
