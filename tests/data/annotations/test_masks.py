import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from isp_gym.data.annotations.letterbox import Letterbox
from isp_gym.data.annotations.masks import check_segmentation, decode_rle

SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 24))


@given(hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 1)), st.booleans())
def test_what_pycocotools_encodes_is_decoded(pixels, text):
    encoding = coco_mask.encode(np.asfortranarray(pixels))
    if text:
        encoding["counts"] = encoding["counts"].decode()
    assert np.array_equal(decode_rle(encoding, pixels.shape[::-1]), pixels)


@given(hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 1)), st.data())
def test_counts_that_were_cut_are_no_mask(pixels, data):
    encoding = coco_mask.encode(np.asfortranarray(pixels))
    counts = encoding["counts"][: data.draw(st.integers(0, len(encoding["counts"]) - 1))]
    with pytest.raises(ValueError, match="do not fill"):
        check_segmentation({**encoding, "counts": counts}, pixels.shape[::-1])


def test_several_polygons_are_one_object():
    squares = [[0, 0, 4, 0, 4, 4, 0, 4], [8, 2, 16, 2, 16, 8, 8, 8]]
    mask = Letterbox((16, 16), 8).mask(squares)
    expected = np.zeros((8, 8), bool)
    expected[0:2, 0:2] = expected[1:4, 4:8] = True
    assert np.array_equal(mask, expected)
