"""Point-wise operations with hand-written gradients, evaluated in blocks that stay in the cache.

A formula of a dozen tensor operations reads and writes its image a dozen times. In blocks of some thousand pixels the
intermediate values never leave the cache, and the backward pass computes them again rather than have them stored.

Two helpers call ATen's backward kernels by name, which torch documents nowhere: :func:`clip_gradient` relies on
``hardtanh_backward`` passing the gradient where low < x < high, both bounds excluded, and :func:`gradient_above` on
``threshold_backward`` passing it where x > threshold. ``modules/denoise.py`` likewise uses ``mse_loss.out`` as a
squared difference in one pass. ``tests/modules/test_blocks.py`` and gradcheck fail if a version of torch does
otherwise; then ``grad * mask`` and ``(a - b).square()`` are right, and slower.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 2**17
"""Pixels worth taking at once: a dozen such buffers fit the cache, and an operation outweighs its call."""

Forward = Callable[[Tensor, Tensor, Tensor], object]
Backward = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def pointwise(forward: Forward, backward: Backward, x: Tensor, values: Tensor) -> Tensor:
    """Apply a differentiable point-wise operation block by block.

    Args:
        forward: ``(x, values, out)`` writes the result for pixels x (b, 3, N) and values (b, n, 1) to out (b, 3, N).
        backward: ``(x, values, grad, grad_x)`` writes the gradient in x to ``grad_x`` and returns that in the values,
            (b, n), for the gradient ``grad`` in the result.
        x: Images (B, 3, H, W).
        values: Parameters of each image (B, n).

    Returns:
        Images (B, 3, H, W).
    """
    if not torch.is_grad_enabled():
        # A few small images take no longer than what autograd prepares.
        return _evaluate(forward, x, values)
    out: Tensor = _Pointwise.apply(forward, backward, x, values)
    return out


def _evaluate(forward: Forward, x: Tensor, values: Tensor) -> Tensor:
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    pixels, result, column = x.flatten(2), out.flatten(2), values[:, :, None]
    if len(x) * pixels.shape[2] <= BLOCK:
        forward(pixels, column, result)
        return out
    for images, where in _blocks(pixels):
        forward(pixels[images, :, where], column[images], result[images, :, where])
    return out


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, forward: Forward, backward: Backward, x: Tensor, values: Tensor) -> Tensor:
        ctx.backward_block = backward
        ctx.save_for_backward(x, values)
        return _evaluate(forward, x, values)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[None, None, Tensor, Tensor]:
        x, values = ctx.saved_tensors
        grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        grad_values = torch.zeros_like(values)
        pixels, slope, result, column = x.flatten(2), grad.flatten(2), grad_x.flatten(2), values[:, :, None]
        for images, where in _blocks(pixels):
            grad_values[images] += ctx.backward_block(
                pixels[images, :, where], column[images], slope[images, :, where], result[images, :, where]
            )
        return None, None, grad_x, grad_values


def _blocks(pixels: Tensor) -> Iterator[tuple[slice, slice]]:
    """Return slices of the images and pixels of (B, 3, N)."""
    count, _, size = pixels.shape
    return product(spans(count, size, pixels), spans(size, 1, pixels))


def spans(count: int, pixels: int, x: Tensor) -> Iterator[slice]:
    """Slice ``count`` items of ``pixels`` pixels each: BLOCK pixels at a time, or off the CPU all at once."""
    step = max(1, BLOCK // max(1, pixels)) if x.device.type == "cpu" else max(1, count)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def clip_gradient(grad: Tensor, x: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return gradient through ``x.clamp(low, high)``, low < high in [0, 1]: ``grad`` where low <= x <= high, else 0."""
    # One pass, which mask and product are not; the operation leaves out the bounds, hence bounds just outside of them.
    eps = torch.finfo(x.dtype).eps
    below = low - eps * low / 2 if low else -torch.finfo(x.dtype).tiny
    return torch.ops.aten.hardtanh_backward(grad, x, below, high + eps * high)


def gradient_above(grad: Tensor, x: Tensor, threshold: float) -> Tensor:
    """Return ``grad`` where x > threshold, else 0, in one pass."""
    return torch.ops.aten.threshold_backward(grad, x, threshold)


def power_buffer(shape: Sequence[int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return a buffer to take ``exp2_`` of as a whole, and a view of its first elements in ``shape``.

    The last few elements of a tensor that do not fill a vector register go another way through ``exp2``, and differ in
    the last bit. With room to spare no element of the view is one of them, and an image's result does not depend on
    how many others are in the batch.
    """
    size = math.prod(shape)
    whole = like.new_empty(-(-size // 4096) * 4096)
    return whole, whole[:size].view(*shape)


def total(a: Tensor, b: Tensor) -> Tensor:
    """Return sum of a * b over channels and pixels: (b, c, N) -> (b, 1)."""
    return (a * b).sum((1, 2))[:, None]


#: Numbers of a chunk; four megabytes. Beyond it each operation waits for memory, and one image at a time is faster.
CHUNK = 2**20


def chunk_size(images: Tensor) -> int:
    """Say how many of ``images``, (n, 3, H, W), to work on at a time; all of them on an accelerator.

    Large batches on the CPU are worked on in chunks that stay in its cache; the numbers are the same, image by image.
    """
    if images.device.type != "cpu" or images.numel() <= CHUNK:
        return max(1, len(images))
    return max(1, CHUNK // images[0].numel())
