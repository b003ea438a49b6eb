"""Train the embedded network on well-lit synthetic scenes; this made the weights that the package ships.

    python scripts/train_embedded.py --out isp_gym/networks/embedded

Its scenes are of splits of their own, which no environment shows.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from isp_gym.data import Objects, load_scenes
from isp_gym.data.synthetic.scenes import CLASSES, VERSION, make_scene
from isp_gym.networks.embedded.loss import embedded_losses
from isp_gym.networks.embedded.model import EmbeddedDetector
from isp_gym.networks.embedded.network import EmbeddedNetwork
from isp_gym.tasks import Segmentation

SIZE = 128
_BATCH = 32
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 0.02
_WARM_UP = 200
_SHOWN_EVERY = 100  # steps

Example = tuple[Tensor, Objects]


def main() -> None:
    """Train, and write ``embedded.safetensors`` and ``embedded.json``."""
    parser = argparse.ArgumentParser(description="Train the embedded network.")
    parser.add_argument("--out", type=Path, required=True, help="folder for embedded.safetensors and embedded.json")
    parser.add_argument("--scenes", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    network = train(options.scenes, options.epochs, options.seed)
    write(network, options.out, vars(options), time.perf_counter() - start)
    add_scores(options.out / "embedded.json")


def train(scenes: int, epochs: int, seed: int) -> EmbeddedDetector:
    """Train a network on that many well-lit scenes."""
    torch.manual_seed(seed)
    examples = draw_examples("embedded-train", scenes)
    network = EmbeddedDetector(len(CLASSES))
    fit(network, examples, epochs)
    return network


def fit(
    network: EmbeddedDetector,
    examples: Sequence[Example],
    epochs: int,
    batch: int = _BATCH,
    warm_up: int = _WARM_UP,
    learning_rate: float = _LEARNING_RATE,
) -> None:
    """Fit a network in place to examples that come varied and turned, and leave it ready for evaluation.

    Args:
        network: Its parameters learn.
        examples: Square images of one size, and what is in them.
        epochs: How often each is shown.
        batch: Examples a step; what is left over of an epoch is not shown in it.
        warm_up: Steps until the learning rate is reached.
        learning_rate: AdamW's largest, from which it falls to zero.
    """
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=_WEIGHT_DECAY)
    steps = epochs * (len(examples) // batch)
    for step, (images, objects) in enumerate(_batches(examples, epochs, batch)):
        optimizer.param_groups[0]["lr"] = learning_rate * _schedule(step, steps, warm_up)
        with torch.autocast("cpu", torch.bfloat16):  # half the time
            output = network(images.to(memory_format=torch.channels_last))
        losses = {name: loss.mean() for name, loss in embedded_losses(output, objects).items()}
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        if step % _SHOWN_EVERY == 0:
            shown = (f"{name} {loss.item():.3f}" for name, loss in losses.items())
            print(f"step {step} of {steps}:", *shown, flush=True)
    network.eval()


def draw_examples(split: str, count: int) -> list[Example]:
    """Make well-lit scenes with their annotations; images in 8 bits, to save memory."""
    with ProcessPoolExecutor() as pool:
        drawn = pool.map(_draw, [split] * count, range(count), chunksize=64)
        return [(torch.from_numpy(image), _objects(*rest)) for image, *rest in drawn]


def _draw(split: str, k: int) -> tuple[np.ndarray, ...]:
    """Return a scene in arrays: a tensor would take a file descriptor on its way to the other process."""
    scene = make_scene(split, k, SIZE)
    assert scene.target is not None and scene.objects is not None and scene.objects.masks is not None
    image, objects = (scene.target.numpy() * 255).round().astype(np.uint8), scene.objects
    return image, objects.boxes.numpy(), objects.labels.numpy(), scene.objects.masks.numpy()


def _objects(boxes: np.ndarray, labels: np.ndarray, masks: np.ndarray) -> Objects:
    return Objects(torch.from_numpy(boxes), torch.from_numpy(labels), CLASSES, torch.from_numpy(masks))


def _batches(examples: Sequence[Example], epochs: int, batch: int) -> Iterator[tuple[Tensor, list[Objects]]]:
    for _ in range(epochs):
        order = torch.randperm(len(examples)).tolist()
        for first in range(0, len(order) - batch + 1, batch):
            chosen = [examples[i] for i in order[first : first + batch]]
            images = torch.stack([image for image, _ in chosen]).float() / 255
            yield turn(_vary(images), [objects for _, objects in chosen], int(torch.randint(8, ())))


def _vary(images: Tensor) -> Tensor:
    """Vary exposure, contrast and cast, as well-lit photos do, and add a little noise."""
    count = len(images)
    exposure = torch.empty(count, 1, 1, 1).uniform_(0.75, 1.25) * torch.empty(count, 3, 1, 1).uniform_(0.93, 1.07)
    gamma = torch.empty(count, 1, 1, 1).uniform_(-0.25, 0.25).exp()
    noise = torch.randn_like(images) * torch.empty(count, 1, 1, 1).uniform_(0, 0.02)
    return (images.clamp_min(1e-4) ** gamma * exposure + noise).clamp(0, 1)


def turn(images: Tensor, objects: Sequence[Objects], way: int) -> tuple[Tensor, list[Objects]]:
    """Turn or mirror square images in one of 8 ways, way 0 being none: mirror x, mirror y, swap x and y."""
    mirrored = [axis for axis, bit in ((-1, 1), (-2, 2)) if way & bit]
    return _turn_pixels(images, mirrored, way), [_turn_objects(o, images.shape[-1], mirrored, way) for o in objects]


def _turn_pixels(pixels: Tensor, mirrored: list[int], way: int) -> Tensor:
    pixels = pixels.flip(mirrored)
    return pixels.transpose(-1, -2) if way & 4 else pixels


def _turn_objects(objects: Objects, size: int, mirrored: list[int], way: int) -> Objects:
    x1, y1, x2, y2 = objects.boxes.unbind(1)
    if -1 in mirrored:
        x1, x2 = size - x2, size - x1
    if -2 in mirrored:
        y1, y2 = size - y2, size - y1
    corners = [y1, x1, y2, x2] if way & 4 else [x1, y1, x2, y2]
    masks = None if objects.masks is None else _turn_pixels(objects.masks, mirrored, way)
    return Objects(torch.stack(corners, 1), objects.labels, objects.classes, masks)


def _schedule(step: int, steps: int, warm_up: int) -> float:
    """Warm-up, then half a cosine to zero."""
    return min(1.0, (step + 1) / warm_up) * (1 + math.cos(math.pi * step / steps)) / 2


def write(network: EmbeddedDetector, folder: Path, options: dict[str, object], seconds: float) -> None:
    """Write weights in half precision, to halve their size, and metadata that say where they come from."""
    weights = {name: t.half() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    save_file(weights, folder / "embedded.safetensors")
    card = {
        "command": "python scripts/train_embedded.py --out isp_gym/networks/embedded",
        "options": {name: value for name, value in options.items() if name != "out"},
        "data": f"synthetic, version {VERSION}, well lit, {SIZE} x {SIZE}",
        "classes": list(CLASSES),
        "size": SIZE,
        "torch": torch.__version__,
        "seconds": round(seconds),
    }
    (folder / "embedded.json").write_text(json.dumps(card, indent=1) + "\n")


@torch.no_grad()
def add_scores(file: Path, count: int = 256) -> None:
    """Add to a card how well its network sees the test scenes, well lit and as dark RAW; nothing was chosen by that."""
    task = Segmentation(EmbeddedNetwork(file.with_suffix(".safetensors")))
    scenes = load_scenes("synthetic", "test", count, SIZE)
    means = {"well lit": task.metric(), "dark RAW": task.metric()}
    for first in range(0, count, _BATCH):
        batch = scenes.batch(range(first, min(first + _BATCH, count)))
        assert batch.targets is not None
        means["well lit"].update(batch.targets, batch)
        means["dark RAW"].update(batch.images, batch)
    scores = {what: {key: round(value, 3) for key, value in metric.compute().items()} for what, metric in means.items()}
    card = {**json.loads(file.read_text()), "test": {"scenes": count, **scores}}
    file.write_text(json.dumps(card, indent=1) + "\n")


if __name__ == "__main__":
    main()
