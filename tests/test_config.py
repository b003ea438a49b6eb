import os
import threading
from dataclasses import dataclass, field
from typing import Any

import pytest

from isp_gym.config import override, read_layers, read_yaml, typed
from isp_gym.errors import UserError


@dataclass
class Part:
    number: int = 1
    share: float | None = None


@dataclass
class Keys:
    count: int = 0
    least: int | None = None
    share: float = 0.5
    on: bool = False
    name: str = ""
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    names: list[str] | None = None
    agents: dict[str, Any] = field(default_factory=dict, metadata={"example": "{input: {}}"})
    weights: dict[str, float] | None = None
    part: Part = field(default_factory=Part)


def test_whole_floats_are_integers_where_integers_are_asked_for():
    made = typed(Keys, {"count": 1e6, "least": 2.0, "seeds": [1e1], "part": {"number": 3.0, "share": 2.0}}, "key")
    assert made == Keys(count=10**6, least=2, seeds=[10], part=Part(3, 2.0))
    assert [type(n) for n in (made.count, made.least, made.seeds[0], made.part.number)] == [int] * 4
    made = typed(Keys, {"share": 2.0, "agents": {"x": 16.0}}, "key")
    assert type(made.share) is type(made.agents["x"]) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 2.5}, "key 'count': Value '2.5' of type 'float' could not be converted to Integer"),
        ({"seeds": [0.5]}, r"key 'seeds\[0\]': Value '0.5'"),
        ({"count": float("inf")}, "key 'count'"),
        ({"count": [1]}, r"key 'count' must be a single value, not \[1\]"),
        ({"name": {"a": 1}}, "key 'name' must be a single value, not {'a': 1}"),
        ({"seeds": 5}, r"key 'seeds' must be a list, such as \[0, 1, 2\], not 5"),
        ({"seeds": "0,1"}, r"key 'seeds' must be a list, such as \[0, 1, 2\], not '0,1'"),
        ({"seeds": {0: 1}}, "key 'seeds' must be a list"),
        ({"names": "gamma"}, "key 'names' must be a list, not 'gamma'"),
        ({"agents": ["input"]}, r"key 'agents' must be a mapping, such as {input: {}}, not \['input'\]"),
        ({"agents": "input"}, "key 'agents' must be a mapping, such as {input: {}}, not 'input'"),
        ({"weights": 1.0}, "key 'weights' must be a mapping, not 1.0"),
        ({"part": 5}, "key 'part' must be a mapping, not 5"),
        ({"part": [1]}, "key 'part' must be a mapping, not"),
        ({"part": {"numbr": 1}}, "key 'part.numbr'"),
        ({"part": {"number": "many"}}, "key 'part.number'"),
        ({"seeds": None}, "key 'seeds'"),
        ({"cuont": 1}, "unknown key 'cuont'; did you mean 'count'"),
    ],
)
def test_a_wrong_kind_is_named_with_what_to_write(values, message):
    with pytest.raises(UserError, match=message) as caught:
        typed(Keys, values, "key")
    assert "\n" not in str(caught.value)


class TestReading:
    def test_later_files_lie_over_earlier_ones_key_by_key_and_lists_are_replaced(self, tmp_path):
        (tmp_path / "a.yaml").write_text(
            "budget: 1\nscenes: {train: 1, test: 2}\nseeds: [0, 1, 2]\nagents: {a: {x: 1}}\n"
        )
        (tmp_path / "b.yaml").write_text("scenes: {test: 3}\nseeds: [7]\nagents: {a: {y: 2}, b: {}}\n")
        read = read_layers([tmp_path / "a.yaml", tmp_path / "b.yaml"], ["agents.b.z=4", "scenes.train=5"])
        assert read == {
            "budget": 1,
            "scenes": {"train": 5, "test": 3},
            "seeds": [7],
            "agents": {"a": {"x": 1, "y": 2}, "b": {"z": 4}},
        }

    @pytest.mark.parametrize(
        ("text", "read_as"),
        [("0100", 64), ("-017", -15), ("00", 0), ("1:30", 90), ("1:30.5", 90.5), ("[1, {a: 010}]", 8)],
    )
    def test_numbers_that_yaml_reads_otherwise_than_people_are_refused(self, tmp_path, text, read_as):
        (tmp_path / "a.yaml").write_text(f"budget: {text}")
        for read in (lambda: read_yaml(tmp_path / "a.yaml"), lambda: override({}, [f"budget={text}"])):
            with pytest.raises(UserError, match=rf"YAML reads .* as {read_as}; write a plain number"):
                read()

    @pytest.mark.parametrize(
        "text", ["100", "1e2", "'0100'", '"1:30"', "0x10", "0.5", "0", "1_000", "2026-01-02", "a:b"]
    )
    def test_other_values_are_not(self, tmp_path, text):
        (tmp_path / "a.yaml").write_text(f"budget: {text}")
        read_yaml(tmp_path / "a.yaml")

    def test_a_pipe_is_read(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("budget: 8",), daemon=True)
        writer.start()
        assert read_yaml(tmp_path / "pipe") == {"budget": 8}
        writer.join()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (b"a: [", "cannot be read"),
            (b"\xff\xfe", "cannot be read"),
            (b"a: 1\n---\nb: 2", "cannot be read"),
            (b"[" * 5000, "cannot be read"),
            (b"a: &x {b: *x}", "a.yaml"),
            (b"- 1", "must be a mapping"),
            (b"budget: ???", "Missing mandatory value: budget"),
        ],
    )
    def test_what_cannot_be_read_is_one_line(self, tmp_path, text, message):
        (tmp_path / "a.yaml").write_bytes(text)
        with pytest.raises(UserError, match=message) as caught:
            read_yaml(tmp_path / "a.yaml")
        assert "\n" not in str(caught.value)

    def test_a_folder_is_no_file(self, tmp_path):
        with pytest.raises(UserError, match="no config file at"):
            read_yaml(tmp_path)
