import pytest
import torch

from isp_gym.data import Objects
from isp_gym.errors import UserError
from isp_gym.networks.classes import ClassMap, select_objects

NETWORK = ("N/A", "Truck", "N/A", "tv", "motorcycle")


def objects(classes, labels, crowd=None):
    n = len(labels)
    corner = torch.arange(n, dtype=torch.float32)[:, None].expand(n, 2)
    masks = torch.eye(n, dtype=torch.bool)[:, None].expand(n, 8, n)
    crowd = torch.zeros(n, dtype=torch.bool) if crowd is None else torch.tensor(crowd)
    return Objects(
        torch.cat([corner, corner + 1], 1), torch.tensor(labels, dtype=torch.int64), tuple(classes), masks, crowd
    )


def test_by_name_in_any_case_and_by_synonym():
    one = ClassMap(NETWORK, {})(objects(["TVmonitor", "truck", "Motorbike"], [1, 0, 2, 1]), "test/0")
    assert one.labels.tolist() == [1, 3, 4, 1]
    assert one.classes == NETWORK


def test_the_first_of_two_with_one_name():
    assert ClassMap(("cat", "bicycle", "bike"), {})(objects(["bicycle"], [0]), "test/0").labels.tolist() == [1]


def test_as_the_user_says():
    chosen = ClassMap(NETWORK, {"lorry": "truck", "tram": None})
    before = objects(["lorry", "tram", "tv"], [1, 0, 2, 1, 0], [False, False, True, True, False])
    after = chosen(before, "test/0")
    assert after.labels.tolist() == [1, 3, 1]
    assert after.boxes[:, 0].tolist() == [1, 2, 4]
    assert after.crowd.tolist() == [False, True, False]
    assert torch.equal(after.masks, before.masks[[1, 2, 4]])
    assert before.labels.tolist() == [1, 0, 2, 1, 0]


def test_the_user_comes_before_the_name():
    assert ClassMap(NETWORK, {"tv": "truck"})(objects(["tv"], [0]), "test/0").labels.tolist() == [1]


def test_nothing_is_something_too():
    one = ClassMap(NETWORK, {})(objects(["zebra"], []), "test/0")
    assert len(one) == 0 and one.classes == NETWORK


def test_a_class_that_does_not_occur_is_no_matter():
    assert ClassMap(NETWORK, {})(objects(["zebra", "tv"], [1]), "test/0").labels.tolist() == [3]


def test_a_class_that_the_network_does_not_know():
    with pytest.raises(
        UserError, match=r"scene 'test/7' holds a 'zebra'.*task_options\.classes=\{zebra: \.\.\.\}"
    ) as error:
        ClassMap(NETWORK, {})(objects(["tv", "zebra"], [0, 1]), "test/7")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"tv": "trukc"}, "unknown class of the network 'trukc'; did you mean 'Truck'"),
        ({"Trunk": "truck"}, "unknown class of the data 'trunk'; did you mean 'truck'"),
    ],
)
def test_misspelt_choices_are_named(chosen, message):
    with pytest.raises(UserError, match=message):
        ClassMap(NETWORK, chosen)(objects(["tv", "truck"], [0]), "test/0")


def test_selecting_keeps_what_belongs_together():
    one = select_objects(objects(["tv"], [0, 0, 0]), torch.tensor([False, True, True]))
    assert one.boxes[:, 0].tolist() == [1, 2] and one.masks[:, 0].int().argmax(1).tolist() == [1, 2]
