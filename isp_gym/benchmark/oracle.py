"""An exact yardstick: the best sequence of a small bank, found by trying all of them.

Each sequence gets, on each of some training scenes, the parameters that earn most there, by gradient ascent through the
pipeline. No policy that picks one sequence can earn more on these scenes, whatever its parameter predictor: the mean
reward of the best sequence is a ceiling, up to the local optima of the ascent. To leave those, later rounds start on
each scene from whichever of the leading sequences' parameters earn most.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from itertools import permutations
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from isp_gym.benchmark.files import write_text
from isp_gym.benchmark.oracle_file import Oracle, problem_of
from isp_gym.benchmark.problem import OracleSettings, Problem
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.transition import Transition
from isp_gym.errors import UserError
from isp_gym.pipelines import Rules

MAX_SEQUENCES = 5000
_CACHE = "sequences.jsonl"


def find_oracle(problem: Problem, out: Path, jobs: int, console: Console) -> Oracle:
    """Try every sequence and write ``OUT/oracle.json``.

    Sequences already tried with the same problem and settings are read from ``OUT/sequences.jsonl``, so that an
    interrupted search goes on where it ended.

    Args:
        problem: Its environment and :class:`OracleSettings`.
        out: The folder to write.
        jobs: Processes.
        console: Where progress is shown.

    Raises:
        UserError: A setting is out of range, there are too many sequences to try, or ``out`` cannot be written to or
            holds the search of another problem.
    """
    setting, settings = problem.setting("train"), problem.oracle
    _check(settings)
    sequences = list(all_sequences(setting.rules))
    cache = _Cache(out, setting, settings)
    with _workers(jobs, setting, settings) as run:
        for number in range(settings.rounds + 1):
            leaders = sorted(sequences, key=lambda s: -cache.reward(s))[: settings.leaders] if number else []
            last = number == settings.rounds
            steps = 4 * settings.steps if last else settings.steps
            work = [
                (number, sequence, steps, cache.params(dict.fromkeys([*leaders, sequence] if number else [])))
                for sequence in (leaders if last else sequences)
                if not cache.has(number, sequence)
            ]
            title = "the best once more" if last else f"trying every sequence, round {number + 1}"
            for row in track(run(_try, work), title, len(work), console=console):
                cache.add(row)
    rows = sorted((cache.best(sequence) for sequence in sequences), key=lambda row: -row["reward"])
    scenes = setting.load_scenes().ids[: settings.scenes]
    oracle = {"problem": problem_of(setting), "settings": _settings(settings), "scenes": scenes, "sequences": rows}
    write_text(out / "oracle.json", json.dumps(oracle))
    return oracle


def all_sequences(rules: Rules) -> Iterator[tuple[int, ...]]:
    """Every sequence of different modules that the rules allow, the empty one included, shortest first.

    Raises:
        UserError: There are more than ``MAX_SEQUENCES``, or modules may repeat.
    """
    bank, count = rules.bank, 0
    if rules.repeats:
        raise UserError("the oracle tries sequences of different modules: leave out repeats=true")
    for length in range(min(rules.max_length, bank.num_modules) + 1):
        for sequence in permutations(range(bank.num_modules), length):
            # In a free order all permutations are legal, and asking costs more than all else here.
            if rules.domain_constrained:
                tokens = torch.tensor([sequence], dtype=torch.long).reshape(1, length)
                if not rules.legal(tokens).all():
                    continue
            count += 1
            if count > MAX_SEQUENCES:
                raise UserError(
                    f"more than {MAX_SEQUENCES} sequences of {bank.num_modules} modules are too many to try; "
                    "name fewer modules (modules=[exposure,gamma,ccm,denoise,tone]) or a smaller max_length"
                )
            yield sequence


def best_params(
    transition: Transition, scenes: int, sequence: tuple[int, ...], steps: int, lr: float, starts: Sequence[Tensor] = ()
) -> tuple[Tensor, Tensor]:
    """The best parameters of a sequence for each of the first scenes, by Adam before tanh.

    Args:
        transition: Pays for them.
        scenes: S, how many scenes.
        sequence: Tokens.
        steps: Steps of Adam; its step size falls to zero along half a cosine.
        lr: Its first step size.
        starts: Parameters to start from, each (S, P) in [0, 1]; on each scene the best of them (and neutral) is taken.

    Returns:
        Parameters (S, P) in [0, 1], and what they earn, (S,).
    """
    bank = transition.bank
    batch = transition.scenes.batch(range(min(scenes, len(transition.scenes))))
    rows = torch.tensor(sequence, dtype=torch.long, device=batch.images.device).repeat(len(batch), 1)
    best = torch.full((len(batch),), -torch.inf, device=batch.images.device)
    params = bank.neutral.to(batch.images).repeat(len(batch), 1)

    def keep_better(now: Tensor) -> Tensor:
        nonlocal best, params
        reward = transition.play(batch, rows, now).reward
        better = reward.detach() > best
        best, params = torch.where(better, reward.detach(), best), torch.where(better[:, None], now.detach(), params)
        return reward

    with torch.no_grad():
        for start in (params, *starts):
            keep_better(start.to(batch.images))
    if not sequence:
        return params, best
    # The ends of the range are at infinite z: start a little inside, where tanh still has a gradient.
    scores = torch.atanh(2 * params.clamp(0.01, 0.99) - 1).requires_grad_()
    optimizer = torch.optim.Adam([scores], lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
    for _ in range(steps):
        loss = -keep_better((torch.tanh(scores) + 1) / 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return params, best


class _Cache:
    """What has been tried, a line a sequence in ``sequences.jsonl``; its first line says of what."""

    def __init__(self, out: Path, setting: EnvConfig, settings: OracleSettings) -> None:
        self.path, self.names = out / _CACHE, setting.make_bank().names
        self.rows: dict[tuple[int, tuple[str, ...]], dict[str, Any]] = {}
        head = json.dumps({"problem": problem_of(setting), "settings": _settings(settings)}) + "\n"
        lines = self._lines() or [head]
        if lines[0] != head:
            raise UserError(f"'{self.path}' is the search of another problem; choose another --out")
        try:
            for line in lines[1:]:
                self._keep(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"'{self.path}' is damaged; delete it to start anew") from error
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_text(self.path, "".join(lines))
        except OSError as error:
            raise UserError(f"cannot write to '{out}': {error.strerror}") from error

    def _lines(self) -> list[str]:
        """The complete lines of an earlier search; its last one may be half written."""
        if not self.path.is_file():
            return []
        text = self.path.read_text(errors="replace")
        return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def _keep(self, row: dict[str, Any]) -> None:
        self.rows[row["round"], tuple(row["sequence"])] = row

    def add(self, row: dict[str, Any]) -> None:
        row["sequence"] = self._names(row["sequence"])
        self._keep(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def has(self, number: int, sequence: tuple[int, ...]) -> bool:
        return (number, tuple(self._names(sequence))) in self.rows

    def best(self, sequence: tuple[int, ...]) -> dict[str, Any]:
        names = tuple(self._names(sequence))
        return max((row for (_, key), row in self.rows.items() if key == names), key=lambda row: row["reward"])

    def reward(self, sequence: tuple[int, ...]) -> float:
        return self.best(sequence)["reward"]

    def params(self, sequences: Iterable[tuple[int, ...]]) -> list[Tensor]:
        return [torch.tensor(self.best(sequence)["params"]) for sequence in sequences]

    def _names(self, sequence: Iterable[int]) -> list[str]:
        return [self.names[token] for token in sequence]


@contextmanager
def _workers(jobs: int, setting: EnvConfig, settings: OracleSettings) -> Iterator[Callable[..., Iterable[Any]]]:
    """Something that maps a function over work, here or in ``jobs`` processes.

    Raises:
        UserError: A process was killed.
    """
    if jobs == 1:
        _start(setting, settings)
        yield map
        return
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _start, (setting, settings))

    def unordered(function: Callable[[Any], Any], work: Iterable[Any]) -> Iterator[Any]:
        for future in as_completed([pool.submit(function, item) for item in work]):
            yield future.result()

    try:
        yield unordered
    except BrokenProcessPool as error:
        raise UserError(
            "a process of the search was killed; is there enough memory? The same command goes on, try --jobs 1"
        ) from error
    finally:
        # Without waiting: an interrupted search has its finished sequences in the file.
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):
            process.kill()


_WORKER: dict[str, Any] = {}


def _start(setting: EnvConfig, settings: OracleSettings) -> None:
    torch.set_num_threads(1)
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    _WORKER.update(transition=setting.make_transition(), settings=settings)


def _try(item: tuple[int, tuple[int, ...], int, list[Tensor]]) -> dict[str, Any]:
    (number, sequence, steps, starts), settings = item, _WORKER["settings"]
    params, rewards = best_params(_WORKER["transition"], settings.scenes, sequence, steps, settings.lr, starts)
    return {
        "sequence": list(sequence),
        "round": number,
        "reward": float(rewards.mean()),
        "rewards": rewards.tolist(),
        "params": [[round(value, 7) for value in row] for row in params.tolist()],
    }


def _check(settings: OracleSettings) -> None:
    """Raise ``UserError`` for a number that is out of range."""
    for name, least in (("scenes", 1), ("steps", 0), ("rounds", 1), ("leaders", 1)):
        if getattr(settings, name) < least:
            raise UserError(f"oracle.{name} must be at least {least}, not {getattr(settings, name)}")
    if not 0 < settings.lr < math.inf:
        raise UserError(f"oracle.lr must be greater than 0, not {settings.lr}")


def _settings(settings: OracleSettings) -> dict[str, Any]:
    return {key: value for key, value in asdict(settings).items() if key != "file"}
