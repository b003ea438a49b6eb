"""A broken file in every source: an error that names it, or one counted warning; and the other scenes as they were."""

import io
import json

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from isp_gym.data import load_scenes
from isp_gym.errors import UserError

SIZE = (30, 20)
SPLITS = {"train": 4, "val": 2, "test": 3}


def pixels(seed, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (SIZE[1], SIZE[0], 3)).astype(dtype)


def encoded(kind, seed=0, dtype=np.uint8):
    return cv2.imencode(kind, pixels(seed, dtype))[1].tobytes()


def tiff(**options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels(0, np.uint16), photometric="rgb", **options)
    buffer.seek(0)
    return buffer


def huge_tiff():
    buffer = tiff()
    with tifffile.TiffFile(buffer, mode="r+b") as file:
        for tag in (256, 257):
            file.pages.first.tags[tag].overwrite(45_000)
    return buffer.getvalue()


def huge_png():
    data = bytearray(encoded(".png", dtype=np.uint16))
    data[16:24] = (45_000).to_bytes(4, "big") * 2  # 45000 x 45000 x 6 bytes: 12 GB
    return bytes(data)


def huge_jpeg():
    data = bytearray(encoded(".jpg"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (45_000).to_bytes(2, "big") * 2
    return bytes(data)


def half(data):
    return data[: len(data) // 2]


BROKEN = {
    "truncated JPEG": (half(encoded(".jpg")), "truncated"),
    "truncated PNG": (half(encoded(".png")), "truncated"),
    "truncated 16-bit PNG": (half(encoded(".png", dtype=np.uint16)), "truncated"),
    "truncated TIFF": (half(tiff(rowsperstrip=4).getvalue()), "truncated"),
    "huge JPEG": (huge_jpeg(), "170 megapixels"),
    "huge PNG": (huge_png(), "45000 x 45000 pixels"),
    "huge TIFF": (huge_tiff(), "45000 x 45000 pixels"),
    "text": (b"once upon a time", "not a JPEG, PNG or TIFF"),
    "nothing": (b"", "empty"),
}


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def coco_json(names, boxes=((6, 4, 6, 6),)):
    images = [{"id": i, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for i, name in enumerate(names)]
    objects = [{"id": i, "image_id": i, "category_id": 1, "bbox": boxes[0]} for i in range(len(names))]
    return json.dumps({"images": images, "annotations": objects, "categories": [{"id": 1, "name": "dog"}]})


def xml():
    box = "<bndbox><xmin>7</xmin><ymin>5</ymin><xmax>12</xmax><ymax>10</ymax></bndbox>"
    size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height></size>"
    return f"<annotation>{size}<object><name>dog</name>{box}</object></annotation>"


def folder(root, split, images):
    return [put(root / split / f"{i}.png", image) for i, image in images.items()]


def coco(root, split, images):
    put(root / "annotations" / f"instances_{split}.json", coco_json([f"{i}.png" for i in images]))
    return [put(root / split / f"{i}.png", image) for i, image in images.items()]


def voc(root, split, images):
    put(root / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{i}\n" for i in images))
    for i in images:
        put(root / "Annotations" / f"{i}.xml", xml())
    return [put(root / "JPEGImages" / f"{i}.png", image) for i, image in images.items()]


def yolo(root, split, images):
    put(root / "data.yaml", "names: [dog]\n" + "".join(f"{name}: images/{name}\n" for name in SPLITS))
    for i in images:
        put(root / "labels" / split / f"{i}.txt", "0 0.3 0.35 0.2 0.3\n")
    return [put(root / "images" / split / f"{i}.png", image) for i, image in images.items()]


def lod(root, split, images):
    if split == "train":  # of LOD's training list a tenth is held out
        images = {**images, **{i: encoded(".png", i) for i in range(1000, 1080, 2)}}
    put(root / f"{'val' if split == 'test' else 'train'}.txt", "".join(f"{i}\n" for i in images))
    for i in images:
        put(root / "Annotations" / f"{i}.xml", xml())
        put(root / "RGB-dark" / f"{i}.JPG", encoded(".jpg"))
    return [put(root / "RAW-dark" / f"{i}.png", image) for i, image in images.items()]


def lis(root, split, images):
    if split == "train":
        images = {**images, **{i: encoded(".png", i) for i in range(1000, 1080, 2)}}
    name = f"lis_coco_png_{'test' if split == 'test' else 'train'}+1.json"
    put(root / "annotations" / name, coco_json([f"{i}.png" for i in images]))
    for i in images:
        put(root / "RGB-dark" / "JPEGImages" / f"{i}.JPG", encoded(".jpg"))
    return [put(root / "RAW-dark" / "JPEGImages" / f"{i}.png", image) for i, image in images.items()]


@pytest.fixture(params=[folder, coco, voc, yolo, lod, lis], ids=lambda layout: layout.__name__)
def data(request, tmp_path):
    """A data spec, and the files of its three test images."""
    number, files = 2, []
    for split, count in SPLITS.items():
        if split == "val" and request.param in (lod, lis):
            continue
        names = range(number, number + 2 * count, 2)
        files = request.param(tmp_path / "data", split, {i: encoded(".png", i) for i in names})
        number += 2 * count
    return f"{request.param.__name__}:{tmp_path / 'data'}", files


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_or_skipped(data, kind):
    (content, reason), (spec, files) = BROKEN[kind], data
    whole = {scene.id: scene for scene in held(spec)}
    files[1].write_bytes(content)
    with pytest.raises(UserError) as caught:
        assert len(held(spec).images)
    line = str(caught.value)
    assert "\n" not in line and str(files[1]) in line and (reason in line or "damaged" in line)
    with pytest.warns(UserWarning, match="skipped 1 of 3 test files; the first: ") as warned:
        rest = held(spec, on_error="skip")
    assert len(warned) == 1 and str(files[1]) in str(warned[0].message)
    if "folder" not in spec:
        assert len(rest) == 2 and all(torch.equal(scene.image, whole[scene.id].image) for scene in rest)
    assert files[1].name not in {photo.rsplit("/", 1)[-1] for photo in rest.photos}


def test_a_whole_file_of_another_size_does_not_fit_its_annotation(data):
    spec, files = data
    Image.new("RGB", (20, 30)).save(files[1])
    if "folder" in spec or "yolo" in spec:  # a photo may have any size, and labels in parts of it always fit
        assert len(held(spec).images) == 3
    else:
        with pytest.raises(UserError, match=r"it has 20 x 30 pixels, but .* says 30 x 20; its boxes would not fit"):
            assert len(held(spec).images)


def held(spec, **options):
    return load_scenes(spec, "test", 3, 16, **options)
