"""The checker of vector environments that Gymnasium lacks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array

from isp_gym.testing.compare import difference, plain, row_of, spoil

_TOLERANCE = 1e-4  # batched arithmetic may round differently
_SEED = 11


def check_vector_env(
    env: VectorEnv | str | Callable[[int], VectorEnv],
    single: Callable[[], gym.Env] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    steps: int = 30,
) -> None:
    """Check that a vector environment is nothing but n single ones, side by side.

    Spaces and types; seeding (sub-environment i of seed s has seed s + i); that a sub-environment does not depend on
    ``num_envs``; that the whole equals Gymnasium's ``SyncVectorEnv`` of single environments step by step, autoreset,
    final observations and infos included; that nothing handed out (numpy or torch) is used again, and that actions and
    options are left as they came.

    Args:
        env: A vector environment made by ``gymnasium.make_vec``, the id of one, or a function from ``num_envs`` to a
            new one.
        single: Makes the single environment; needed where ``env`` is a function.
        options: Options for ``reset`` that must not be changed by it.
        steps: Steps of each comparison; enough for some episodes to end.

    Raises:
        AssertionError: A check has failed; the message says which and where.
        TypeError: ``single`` is needed.

    Example:
        >>> import gymnasium as gym
        >>> import isp_gym
        >>> options = {"image_size": 16, "num_scenes": 4, "modules": ["exposure", "gamma"]}
        >>> check_vector_env(gym.make_vec("ISP/Sequence-v0", 2, "vector_entry_point", **options), steps=5)
    """
    make, make_single = _makers(env, single)
    _check_declarations(make)
    _check_types(make, steps)
    _check_seeding(make, steps)
    _check_independence(make, steps)
    _check_against_singles(make, make_single, steps)
    _check_arguments(make, dict(options or {}), steps)
    _check_nothing_reused(make, steps)


def _makers(env: Any, single: Any) -> tuple[Callable[[int], VectorEnv], Callable[[], gym.Env]]:
    if isinstance(env, str):
        return lambda n: gym.make_vec(env, n), single or (lambda: gym.make(env))
    if isinstance(env, VectorEnv) and env.unwrapped.spec is not None:
        spec = env.unwrapped.spec
        made_by = ("num_envs", "vectorization_mode", "vector_kwargs", "wrappers")
        kwargs = {key: value for key, value in spec.kwargs.items() if key not in made_by}
        # The checker that gymnasium.make adds knows only numpy.
        return (
            lambda n: gym.make_vec(spec.id, n, spec.kwargs["vectorization_mode"], **kwargs),
            single or (lambda: gym.make(spec.id, disable_env_checker=True, **kwargs)),
        )
    if isinstance(env, VectorEnv):
        raise TypeError(
            "an environment without a spec cannot be made again: give a function from num_envs to a new one"
        )
    if single is None:
        raise TypeError("single is needed: a function that makes the single environment")
    return env, single


def _check_declarations(make: Callable[[int], VectorEnv]) -> None:
    env = make(3)
    mode = env.metadata.get("autoreset_mode")
    assert isinstance(mode, AutoresetMode), f"metadata['autoreset_mode'] must be an AutoresetMode, not {mode!r}"
    assert env.num_envs == 3, f"asked for 3 environments, num_envs is {env.num_envs}"
    for kind in ("observation", "action"):
        batched, one = getattr(env, f"{kind}_space"), getattr(env, f"single_{kind}_space")
        assert batched == batch_space(one, 3), f"{kind}_space is not the batch of single_{kind}_space"


def _check_types(make: Callable[[int], VectorEnv], steps: int) -> None:
    env = make(3)
    observation, info = env.reset(seed=_SEED)
    env.action_space.seed(_SEED)
    for _ in range(steps):
        # A tensor has no numpy type of its own; an array must have the space's.
        seen = _as_space(env, plain(observation)) if _has_tensors(observation) else observation
        assert seen in env.observation_space, "an observation is not of the observation_space"
        assert isinstance(info, dict), f"info must be a dict, not {type(info).__name__}"
        observation, rewards, terminated, truncated, info = env.step(env.action_space.sample())
        for name, value, kinds in (
            ("reward", rewards, "f"),
            ("terminated", terminated, "b"),
            ("truncated", truncated, "b"),
        ):
            array = plain(value)
            assert isinstance(array, np.ndarray), f"{name} must be an array or tensor, not {type(value).__name__}"
            assert array.shape == (3,), f"{name} must have shape (3,), not {array.shape}"
            assert array.dtype.kind in kinds, f"{name} must not be {array.dtype}"
            assert np.isfinite(array).all(), f"{name} is not finite"


def _has_tensors(value: Any) -> bool:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else ()
    return isinstance(value, torch.Tensor) or any(map(_has_tensors, parts))


def _as_space(env: VectorEnv, observation: Any) -> Any:
    """The observation put together row by row, which has the space's own types."""
    return _stack(env.single_observation_space, [row_of(observation, i) for i in range(env.num_envs)])


def _stack(space: gym.Space, items: list[Any]) -> Any:
    empty: Any = create_empty_array(space, len(items))
    return concatenate(space, items, empty)


def _check_seeding(make: Callable[[int], VectorEnv], steps: int) -> None:
    once, again, by_list = _trace(make(3), steps), _trace(make(3), steps), None
    _same(once, again, "the same seed and actions gave something else the second time", 0.0)
    by_list = _trace(make(3), steps, seed=[_SEED, _SEED + 1, _SEED + 2])
    _same(once, by_list, "seed=s is not seed=[s, s + 1, ...]", 0.0)
    other = _trace(make(3), steps, seed=_SEED + 1000)
    assert difference(once, other), "another seed changes nothing"
    env = make(3)
    first, second = plain(env.reset(seed=_SEED)[0]), plain(env.reset()[0])
    starts = [plain(env.reset()[0]) for _ in range(8)]
    assert any(difference(first, start) for start in [second, *starts]), "reset() without a seed starts from it anew"


def _check_independence(make: Callable[[int], VectorEnv], steps: int) -> None:
    few, many = _trace(make(2), steps), _trace(make(5), steps)
    _same(few, many[:2], "what happens in a sub-environment depends on how many there are")


def _check_against_singles(make: Callable[[int], VectorEnv], make_single: Callable[[], gym.Env], steps: int) -> None:
    env = make(3)
    singles = SyncVectorEnv([make_single] * 3, autoreset_mode=env.metadata["autoreset_mode"])
    for kind in ("observation", "action"):
        name = f"single_{kind}_space"
        assert getattr(env, name) == getattr(singles, name), f"{name} is not that of the single environment"
    batched, apart = _trace(env, steps), _trace(singles, steps)
    assert any(step["ended"] for step in batched[0][1:]), (
        f"no episode of sub-environment 0 ended in {steps} steps: raise steps"
    )
    _same(batched, apart, "it differs from SyncVectorEnv of single environments (autoreset, independence or dynamics)")


def _check_nothing_reused(make: Callable[[int], VectorEnv], steps: int) -> None:
    env = make(2)
    env.action_space.seed(_SEED)
    handed: list[Any] = [env.reset(seed=_SEED)]
    copies = [plain(handed[-1])]
    for _ in range(steps):
        handed.append(env.step(env.action_space.sample()))
        copies.append(plain(handed[-1]))
    _same(copies, [plain(item) for item in handed], "something that was handed out has changed since", 0.0)
    clean, spoiled = make(2), make(2)
    clean.reset(seed=_SEED)
    spoil(spoiled.reset(seed=_SEED))
    clean.action_space.seed(_SEED)
    for _ in range(steps):
        action = clean.action_space.sample()
        expected, got = clean.step(action), spoiled.step(copy.deepcopy(action))
        _same(plain(expected), plain(got), "writing to what was handed out changes the environment", 0.0)
        spoil(got)


def _check_arguments(make: Callable[[int], VectorEnv], options: dict[str, Any], steps: int) -> None:
    env = make(2)
    before = copy.deepcopy(options)
    env.reset(seed=_SEED, options=options)
    assert not difference(plain(options), plain(before)), "reset changes its options"
    env.action_space.seed(_SEED)
    for _ in range(steps):
        action = env.action_space.sample()
        kept = copy.deepcopy(action)
        env.step(action)
        _same(plain(action), plain(kept), "step changes its actions", 0.0)


def _trace(env: VectorEnv, steps: int, seed: Any = _SEED) -> list[list[dict[str, Any]]]:
    """All that happens in each sub-environment, whose actions depend on its number alone."""
    actions = _actions(env, steps)
    observation, info = env.reset(seed=seed)
    start = plain(observation)
    out = [[{"observation": row_of(start, i), "info": _info(plain(info), i)}] for i in range(env.num_envs)]
    for action in actions:
        observation, rewards, terminated, truncated, info = map(plain, env.step(action))
        for i in range(env.num_envs):
            out[i].append(
                {
                    "observation": row_of(observation, i),
                    "reward": rewards[i],
                    "ended": bool(terminated[i] or truncated[i]),
                    "terminated": bool(terminated[i]),
                    "info": _info(info, i),
                }
            )
    return out


def _actions(env: VectorEnv, steps: int) -> list[Any]:
    space = env.single_action_space
    of_each = []
    for i in range(env.num_envs):
        space.seed(1000 + i)
        of_each.append([space.sample() for _ in range(steps)])
    return [_stack(space, [actions[step] for actions in of_each]) for step in range(steps)]


def _info(info: Mapping[str, Any], i: int) -> dict[str, Any]:
    """What a vector info says of sub-environment i: the keys whose mask is set there."""
    out = {}
    for key, value in info.items():
        if key.startswith("_") and key[1:] in info:
            continue
        assert f"_{key}" in info, f"info['{key}'] comes without its mask info['_{key}']"
        if info[f"_{key}"][i]:
            out[key] = _info(value, i) if isinstance(value, Mapping) and key == "final_info" else row_of(value, i)
    return out


def _same(one: Any, other: Any, message: str, tolerance: float = _TOLERANCE) -> None:
    where = difference(one, other, tolerance)
    assert not where, f"{message}: {where}"
