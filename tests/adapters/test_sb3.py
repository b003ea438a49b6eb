import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.adapters import to_sb3_vecenv
from isp_gym.errors import UserError

TINY = {"image_size": 16, "num_scenes": 6}


def vector(env_id, num_envs=3, **options):
    return gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **{**TINY, **options})


def random_actions(env, rng):
    return np.stack([rng.uniform(-1, 1, env.action_space.shape).astype(np.float32) for _ in range(env.num_envs)])


def test_it_is_a_vecenv_with_flat_actions():
    env = to_sb3_vecenv(vector("ISP/Stepwise-v0"))
    assert isinstance(env, VecEnv)
    assert env.action_space.shape == (11 + 27,)
    observation = env.reset()
    assert observation["image"].shape == (3, 3, 16, 16)
    env.close()


def test_ends_carry_the_last_observation():
    env = to_sb3_vecenv(vector("ISP/Stepwise-v0", max_length=2))
    env.seed(0)
    env.reset()
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(6):
        observation, rewards, dones, infos = env.step(random_actions(env, rng))
        assert rewards.dtype == np.float32
        for i in range(3):
            assert ("terminal_observation" in infos[i]) == dones[i]
            assert infos[i]["TimeLimit.truncated"] is False
            assert "loss" in infos[i]
            if dones[i]:
                ended += 1
                assert infos[i]["terminal_observation"]["step"] >= 1
                assert observation["step"][i] == 0
    assert ended


def test_seeding_repeats():
    env = to_sb3_vecenv(vector("ISP/Stepwise-v0", num_scenes=50))
    images = []
    for _ in range(2):
        env.seed(3)
        images.append(env.reset()["image"])
    np.testing.assert_array_equal(*images)
    assert not np.array_equal(env.reset()["image"], images[0])


def test_ppo_trains_on_the_batch():
    env = to_sb3_vecenv(vector("ISP/Stepwise-v0", 4))
    model = PPO("MultiInputPolicy", env, n_steps=16, batch_size=32, n_epochs=1, seed=0, device="cpu")
    model.learn(64)
    assert model.num_timesteps == 64


def test_anything_else_is_refused():
    with pytest.raises(UserError, match="CartPole"):
        to_sb3_vecenv(gym.make_vec("CartPole-v1", 2))


def test_the_environment_itself_stays_as_it_was():
    vec = vector("ISP/Stepwise-v0")
    to_sb3_vecenv(vec)
    assert isinstance(vec.single_action_space, gym.spaces.Dict)
    vec.reset(seed=0)
    vec.step(vec.action_space.sample())


def test_native_and_box_ids_do_the_same():
    rewards = []
    for env_id in ("ISP/Stepwise-v0", "ISP/StepwiseBox-v0"):
        env = to_sb3_vecenv(vector(env_id))
        env.seed(0)
        env.reset()
        rng = np.random.default_rng(0)
        rewards.append([env.step(random_actions(env, rng))[1] for _ in range(8)])
    np.testing.assert_array_equal(*rewards)


def test_frames_of_all_sub_environments():
    env = to_sb3_vecenv(vector("ISP/Sequence-v0", render_mode="rgb_array"))
    env.reset()
    assert [image.dtype for image in env.get_images()] == [np.uint8] * 3


def test_scene_option_and_reset_infos():
    env = to_sb3_vecenv(vector("ISP/Sequence-v0"))
    env.set_options({"scene": 4})
    env.reset()
    assert [info["scene"] for info in env.reset_infos] == [4, 4, 4]


def test_each_sub_environment_has_its_options_as_in_dummy_vec_env():
    env = to_sb3_vecenv(vector("ISP/StepwiseBox-v0"))
    free = to_sb3_vecenv(vector("ISP/StepwiseBox-v0"))
    env.set_options([{"scene": 0}, {"scene": 5}, {"scene": 2}])
    env.reset()
    assert [info["scene"] for info in env.reset_infos] == [0, 5, 2]
    for each in (env, free):
        each.seed(3)
    env.set_options([{}, {"scene": 4}, {}])
    for each in (env, free):
        each.reset()
    following = [info["scene"] for info in free.reset_infos]
    assert [info["scene"] for info in env.reset_infos] == [following[0], 4, following[2]]


def test_seeds_for_some_are_no_silent_loss():
    env = to_sb3_vecenv(vector("ISP/StepwiseBox-v0"))
    env._seeds = [1, None, 3]
    with pytest.raises(ValueError, match="a seed must be an integer, not None"):
        env.reset()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda env: gym.wrappers.vector.TransformReward(env, lambda reward: 100 * reward),
        gym.wrappers.vector.RecordEpisodeStatistics,
        gym.wrappers.vector.ClipAction,
    ],
)
def test_wrappers_are_refused_not_dropped(wrap):
    wrapped = wrap(vector("ISP/SequenceBox-v0"))
    with pytest.raises(UserError, match=rf"not one wrapped in {type(wrapped).__name__}: put .* round what it returns"):
        to_sb3_vecenv(wrapped)


def test_stable_baselines_wrappers_go_round_it():
    env = VecMonitor(to_sb3_vecenv(vector("ISP/SequenceBox-v0")))
    env.reset()
    infos = env.step(random_actions(env, np.random.default_rng(0)))[3]
    assert all(info["episode"]["l"] == 1 for info in infos)


def test_tensors_are_refused():
    with pytest.raises(UserError, match="numpy"):
        to_sb3_vecenv(vector("ISP/Sequence-v0", output="torch"))
