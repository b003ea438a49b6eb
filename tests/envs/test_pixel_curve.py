import numpy as np
import pytest
import torch

from isp_gym.budget import Budget, BudgetExhausted, Spent
from isp_gym.errors import UserError
from isp_gym.modules.curves import apply_curves, physical_curves

ID = "ISP/PixelCurve-v0"
OBJECTIVE = {"gradient": 1.0, "entropy": 0.5, "eme": 0.5, "anchor": 0.1}
KINDS = {"task": {}, "objective": {"objective": OBJECTIVE}, "pixels": {"objective": OBJECTIVE, "pixel_rewards": True}}


def play(env, actions, seed=0):
    """Rewards, infos and reward maps of one episode in every sub-environment."""
    _, start = env.reset(seed=seed)
    rewards, infos = [], [start]
    for action in actions:
        _, reward, _, _, info = env.step(action)
        rewards.append(reward)
        infos.append(info)
    return np.array(rewards), infos


def noise(steps, num_envs, scale=1.0):
    return list(np.random.default_rng(0).uniform(-scale, scale, (steps, num_envs, 3, 16, 16)).astype(np.float32))


class TestCurves:
    def test_zero_is_the_identity(self):
        images = torch.rand(2, 3, 5, 7)
        torch.testing.assert_close(apply_curves(images, torch.zeros(2, 3, 5, 7)), images)

    def test_formula_and_ranges(self):
        ends = physical_curves(torch.tensor([-1.0, 1.0])[:, None, None, None].expand(2, 3, 1, 1))[:, :, 0, 0]
        torch.testing.assert_close(ends, torch.tensor([[0.5, 0.5**0.5, -0.1], [2.0, 2**0.5, 0.1]]))
        curves = torch.tensor([0.5, -0.4, 0.3])[None, :, None, None]
        expected = 2**-0.2 * 0.36 ** (2**0.5) + 0.03
        torch.testing.assert_close(
            apply_curves(torch.full((1, 3, 1, 1), 0.36), curves), torch.full((1, 3, 1, 1), expected)
        )

    def test_output_is_clipped_and_differentiable(self):
        curves = torch.randn(1, 3, 8, 8).clamp(-1, 1).requires_grad_()
        out = apply_curves(torch.rand(1, 3, 8, 8) * 2 - 0.5, curves)
        assert ((out >= 0) & (out <= 1)).all()
        out.sum().backward()
        assert curves.grad.isfinite().all()


class TestEpisode:
    def test_it_has_k_steps_and_says_which(self, make):
        env = make(ID, steps=3)
        seen = [int(env.reset(seed=0)[0]["step"])]
        ends = []
        for _ in range(3):
            observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
            seen.append(int(observation["step"]))
            ends.append((terminated, truncated))
        assert seen == [0, 1, 2, 3]
        assert ends == [(False, False), (False, False), (True, False)]

    def test_identity_earns_nothing(self, make_vec):
        for options in KINDS.values():
            env = make_vec(ID, 3, reward={"low_weight": 0}, **options)
            rewards, _ = play(env, [np.zeros((3, 3, 16, 16), np.float32)] * 5)
            np.testing.assert_allclose(rewards, 0, atol=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_dense_rewards_add_up_to_the_terminal_one(self, kind, make_vec):
        actions = noise(5, 3)
        dense, infos = play(make_vec(ID, 3, **KINDS[kind]), actions)
        terminal, _ = play(make_vec(ID, 3, dense=False, **KINDS[kind]), actions)
        assert not terminal[:-1].any()
        np.testing.assert_allclose(dense.sum(0), terminal[-1], rtol=1e-5, atol=1e-5)
        last = infos[-1]["final_info"]
        np.testing.assert_allclose(
            dense.sum(0), last["initial_loss"] - last["loss"] - last["penalty"], rtol=1e-4, atol=1e-5
        )

    def test_return_equals_that_of_a_scored_image(self, make_vec):
        """The third family is rewarded by the same Eq. 3 as the others."""
        env = make_vec(ID, 2)
        actions = noise(5, 2)
        rewards, infos = play(env, actions)
        transition = env.unwrapped.transition
        scenes = transition.scenes.batch(infos[0]["scene"].tolist())
        images = scenes.images
        for action in actions:
            images = apply_curves(images, torch.from_numpy(action))
        task, reward = transition.task, transition.reward
        expected = task.loss(scenes.images, scenes) - task.loss(images, scenes) - reward.penalty(images)
        np.testing.assert_allclose(rewards.sum(0), expected, rtol=1e-4, atol=1e-5)


class TestPixelRewards:
    def test_mean_of_the_map_is_the_reward(self, make_vec):
        env = make_vec(ID, 3, **KINDS["pixels"])
        rewards, infos = play(env, noise(4, 3))
        for reward, info in zip(rewards, infos[1:], strict=True):
            assert info["reward_map"].shape == (3, 16, 16)
            np.testing.assert_allclose(info["reward_map"].mean(axis=(1, 2)), reward, rtol=1e-4, atol=1e-6)

    def test_scalar_reward_is_the_same_with_and_without_a_map(self, make_vec):
        actions = noise(5, 3)
        with_map, _ = play(make_vec(ID, 3, **KINDS["pixels"]), actions)
        without, _ = play(make_vec(ID, 3, **KINDS["objective"]), actions)
        np.testing.assert_allclose(with_map, without, rtol=1e-4, atol=1e-5)

    def test_a_pixel_is_paid_for_itself(self, make):
        env = make(ID, objective={"fidelity": 1.0}, pixel_rewards=True, reward={"low_weight": 0})
        env.reset(seed=0)
        action = np.zeros((3, 16, 16), np.float32)
        action[2, 4, 5] = 1.0
        info = env.step(action)[4]
        assert np.argwhere(np.abs(info["reward_map"]) > 1e-6).tolist() == [[4, 5]]

    def test_a_task_without_a_map_is_refused(self, make):
        with pytest.raises(UserError, match="objective"):
            make(ID, pixel_rewards=True)


class TestBudget:
    def test_each_image_is_scored_once(self, make_vec):
        for kind, options in KINDS.items():
            env = make_vec(ID, 3, **options)
            budget = Budget()
            env.unwrapped.share_budget(budget)
            task, scored = env.unwrapped.transition.task.unmetered, []
            name = "loss_map" if kind == "pixels" else "loss"
            original = getattr(task, name)
            setattr(
                task, name, lambda images, scenes, s=scored, f=original: (s.append(len(images)), f(images, scenes))[1]
            )
            _, infos = play(env, noise(5, 3))
            assert budget.task_evaluations == 15
            # Besides, each scene once: its map is not kept, so in pixel mode once an episode.
            shown = {scene for info in infos for scene in info["scene"].tolist()}
            assert sum(scored) == 15 + (6 if kind == "pixels" else len(shown))

    def test_terminal_rewards_cost_one_score_an_episode(self, make_vec):
        env = make_vec(ID, 3, dense=False)
        budget = Budget()
        env.unwrapped.share_budget(budget)
        play(env, noise(5, 3))
        assert budget.task_evaluations == 3

    def test_an_exhausted_budget_leaves_the_state_alone(self, make_vec):
        env, clean = make_vec(ID, 2), make_vec(ID, 2)
        actions = noise(2, 2)
        for each in (env, clean):
            each.reset(seed=0)
            each.step(actions[0])
        env.unwrapped.share_budget(Budget(1))
        with pytest.raises(BudgetExhausted):
            env.step(actions[1])
        assert env.unwrapped.transition.budget.spent == Spent()
        env.unwrapped.share_budget(Budget())
        after, expected = env.step(actions[1]), clean.step(actions[1])
        np.testing.assert_array_equal(after[0]["image"], expected[0]["image"])
        np.testing.assert_array_equal(after[1], expected[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.5, -1.5])
def test_a_bad_action_moves_nothing(bad, make):
    env = make(ID).unwrapped
    start = env.reset(seed=0)[0]
    action = np.zeros((3, 16, 16), np.float32)
    action[1, 2, 3] = bad
    with pytest.raises(ValueError, match=r"\[1, 2, 3\]"):
        env.step(action)
    with pytest.raises(ValueError, match="shape"):
        env.step(action[:2])
    after = env.step(np.zeros((3, 16, 16), np.float32))[0]
    np.testing.assert_allclose(after["image"], start["image"], atol=2e-6)


def test_steps_must_be_some(make):
    with pytest.raises(UserError, match="steps"):
        make(ID, steps=0)
