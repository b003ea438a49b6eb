import pytest

from isp_gym.data.splits import check_split
from isp_gym.errors import UserError


@pytest.mark.parametrize("name", ["", "Train", "val", "testing", 3, None])
def test_other_names_are_no_splits(name):
    with pytest.raises(UserError, match="unknown split"):
        check_split(name)
