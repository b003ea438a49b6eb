import numpy as np
import pytest
import torch

from isp_gym.budget import Budget, BudgetExhausted, Spent
from isp_gym.envs.stepwise import run_policy
from isp_gym.errors import UserError
from isp_gym.modules import get_bank

ID = "ISP/Stepwise-v0"
BANK = get_bank("stable")
STOP = BANK.end_token


def action(module, value=0.4):
    return {"module": module, "params": np.full(27, value, np.float32)}


def batch(*modules, value=0.4):
    return {"module": np.array(modules), "params": np.full((len(modules), 27), value, np.float32)}


def test_observation_follows_the_pipeline(make):
    env = make(ID)
    start, info = env.reset(seed=0)
    assert start["step"] == 0
    assert not start["used"].any()
    assert info["action_mask"].tolist() == [1] * 11
    after, _, terminated, _, info = env.step(action(5))
    assert after["step"] == 1
    assert np.flatnonzero(after["used"]).tolist() == [5]
    assert info["action_mask"].tolist() == [1] * 5 + [0] + [1] * 5
    assert info["action_mask"].dtype == np.int8
    assert not terminated
    assert not np.array_equal(start["image"], after["image"])


def test_stop_ends_it_and_changes_no_image(make):
    env = make(ID)
    start, _ = env.reset(seed=0)
    after, reward, terminated, truncated, info = env.step(action(STOP))
    assert (terminated, truncated) == (True, False)
    assert info["length"] == 0
    assert reward == pytest.approx(-info["penalty"])
    np.testing.assert_array_equal(start["image"], after["image"])


def test_it_ends_after_max_length_actions(make):
    env = make(ID, max_length=3)
    env.reset(seed=0)
    ends = [env.step(action(module))[2] for module in (0, 0, 1)]
    assert ends == [False, False, True]


def test_a_repeated_module_changes_nothing_but_costs_its_step(make):
    env = make(ID)
    env.reset(seed=0)
    first = env.step(action(0))
    second = env.step(action(0, 0.9))
    np.testing.assert_array_equal(first[0]["image"], second[0]["image"])
    assert second[0]["step"] == 2
    assert second[1] == 0


class TestNoLegalMove:
    """When all modules are used, or none finds its input domain, only the stop is open, and the episode still ends."""

    OPTIONS = ({"order": "typed"}, {"order": "typed", "repeats": True, "modules": ["gamma"]}, {"order": "free"})

    @pytest.mark.parametrize("options", OPTIONS)
    @pytest.mark.parametrize("variant", ["", "Box", "MultiDiscrete", "Discrete"])
    def test_it_ends(self, variant, options, make):
        options = {"modules": ["exposure", "gamma"], "max_length": 5, **options}
        env = make(f"ISP/Stepwise{variant}-v0", **options)
        env.action_space.seed(0)
        for _ in range(5):
            env.reset(seed=0)
            ended, steps = False, 0
            while not ended:
                *_, ended, _, info = env.step(env.action_space.sample())
                steps += 1
            assert steps <= 5
            assert info["length"] <= (5 if options.get("repeats") else 2)

    def test_only_the_stop_is_open(self, make):
        env = make(ID, modules=["exposure", "gamma"], max_length=5, order="typed")
        env.reset(seed=0)
        own = np.full(env.action_space["params"].shape, 0.4, np.float32)
        for module in (0, 1):
            info = env.step({"module": module, "params": own})[4]
        assert info["action_mask"].tolist() == [0, 0, 1]
        *_, ended, _, info = env.step({"module": 0, "params": own})
        assert (ended, info["refused"], info["length"]) == (False, True, 2)


class TestRepeats:
    def test_a_module_may_be_used_again_with_other_parameters(self, make):
        env = make(ID, repeats=True)
        env.reset(seed=0)
        first = env.step(action(0))
        second = env.step(action(0, 0.9))
        assert not np.array_equal(first[0]["image"], second[0]["image"])
        assert np.flatnonzero(second[0]["used"]).tolist() == [0]
        assert second[4]["length"] == 2
        assert not second[4]["refused"]
        assert env.unwrapped._family.params[0, :2, 0].tolist() == pytest.approx([0.4, 0.9])

    def test_masks_leave_used_modules_open(self, make):
        for env_id in ("ISP/Stepwise-v0", "ISP/StepwiseMultiDiscrete-v0", "ISP/StepwiseDiscrete-v0"):
            env = make(env_id, repeats=True)
            env.reset(seed=0)
            env.action_space.seed(1)
            while not env.step(env.action_space.sample())[2]:
                assert env.unwrapped.action_masks().all()

    def test_the_box_variant_may_prefer_a_used_module(self, make):
        chosen = np.full(38, -0.5, np.float32)
        chosen[0] = 1
        for repeats in (False, True):
            env = make("ISP/StepwiseBox-v0", repeats=repeats)
            env.reset(seed=0)
            env.step(chosen)
            observation = env.step(chosen)[0]
            assert observation["used"].sum() == (1 if repeats else 2)

    def test_with_typed_order_the_domain_still_counts(self, make):
        env = make(ID, repeats=True, order="typed")
        _, info = env.reset(seed=0)
        closed = np.flatnonzero(info["action_mask"] == 0)
        assert closed.size
        assert env.step(action(int(closed[0])))[4]["refused"]
        assert not env.step(action(0))[4]["refused"]
        assert not env.step(action(0))[4]["refused"]

    def test_it_is_a_flag(self, make):
        with pytest.raises(UserError, match="repeats must be true or false, not 'false'"):
            make(ID, repeats="false")


def test_every_step_is_counted_also_those_that_cost_nothing(make_vec):
    env = make_vec(ID, 2)
    budget = Budget(step_limit=7)
    env.unwrapped.share_budget(budget)
    env.reset(seed=0)
    for modules in ((STOP, STOP), (STOP, 0), (0, 0)):
        env.step(batch(*modules))
    assert (budget.spent.env_steps, budget.task_evaluations) == (6, 2)
    with pytest.raises(BudgetExhausted, match="6 of 7 environment steps"):
        env.step(batch(STOP, STOP))
    assert budget.spent.env_steps == 6


def test_dense_costs_an_evaluation_per_module_terminal_one_per_episode(make_vec):
    for dense, expected in ((True, 4), (False, 2)):
        env = make_vec(ID, 3, dense=dense)
        budget = Budget()
        env.unwrapped.share_budget(budget)
        env.reset(seed=0)
        env.step(batch(0, 1, STOP))
        env.step(batch(1, 1, 0))  # sub-environment 2 has begun another episode
        rewards = env.step(batch(STOP, STOP, 1))[1]
        assert (rewards[2] == 0) == (not dense)
        assert budget.task_evaluations == expected + dense


def test_stopping_at_once_is_free(make_vec):
    env = make_vec(ID, 2)
    env.reset(seed=0)
    env.step(batch(STOP, STOP))
    assert env.unwrapped.transition.budget.task_evaluations == 0


def test_an_exhausted_budget_leaves_the_state_alone(make_vec):
    env, clean = make_vec(ID, 2), make_vec(ID, 2)
    for each in (env, clean):
        each.reset(seed=0)
        each.step(batch(0, 1))
    env.unwrapped.share_budget(Budget(1))
    with pytest.raises(BudgetExhausted):
        env.step(batch(1, 5))
    assert env.unwrapped.transition.budget.spent == Spent()
    env.unwrapped.share_budget(Budget())
    after, expected = env.step(batch(1, 0)), clean.step(batch(1, 0))
    np.testing.assert_array_equal(after[0]["image"], expected[0]["image"])
    np.testing.assert_array_equal(after[1], expected[1])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (batch(0, 11), "module"),
        (batch(-1, 0), "module"),
        (batch(0), "module"),
        ({**batch(0, 1), "module": np.array([0.0, 1.0])}, "module"),
        (batch(0, 1, value=np.nan), "params"),
        (batch(0, 1, value=np.inf), "params"),
        (batch(0, 1, value=-0.01), "params"),
        ({"module": np.array([0, 1])}, "params"),
        ({"params": np.zeros((2, 27))}, "module"),
        (np.zeros((2, 28)), "module"),
        (None, "module"),
    ],
)
def test_a_bad_action_is_one_clear_error_and_moves_nothing(bad, message, make_vec):
    env, clean = make_vec(ID, 2), make_vec(ID, 2)
    for each in (env, clean):
        each.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(bad)
    after, expected = env.step(batch(0, 1)), clean.step(batch(0, 1))
    np.testing.assert_array_equal(after[0]["image"], expected[0]["image"])
    np.testing.assert_array_equal(after[1], expected[1])
    assert after[0]["step"].tolist() == [1, 1]


class TestState:
    def test_it_keeps_the_order_and_the_parameters_of_each_step(self, make_vec):
        env = make_vec(ID, 2, max_length=5)
        env.reset(seed=0)
        for tokens, value in (((5, 1), 0.9), ((5, 0), 0.2), ((2, 3), 0.6)):  # the second 5 is refused
            env.step(batch(*tokens, value=value))
        family = env._family
        assert family.tokens.tolist() == [[5, 2, STOP, STOP, STOP], [1, 0, 3, STOP, STOP]]
        assert family.lengths.tolist() == [2, 3]
        assert family.taken.tolist() == [3, 3]
        assert family.params[:, :2].mean(2).flatten().tolist() == pytest.approx([0.9, 0.6, 0.9, 0.2])
        torch.testing.assert_close(family.params[:, 3:], family.transition.bank.neutral.repeat(2, 2, 1))

    def test_a_new_episode_touches_its_own_only(self, make_vec):
        env = make_vec(ID, 2)
        env.reset(seed=0)
        env.step(batch(5, 1))
        before = env._family.images[0].clone()
        env.step(batch(5, STOP))
        family = env._family
        assert family.tokens[:, :2].tolist() == [[5, STOP], [STOP, STOP]]
        assert family.used.sum(1).tolist() == [1, 0]
        assert family.taken.tolist() == [2, 0]
        assert torch.equal(family.images[0], before)
        assert torch.equal(family.images[1], family.scenes.images[1])
        torch.testing.assert_close(family.params[1], family.transition.bank.neutral.repeat(10, 1))


class TestRunPolicy:
    SCRIPT = ((0, 5, STOP), (0, 1, 3), (STOP, 2, 3), (1, STOP, 3))  # repeats in the first, stops at other times

    def policy(self, observation, allowed):
        step = int(observation["step"].max())
        return torch.tensor(self.SCRIPT[min(step, 3)]), torch.full((3, 27), 0.3 + 0.1 * step)

    @pytest.mark.parametrize("repeats", [False, True])
    def test_it_builds_what_the_environment_would(self, repeats, make_vec):
        env = make_vec(ID, 3, repeats=repeats)
        images = torch.from_numpy(env.reset(seed=0)[0]["image"])
        rules = env.unwrapped.transition.rules
        pipelines = run_policy(self.policy, images, rules)
        assert pipelines.rules is rules
        first = ("exposure", "exposure") if repeats else ("exposure",)
        assert [pipelines.names(i) for i in range(3)] == [first, (BANK.names[5], "gamma", "ccm"), ()]
        assert pipelines.refused.tolist() == [int(not repeats), 0, 0]
        levels = [[own[0] for own in pipelines.steps(i)] for i in range(3)]
        assert levels[0] == pytest.approx([0.3, 0.4] if repeats else [0.3])
        assert levels[1] == pytest.approx([0.3, 0.4, 0.5])

    def test_what_the_policy_says_is_checked(self, make_vec):
        rules, images = make_vec(ID, 2).unwrapped.transition.rules, torch.rand(2, 3, 16, 16)
        for tokens, params, message in (
            ([0, 11], torch.rand(2, 27), r"'module' must lie in \[0, 10\]; sub-environment 1 has 11"),
            ([0, STOP], torch.full((2, 27), 1.5), r"'params' must lie in \[0, 1\]"),
            ([0, 1], torch.rand(2, 3), "'params' must have shape"),
        ):
            with pytest.raises(ValueError, match=message):
                run_policy(lambda *_, t=tokens, p=params: (torch.tensor(t), p), images, rules)
