"""mAP, held against pycocotools as anybody would run it by hand, on JSON files."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from isp_gym.data import Objects
from isp_gym.networks import Detections
from isp_gym.tasks.average_precision import AveragePrecision

SIDE, CLASSES = 40, ("a", "b", "c", "never there")


def boxes(rng, n):
    corner = rng.uniform(0, SIDE - 12, (n, 2))
    return np.concatenate([corner, corner + rng.uniform(3, 12, (n, 2))], 1).astype(np.float32)


def filled(corners):
    masks = torch.zeros(len(corners), SIDE, SIDE, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, corners.round().int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    return masks


def draw(seed, images=9):
    """What is there, and what was found: some of it, about where it is, and some of what is not there."""
    rng = np.random.default_rng(seed)
    ground_truth, found = [], []
    for _ in range(images):
        there = torch.from_numpy(boxes(rng, int(rng.integers(0, 5))))
        labels = torch.from_numpy(rng.integers(0, 3, len(there)))
        crowd = torch.from_numpy(rng.random(len(there)) < 0.2)
        ground_truth.append(Objects(there, labels, CLASSES, filled(there), crowd))
        near = there + torch.from_numpy(rng.normal(0, 0.7, there.shape).astype(np.float32))
        seen = torch.cat([near, torch.from_numpy(boxes(rng, int(rng.integers(1, 5))))]).clamp(0, SIDE)
        guessed = torch.cat([labels, torch.from_numpy(rng.integers(0, 4, len(seen) - len(labels)))])
        scores = torch.from_numpy(rng.random(len(seen)).astype(np.float32).round(2))  # with ties
        order = scores.argsort(descending=True, stable=True)
        found.append(Detections(seen[order], scores[order], guessed[order], filled(seen[order])))
    return ground_truth, found


def by_hand(ground_truth, found, kind, folder):
    """The first three numbers that pycocotools prints."""
    gt = {
        "images": [{"id": i + 1, "width": SIDE, "height": SIDE} for i in range(len(ground_truth))],
        "categories": [{"id": k, "name": name} for k, name in enumerate(CLASSES)],
        "annotations": [],
    }
    results = []
    for i, (one, other) in enumerate(zip(ground_truth, found, strict=True)):
        for rows, things in ((gt["annotations"], one), (results, other)):
            for k, (x1, y1, x2, y2) in enumerate(things.boxes.tolist()):
                row = {"image_id": i + 1, "category_id": things.labels[k].item()}
                if kind == "box":
                    row |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
                else:
                    code = rle.encode(np.asfortranarray(things.masks[k].numpy().astype(np.uint8)))
                    row |= {"segmentation": {**code, "counts": code["counts"].decode()}, "area": float(rle.area(code))}
                rows.append(row)
                if things is one:
                    row |= {"id": len(rows), "iscrowd": int(one.crowd[k])}
                else:
                    row["score"] = other.scores[k].item()
    (folder / "gt.json").write_text(json.dumps(gt))
    (folder / "results.json").write_text(json.dumps(results))
    coco = COCO(str(folder / "gt.json"))
    evaluation = COCOeval(coco, coco.loadRes(str(folder / "results.json")), {"box": "bbox", "mask": "segm"}[kind])
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[:3].tolist()


def shown(ground_truth, found, kind, parts=(99,)):
    precision, start = AveragePrecision(kind), 0
    for part in parts:
        precision.update(ground_truth[start : start + part], found[start : start + part])
        start += part
    return precision.compute()


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_pycocotools_by_hand(kind, seed, tmp_path):
    ground_truth, found = draw(seed)
    expected = dict(
        zip(
            (f"{kind}_map", f"{kind}_map50", f"{kind}_map75"), by_hand(ground_truth, found, kind, tmp_path), strict=True
        )
    )
    assert 0.05 < expected[f"{kind}_map"] < 0.9
    assert shown(ground_truth, found, kind) == pytest.approx(expected, abs=1e-9, rel=0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(1, 9), min_size=9, max_size=9))
def test_the_parts_in_which_images_are_shown_do_not_matter(seed, parts):
    ground_truth, found = draw(seed)
    ends = np.minimum(np.cumsum(parts), 9)
    sizes = [int(n) for n in np.diff([0, *ends]) if n]
    assert shown(ground_truth, found, "box", sizes) == pytest.approx(
        shown(ground_truth, found, "box"), nan_ok=True, abs=0
    )


def test_of_each_image_is_that_of_a_set_of_one():
    ground_truth, found = draw(3)
    rows = AveragePrecision("box").update(ground_truth, found)
    for i in range(len(ground_truth)):
        alone = shown(ground_truth[i : i + 1], found[i : i + 1], "box")
        assert {name: values[i].item() for name, values in rows.items()} == pytest.approx(alone, nan_ok=True)
    assert all(values.dtype == torch.float64 for values in rows.values())
    assert 0 < rows["box_map"].nan_to_num().count_nonzero() < len(ground_truth)


def one(box, label=0, crowd=False):
    return Objects(torch.tensor([box]), torch.tensor([label]), CLASSES, None, torch.tensor([crowd]))


def sees(*corners, label=0):
    scores = torch.linspace(0.9, 0.5, len(corners))
    return Detections(torch.tensor(corners).reshape(-1, 4), scores, torch.full((len(corners),), label))


NOBODY = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), CLASSES)
BOX, CROWD = [2.0, 2, 10, 10], [12.0, 12, 38, 38]


class TestSpecialCases:
    def test_nothing_to_be_found_is_not_defined(self):
        for truth in (NOBODY, one(CROWD, crowd=True)):
            precision = AveragePrecision("box")
            assert precision.update([truth], [sees(BOX)])["box_map"].isnan().all()
            assert np.isnan(precision.compute()["box_map"])
        assert np.isnan(AveragePrecision("box").compute()["box_map50"])  # nothing was shown

    def test_nothing_found_is_zero(self):
        assert shown([one(BOX)], [sees()], "box")["box_map50"] == 0

    def test_what_is_found_in_a_crowd_neither_counts_nor_errs(self):
        both = Objects(torch.tensor([BOX, CROWD]), torch.tensor([0, 0]), CLASSES, crowd=torch.tensor([False, True]))
        member = [14.0, 14, 20, 20]
        assert shown([both], [sees(member, BOX)], "box")["box_map"] == pytest.approx(1)
        assert shown([one(BOX)], [sees(member, BOX)], "box")["box_map"] == pytest.approx(0.5)

    def test_classes_without_objects_are_left_out(self):
        ground_truth, found = [one(BOX), one(BOX)], [sees(BOX), sees(BOX)]
        guesses = [sees(BOX, label=3), *found[1:]]
        assert shown(ground_truth, found, "box")["box_map"] == pytest.approx(1)
        assert shown([NOBODY, *ground_truth], [sees(BOX, label=3), *found], "box")["box_map"] == pytest.approx(1)
        assert shown(ground_truth, guesses, "box")["box_map"] < 0.6

    def test_a_wrong_class_is_not_found(self):
        assert shown([one(BOX, label=1)], [sees(BOX, label=2)], "box")["box_map"] == 0

    def test_at_most_a_hundred_count(self):
        elsewhere = [[30.0, 30, 35, 35]] * 100
        assert shown([one(BOX)], [sees(*elsewhere[1:], BOX)], "box")["box_map"] > 0
        assert shown([one(BOX)], [sees(*elsewhere, BOX)], "box")["box_map"] == 0


def test_prints_nothing(capsys):
    shown(*draw(0), "mask")
    assert capsys.readouterr().out == ""
