import pytest

from isp_gym.benchmark.agent import agent_names, load_agent
from isp_gym.errors import UserError
from isp_gym.plugins import find
from isp_gym.tuning import Choice, Float, Int
from isp_gym.tuning.space import check_space, narrowed, option_in, with_option

SPACE = {"rate": Float(1e-4, 1e-2, log=True, default=1e-3), "count": Int(1, 8), "kind": Choice(("a", "b"))}


class TestNarrowed:
    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"rate": {"high": 5e-3}}, {**SPACE, "rate": Float(1e-4, 5e-3, log=True, default=1e-3)}),
            ({"rate": {"low": 1, "high": 2}}, {**SPACE, "rate": Float(1, 2, log=True, default=1e-3)}),
            ({"rate": [1e-3, 1e-2]}, {**SPACE, "rate": Choice((1e-3, 1e-2), default=1e-3)}),
            ({"count": None, "rate": None}, {"kind": SPACE["kind"]}),
            ({"new": {"low": 1, "high": 3}}, {**SPACE, "new": Int(1, 3)}),
            ({"new": {"low": 1, "high": 3.5}}, {**SPACE, "new": Float(1, 3.5)}),
            ({"kind": {"low": 1.0, "high": 2.0}}, {**SPACE, "kind": Float(1.0, 2.0)}),
        ],
    )
    def test_changes(self, change, expected):
        before = dict(SPACE)
        assert narrowed(SPACE, change, "x") == expected and before == SPACE

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"rate": 3}, "tune.x.rate"),
            ({"rate": {"least": 3}}, "least"),
            ({"new": {"low": 3}}, "both low and high"),
            ({"count": {"high": 2.5}}, "integer"),
            ({"rate": {"low": 1.0}}, "at most high"),
            ({"rate": {"low": 0}}, "above 0"),
            ({"rate": {"high": float("inf")}}, "finite"),
            ({"kind": []}, "at least one"),
        ],
    )
    def test_faults(self, change, named):
        with pytest.raises(UserError, match=named):
            narrowed(SPACE, change, "x")


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        (Float(0, 1), (0, 0.5, 1.0), (-0.1, 1.1, float("nan"), "a", None, True)),
        (Int(1, 3), (1, 3), (0, 4, 1.5, "1", True)),
        (Choice((0, "a", [1])), (0, "a", [1]), (False, 1, "b", (1,))),
    ],
)
def test_contains(parameter, inside, outside):
    assert all(map(parameter.contains, inside)) and not any(map(parameter.contains, outside))


def test_dotted_names_reach_into_mappings():
    options = {"a": {"b": 1, "c": 2}, "d": None}
    assert with_option(options, "a.b", 3) == {"a": {"b": 3, "c": 2}, "d": None} and options["a"]["b"] == 1
    assert with_option(options, "d.e", 3)["d"] == {"e": 3}
    assert option_in(options, "a.c") == 2 and option_in(options, "a.x") is None and option_in(options, "a.b.c") is None


@pytest.mark.parametrize("space", [[1], {"rate": (0, 1)}])
def test_a_space_of_something_else_is_refused(space):
    with pytest.raises(UserError, match=r"agent 'x'.*search_space"):
        check_space(space, "x")


TUNED = [name for name in agent_names() if getattr(find("agents", name), "search_space", {})]


class TestOurs:
    def test_there_are_some(self):
        assert {"posisp", "random", "stepwise-ppo"} <= set(TUNED)

    @pytest.mark.parametrize("name", TUNED)
    def test_each_end_and_each_choice_is_an_option(self, name):
        for option, parameter in check_space(find("agents", name).search_space, name).items():
            ends = parameter.values if isinstance(parameter, Choice) else (parameter.low, parameter.high)
            for value in ends:
                load_agent(name, {option: value})

    @pytest.mark.parametrize("name", TUNED)
    def test_defaults_are_the_agents_own_and_in_range(self, name):
        """An agent that is given what it has anyway is the same agent."""
        plain = vars(load_agent(name))
        for option, parameter in find("agents", name).search_space.items():
            if parameter.default is not None:
                assert parameter.contains(parameter.default), option
                given = vars(load_agent(name, {option: parameter.default}))
                assert {k: v for k, v in given.items() if k != "_given"} == {
                    k: v for k, v in plain.items() if k != "_given"
                }, option
