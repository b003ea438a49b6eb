import pytest
import torch

from isp_gym.benchmark.checkpoints import Checkpoints
from isp_gym.errors import UserError


def test_the_last_few_are_kept_in_the_order_of_their_numbers(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", keep=2)
    assert checkpoints.latest() is None and not (tmp_path / "c").exists()
    for i in range(12):
        checkpoints.save({"i": i, "tensor": torch.tensor([0.5])})
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["000011.pt", "000012.pt"]
    assert Checkpoints(tmp_path / "c", keep=1).latest() == {"i": 11, "tensor": torch.tensor([0.5])}
    Checkpoints(tmp_path / "c", keep=1).save({"i": 12})
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["000013.pt"]
    checkpoints.clear()
    assert checkpoints.latest() is None
    checkpoints.clear()


def test_one_that_was_cut_off_while_it_was_written_does_not_count(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save({"i": 1})
    (tmp_path / "000002.pt.partial").write_bytes(b"half")
    assert checkpoints.latest() == {"i": 1}
    checkpoints.save({"i": 2})
    assert checkpoints.latest() == {"i": 2}


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_a_damaged_one_is_named(tmp_path, content):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save({"i": 1})
    (tmp_path / "000001.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"000001\.pt' is damaged"):
        checkpoints.latest()


class Bomb:
    fired = False

    def __reduce__(self):
        return setattr, (Bomb, "fired", True)


def test_nothing_is_unpickled(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save({"i": Bomb()})
    with pytest.raises(UserError, match="is damaged"):
        checkpoints.latest()
    assert not Bomb.fired
