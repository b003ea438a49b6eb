"""StepwisePPO obeys the rules, counts what it needs, and ends and goes on as a run asks it to."""

import contextlib
import copy
import io
import math

import pytest
import torch

from baselines import StepwisePPO
from baselines.stepwise import _spaces
from isp_gym.benchmark import Training
from isp_gym.budget import Budget, StepsExhausted
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.testing.interruption import Interrupted, MemoryRecorder

FAST = {"num_envs": 4, "n_steps": 8, "batch_size": 16, "n_epochs": 1}
MODULES = ("exposure", "gamma", "contrast")
PLACES = {
    "free": EnvConfig(num_scenes=8, image_size=36, modules=MODULES),
    "typed": EnvConfig(num_scenes=8, image_size=36, order="typed", max_length=4),
    "repeats": EnvConfig(num_scenes=8, image_size=36, modules=MODULES, max_length=5, repeats=True),
}


def train(setting=PLACES["free"], budget=100, seed=0, **recording):
    torch.manual_seed(seed)
    spent = Budget(budget)
    recorder, agent = MemoryRecorder(spent, **recording), StepwisePPO(**FAST)
    with contextlib.suppress(Interrupted):
        agent.train(Training(setting, 5, spent, recorder))
    return agent, recorder


class TestRules:
    @pytest.mark.parametrize("setting", PLACES.values(), ids=PLACES)
    def test_its_pipelines_are_what_it_asked_for(self, setting):
        agent, images = train(setting, 48)[0], torch.rand(16, 3, 36, 36)
        asked = []

        def noisy(observation, allowed):
            """Logits at random: a mask that were not obeyed would show."""
            with torch.no_grad():
                agent.networks["action"].bias.normal_(0, 3)
            tokens, params = StepwisePPO._act(agent, observation, allowed)
            asked.append(allowed.gather(1, tokens[:, None]))
            return tokens, params

        agent._act = noisy
        pipelines = agent.pipelines(images)
        assert torch.cat(asked).all()
        twice = any(len(set(pipelines.names(i))) < len(pipelines.names(i)) for i in range(16))
        assert twice == setting.repeats

    @pytest.mark.parametrize("setting", PLACES.values(), ids=PLACES)
    def test_spaces_are_those_of_the_environment(self, setting):
        env = Training(setting, 0, Budget()).make_vec("ISP/StepwiseBox-v0", 2)
        assert _spaces(setting.rules, 36) == (env.single_observation_space, env.single_action_space)

    def test_actions_are_decoded_as_in_the_environment(self):
        setting = PLACES["free"]
        agent, images = train(setting, 48)[0], torch.rand(5, 3, 36, 36)
        env = Training(setting, 0, Budget()).make_vec("ISP/StepwiseBox-v0", 5)
        means = torch.randn(5, env.single_action_space.shape[0])
        agent._networks = torch.nn.ModuleDict({**agent.networks, "action": Constant(means)})
        used = torch.zeros(5, setting.rules.bank.num_modules, dtype=torch.bool)
        observation = {"image": images, "used": used.to(torch.int8), "step": torch.zeros(5, dtype=torch.int64)}
        allowed = setting.rules.allowed(used)
        native = env.unwrapped.make_variant("box").decode(means.clamp(-1, 1), allowed)
        tokens, params = agent._act(observation, allowed)
        assert torch.equal(tokens, native["module"]) and torch.equal(params, native["params"])


class Constant(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = torch.nn.Parameter(value)

    def forward(self, _):
        return self.value


class TestTraining:
    def test_an_exhausted_step_limit_ends_it(self, monkeypatch):
        training = Training(PLACES["free"], 0, Budget(10**6))
        make_vec = training.make_vec

        def limited(*args, **options):
            env = make_vec(*args, **options)
            step, taken = env.unwrapped.step, []

            def counted(actions):
                taken.append(1)
                if len(taken) > 20:
                    raise StepsExhausted("no more steps")
                return step(actions)

            env.unwrapped.step = counted
            return env

        monkeypatch.setattr(training, "make_vec", limited)
        with pytest.raises(StepsExhausted):
            StepwisePPO(**FAST).train(training)

    def test_goes_on_with_policy_optimiser_and_reward_scale_on_other_scenes(self):
        _, first = train(stop_at=2)
        state = torch.load(io.BytesIO(first.saved), weights_only=True)["learner"]
        assert state["num_timesteps"] == 64 and state["optimizer"]["state"]
        resumed, steps = {}, []

        class Looking(MemoryRecorder):
            def resume(self, learner):
                went_on = super().resume(learner)
                resumed.update(copy.deepcopy(learner.state_dict()), seeds=learner.model.env.venv._seeds)
                return went_on

            def checkpoint(self, agent, learner):
                steps.append(learner.model.num_timesteps)

        budget = Budget(200)
        StepwisePPO(**FAST).train(Training(PLACES["free"], 5, budget, Looking(budget, saved=first.saved)))
        assert all(torch.equal(resumed["policy"][key], state["policy"][key]) for key in state["policy"])
        updates = [copied["optimizer"]["state"][0]["step"] for copied in (resumed, state)]
        assert updates[0] == updates[1] > 0
        assert steps[:2] == [64, 96]
        assert resumed["reward_scale"] == state["reward_scale"] and resumed["num_timesteps"] == 64
        assert resumed["seeds"] != [5, 6, 7, 8]
        assert budget.task_evaluations > 190

    def test_numbers_are_logged(self):
        _, recorder = train()
        assert recorder.checkpoints == len(recorder.numbers) >= 2
        names = ("policy_loss", "value_loss", "entropy", "approx_kl", "clipfrac", "explained_variance")
        assert recorder.numbers[0].keys() == {f"losses/{name}" for name in names}

    def test_the_entropy_is_that_of_its_actions(self):
        """Of independent Gaussians, whose standard deviation starts at exp(-1)."""
        entropy = train(budget=40)[1].numbers[0]["losses/entropy"]
        per_number = 0.5 * math.log(2 * math.pi * math.e) - 1
        size = len(MODULES) + 1 + PLACES["free"].rules.bank.num_params
        assert entropy == pytest.approx(size * per_number, rel=0.02)

    def test_the_largest_seed(self):
        StepwisePPO(**FAST).train(Training(PLACES["free"], 2**32 - 1, Budget(8)))


def test_the_critic_is_not_counted():
    agent = train(budget=8)[0]
    needed = sum(p.numel() for p in agent.networks.parameters())
    features = sum(p.numel() for p in agent.networks["features"].parameters())
    outputs = 3 + 1 + PLACES["free"].rules.bank.num_params
    width = agent.networks["features"].features_dim
    assert needed == features + (width + 1) * 64 + 65 * 64 + 65 * outputs


def test_an_unknown_option_is_named():
    with pytest.raises(UserError, match="unknown stepwise-ppo option 'n_step'; did you mean 'n_steps'"):
        StepwisePPO(n_step=8)


def test_policy_options_are_kept(tmp_path):
    agent = StepwisePPO(**FAST, policy_kwargs={"net_arch": [16]})
    agent.train(Training(PLACES["free"], 0, Budget(8)))
    agent.save(tmp_path)
    again = StepwisePPO()
    again.load(tmp_path)
    assert again.networks["actor"][0].out_features == 16
