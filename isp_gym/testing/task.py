"""Check what every task must do."""

from __future__ import annotations

import torch
from torch import Tensor

from isp_gym.data import SceneBatch, SceneSet, load_scenes
from isp_gym.tasks import Task, get_task


def check_task(task: Task | str, scenes: SceneSet | None = None) -> None:
    """Check a task: shapes and types, each image by itself, nothing changed, deterministic, clipped, differentiable.

    Args:
        task: The task; or its name as for :func:`isp_gym.tasks.get_task`.
        scenes: Scenes that it can score, at least two; by default those of its ``default_data``, 32x32.

    Raises:
        AssertionError: A check has failed; the message says which.
    """
    task = get_task(task) if isinstance(task, str) else task
    assert isinstance(task, Task), f"a task is a Task, not a {type(task).__name__}"
    shown = load_scenes(task.default_data, count=4, image_size=32) if scenes is None else scenes
    count = min(4, len(shown))
    batch = shown.batch(range(count))
    images = (batch.images * 4 + 0.05).clamp(0, 1)
    assert task.name, "name is missing"
    _check_loss(task, images, batch)
    _check_metrics(task, images, batch)
    _check_rows(task, images, shown, count)
    _check_clipping(task, images, batch)
    _check_gradient(task, images, batch)


def _tensors(images: Tensor, batch: SceneBatch) -> list[Tensor]:
    """Return everything that a task is shown and must leave as it is."""
    shown = [images, batch.images, batch.targets, batch.cameras]
    for objects in batch.objects or ():
        shown += [objects.boxes, objects.labels, objects.masks, objects.crowd]
    return [tensor for tensor in shown if tensor is not None]


def _check_loss(task: Task, images: Tensor, batch: SceneBatch) -> None:
    kept = [tensor.clone() for tensor in _tensors(images, batch)]
    loss = task.loss(images, batch)
    assert loss.shape == (len(images),), f"loss must have shape ({len(images)},), not {tuple(loss.shape)}"
    assert loss.is_floating_point(), f"loss must be floating point, not {loss.dtype}"
    assert loss.isfinite().all(), "loss is not finite"
    assert torch.equal(loss, task.loss(images, batch)), "the same images gave another loss"
    for before, after in zip(kept, _tensors(images, batch), strict=True):
        assert torch.equal(before, after), "it writes to the images or scenes"


def _check_metrics(task: Task, images: Tensor, batch: SceneBatch) -> None:
    metric = task.metric()
    metrics = metric.update(images, batch)
    result = metric.compute()
    assert task.score in result, f"score names '{task.score}', metrics are {sorted(result)}"
    assert all(isinstance(value, float) for value in result.values()), "the metrics of a data set must be floats"
    assert set(metrics) <= set(result), f"images have {sorted(metrics)}, the data set only {sorted(result)}"
    for name, values in metrics.items():
        assert values.shape == (len(images),), f"metric '{name}' must have shape ({len(images)},)"
        assert values.dtype == torch.float64, f"metric '{name}' must be float64, not {values.dtype}"
        assert not values.requires_grad, f"metric '{name}' must not carry a gradient"


def _check_rows(task: Task, images: Tensor, scenes: SceneSet, count: int) -> None:
    batch = scenes.batch(range(count))
    loss, metrics = task.loss(images, batch), task.metric().update(images, batch)
    for i in range(count):
        alone = scenes.batch([i])
        same = torch.allclose(task.loss(images[i : i + 1], alone)[0], loss[i], rtol=1e-4, atol=1e-6)
        assert same, "the loss of an image depends on the rest of its batch"
        for name, values in task.metric().update(images[i : i + 1], alone).items():
            same = torch.allclose(values[0], metrics[name][i], rtol=1e-4, atol=1e-6, equal_nan=True)
            assert same, f"metric '{name}' of an image depends on the rest of its batch"


def _check_clipping(task: Task, images: Tensor, batch: SceneBatch) -> None:
    wild = images * 3 - 0.5
    clipped = wild.clamp(0, 1)
    assert torch.allclose(task.loss(wild, batch), task.loss(clipped, batch)), "the loss does not clip images to [0, 1]"
    metrics = task.metric().update(clipped, batch)
    for name, values in task.metric().update(wild, batch).items():
        same = torch.allclose(values, metrics[name], equal_nan=True)
        assert same, f"metric '{name}' does not clip images to [0, 1]"


def _check_gradient(task: Task, images: Tensor, batch: SceneBatch) -> None:
    inside = images.clamp(0.05, 0.95).requires_grad_()
    loss = task.loss(inside, batch)
    assert loss.requires_grad, "the loss carries no gradient into the image"
    (gradient,) = torch.autograd.grad(loss.sum(), inside)
    assert gradient.isfinite().all(), "the gradient of the loss is not finite"
    assert gradient.any(), "the gradient of the loss is zero everywhere"
