import numpy as np
import pytest
import torch

from isp_gym.envs.checks import check_box, check_integers, entry

CPU = torch.device("cpu")


class TestBox:
    @pytest.mark.parametrize("make", [np.array, torch.tensor, list])
    def test_numbers_of_any_kind(self, make):
        assert check_box("x", make([[0.0, 0.5], [1.0, 0.25]]), (2, 2), 0.0, CPU).dtype == torch.float32

    def test_a_read_only_array_is_fine(self):
        values = np.full((1, 2), 0.5)
        values.flags.writeable = False
        check_box("x", values, (1, 2), 0.0, CPU)
        check_box("x", np.full((2, 2), 0.5)[::-1], (2, 2), 0.0, CPU)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.1, -0.1])
    def test_the_culprit_is_named(self, value):
        with pytest.raises(ValueError, match=r"'x' must lie in \[0, 1\]; lane 1, entry \[0\] is"):
            check_box("x", np.array([[0.1, 0.2], [value, 0.3]]), (2, 2), 0.0, CPU)

    @pytest.mark.parametrize("values", ["word", None, object(), [[1], [1, 2]], {"a": 1}])
    def test_what_is_no_number(self, values):
        with pytest.raises(ValueError, match="'x' must"):
            check_box("x", values, (2,), 0.0, CPU)


class TestIntegers:
    def test_each_entry_has_its_own_count(self):
        check_integers("x", np.array([[1, 4]]), (1, 2), [2, 5], CPU)
        with pytest.raises(ValueError, match=r"\[0, 1\]; lane 0 has 2"):
            check_integers("x", np.array([[2, 4]]), (1, 2), [2, 5], CPU)

    @pytest.mark.parametrize("values", [[1.0], [True], [[1]], ["1"], [-1], [5], 1])
    def test_what_is_no_choice(self, values):
        with pytest.raises(ValueError, match="'x' must"):
            check_integers("x", values, (1,), 5, CPU)

    def test_small_types_are_widened(self):
        assert check_integers("x", np.array([3], np.uint8), (1,), 5, CPU).dtype == torch.int64


def test_entry_says_what_there_is():
    with pytest.raises(ValueError, match=r"no 'params'; it has \['module'\]"):
        entry({"module": 1}, "params")
    with pytest.raises(ValueError, match="dict with 'params', not list"):
        entry([1], "params")
