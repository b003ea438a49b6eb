"""How soon a run on many files starts: check the data, load all scenes, and get the first batch.

Tiny files in the layout of each source are written first; each start is a process of its own, first with an empty cache
and then with a full one.

    python perf/loading.py [--files 10000] [--sources folder coco ...] [--out perf/results/loading.json]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from modules import ROOT, machine

SIZE = (96, 64)  # width, height
NAMES = ("cup", "chair", "dog")
Row = dict[str, Any]

START = """
import json, sys, time
import torch
from isp_gym.data import check_data, data_card, load_scenes
torch.set_num_threads(1)
data, count = sys.argv[1], int(sys.argv[2])
steps = {}
def timed(name, work):
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    steps[name] = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return found
timed("check", lambda: check_data(data))
scenes = timed("load", lambda: load_scenes(data, "train", count, 64))
timed("first batch", lambda: scenes.batch(range(32)))
timed("load again", lambda: load_scenes(data, "train", count, 64))
chosen = torch.randperm(len(scenes), generator=torch.Generator().manual_seed(0))[:512].split(32)
for name in ("512 others", "the same 512"):
    timed(name, lambda: [scenes.batch(rows) for rows in chosen])
timed("checksum", lambda: data_card([scenes]))
print(json.dumps({"scenes": len(scenes), **steps}))
"""


def picture(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    small = rng.integers(40, 220, (4, 6, 3), np.uint8)
    return cv2.resize(small, SIZE, interpolation=cv2.INTER_LINEAR)


def encoded(number: int, kind: str) -> bytes:
    pixels = picture(number).astype(np.uint16) * 257 if kind == ".png" else picture(number)
    return cv2.imencode(kind, pixels)[1].tobytes()


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def xml(number: int) -> str:
    boxes = "".join(
        f"<object><name>{NAMES[(number + i) % 3]}</name><difficult>0</difficult><bndbox>"
        f"<xmin>{5 + i}</xmin><ymin>4</ymin><xmax>{40 + i}</xmax><ymax>50</ymax></bndbox></object>"
        for i in range(5)
    )
    size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>{number}.jpg</filename>{size}{boxes}</annotation>"


def make_folder(root: Path, count: int) -> None:
    for i in range(count):
        write(root / "train" / f"{i}.jpg", encoded(i, ".jpg"))
    for k, split in enumerate(("val", "test")):
        for i in range(50):
            write(root / split / f"{i}.jpg", encoded(count + 50 * k + i, ".jpg"))


def make_coco(root: Path, count: int) -> None:
    for split, start, files in (("train", 0, count), ("val", count, 50), ("test", count + 50, 50)):
        images, annotations = [], []
        for i in range(start, start + files):
            write(root / f"{split}2017" / f"{i:012}.jpg", encoded(i, ".jpg"))
            images.append({"id": i, "file_name": f"{i:012}.jpg", "width": SIZE[0], "height": SIZE[1]})
            for k in range(5):
                polygon = [5 + k, 4, 40 + k, 4, 40 + k, 50, 20.5, 55.25, 5 + k, 50]
                box = {"bbox": [5 + k, 4, 35, 46], "segmentation": [polygon], "iscrowd": 0, "area": 1610}
                annotations.append({"id": 5 * i + k + 1, "image_id": i, "category_id": 1 + (i + k) % 3, **box})
        categories = [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        write(root / "annotations" / f"instances_{split}2017.json", json.dumps(content))


def make_yolo(root: Path, count: int) -> None:
    for split, start, files in (("train", 0, count), ("val", count, 50), ("test", count + 50, 50)):
        for i in range(start, start + files):
            write(root / "images" / split / f"{i}.jpg", encoded(i, ".jpg"))
            lines = (f"{(i + k) % 3} 0.{25 + k} 0.42 0.36 0.7{k}\n" for k in range(5))
            write(root / "labels" / split / f"{i}.txt", "".join(lines))
    paths = "".join(f"{split}: images/{split}\n" for split in ("train", "val", "test"))
    write(root / "data.yaml", f"path: .\n{paths}names: {{0: cup, 1: chair, 2: dog}}\n")


def make_voc(root: Path, count: int) -> None:
    for split, start, files in (("train", 0, count), ("val", count, 50), ("test", count + 50, 50)):
        for i in range(start, start + files):
            write(root / "JPEGImages" / f"{i}.jpg", encoded(i, ".jpg"))
            write(root / "Annotations" / f"{i}.xml", xml(i))
        write(root / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{i}\n" for i in range(start, start + files)))


def make_lod(root: Path, count: int) -> None:
    for i in range(2, 2 * (count + 50) + 1, 2):
        write(root / "RAW-dark" / f"{i}.png", encoded(i, ".png"))
        write(root / "RGB-dark" / f"{i}.JPG", encoded(i, ".jpg"))
        write(root / "Annotations" / f"{i}.xml", xml(i))
    write(root / "train.txt", "".join(f"{2 * i + 2}\n" for i in range(count)))
    write(root / "val.txt", "".join(f"{2 * i + 2}\n" for i in range(count, count + 50)))


LAYOUTS: dict[str, Callable[[Path, int], None]] = {
    "folder": make_folder,
    "coco": make_coco,
    "yolo": make_yolo,
    "voc": make_voc,
    "lod": make_lod,
}


def start(data: str, count: int, cache: Path) -> Row:
    """One start in a process of its own; seconds of each step, by the clock and of processor time."""
    environment = {**os.environ, "ISP_GYM_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", START, data, str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="training files of each source")
    parser.add_argument("--sources", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS))
    parser.add_argument("--out", type=Path, default=ROOT / "perf" / "results" / "loading.json")
    arguments = parser.parse_args()
    result: Row = {"machine": machine(), "files": arguments.files, "sources": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.sources:
            root = Path(folder, name)
            LAYOUTS[name](root, arguments.files)
            for cache in ("empty", "full"):
                row = start(f"{name}:{root}", arguments.files, Path(folder, "cache"))
                result["sources"].setdefault(name, {})[cache] = row
                steps = (f"{key} {row[key]['seconds']:.2f} ({row[key]['cpu']:.2f})" for key in row if key != "scenes")
                print(f"{name:6s} {cache:5s} cache, seconds (CPU): {', '.join(steps)}", flush=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
