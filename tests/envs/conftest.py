import gymnasium as gym
import pytest

import isp_gym  # noqa: F401 (registers the environments)

TINY = {"image_size": 16, "num_scenes": 6}


@pytest.fixture
def make():
    """Make a tiny single environment."""
    return lambda env_id, **options: gym.make(env_id, **{**TINY, **options})


@pytest.fixture
def make_vec():
    """Make a tiny vector environment."""
    return lambda env_id, num_envs, **options: gym.make_vec(
        env_id, num_envs, vectorization_mode="vector_entry_point", **{**TINY, **options}
    )
