import pickle
from dataclasses import replace

import pytest

import isp_gym
from isp_gym.benchmark.plan import folder_name, plans_of, read_card
from isp_gym.errors import UserError

CHECKSUMS = {"train": "1", "validation": "2", "test": "3"}


@pytest.fixture
def plan(plan_of):
    return replace(plan_of("random", {"scenes_per_candidate": 4}), checksums=CHECKSUMS)


class TestDigest:
    @pytest.mark.parametrize(
        "change",
        [
            {"seed": 1},
            {"options": {"scenes_per_candidate": 2}},
            {"agent": "other"},
            {"spec": "posisp"},
            {"pictures": 0},
            {"checksums": {**CHECKSUMS, "test": "4"}},
        ],
        ids=str,
    )
    def test_changes_with_whatever_decides_the_row(self, plan, change):
        assert replace(plan, **change).digest != plan.digest

    @pytest.mark.parametrize("key", ["budget", "image_size", "scenes", "objective", "curve_points"])
    def test_changes_with_the_problem(self, plan, plan_of, key):
        value = {"scenes": {"train": 3}, "objective": {"entropy": 1.0}, "curve_points": 3}.get(key, 20)
        other = plan_of("random", {"scenes_per_candidate": 4}, **{key: value})
        assert replace(other, checksums=CHECKSUMS).digest != plan.digest

    def test_changes_with_the_package(self, plan, monkeypatch):
        before = plan.digest
        monkeypatch.setattr(isp_gym, "__version__", "99")
        assert plan.digest != before

    def test_does_not_change_with_how_the_run_is_watched(self, plan):
        assert replace(plan, run_timeout=1.0, checkpoint_seconds=1.0, keep=9).digest == plan.digest


class TestCard:
    def test_holds_what_is_needed_to_use_the_policy_again(self, plan, tmp_path):
        plan.write_card(tmp_path)
        card = read_card(tmp_path)
        assert card == {
            "agent": "random",
            "options": {"scenes_per_candidate": 4},
            "problem": "enhancement",
            "config": plan.problem.flat(),
        }
        assert plan.is_card_of(tmp_path) and not replace(plan, seed=1).is_card_of(tmp_path)

    @pytest.mark.parametrize("content", ["{", "[]", '{"agent": 1}', "\udcff"])
    def test_a_damaged_one_is_named(self, plan, tmp_path, content):
        (tmp_path / "run.json").write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(UserError, match=r"run\.json' is damaged"):
            read_card(tmp_path)
        assert not plan.is_card_of(tmp_path)

    def test_a_folder_without_one(self, tmp_path):
        with pytest.raises(UserError, match="is no run; give OUT/runs/AGENT/seed-N"):
            read_card(tmp_path)


def test_a_plan_can_be_sent_to_a_process(plan):
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_plans_in_the_configs_order(tiny):
    problems = {"a": {}, "b": {"image_size": 24}}
    config = tiny({"input": {}, "mine": {"agent": "camera", "target_mean": 0.2}}, problems=problems, seeds=[3, 1])
    plans = plans_of(config, dict.fromkeys(problems, CHECKSUMS))
    assert [(p.problem.name, str(p)) for p in plans[::2]] == [
        ("a", "input seed 3"),
        ("a", "mine seed 3"),
        ("b", "input seed 3"),
        ("b", "mine seed 3"),
    ]
    assert (plans[-1].spec, plans[-1].options, plans[-1].seed) == ("camera", {"target_mean": 0.2}, 1)
    assert plans[-1].problem.env.image_size == 24


def test_where_runs_are_kept(plan, tmp_path):
    named = replace(plan, agent="a/b 50%")
    assert named.folder(tmp_path, several=False) == tmp_path / "a%2Fb 50%25" / "seed-0"
    assert named.folder(tmp_path, several=True) == tmp_path / "enhancement" / "a%2Fb 50%25" / "seed-0"
    assert folder_name("posisp (ours)") == "posisp (ours)"
