"""Non-local means denoising, guided by luminance.

Each pixel becomes the mean of the 121 pixels round it, weighted by how much the 5x5 patches round both look alike:

    d(p, s) = sqrt(sum over the patch of (Y(p + q) - Y(p + s + q))**2 + 1e-8),    w(p, s) = exp(-d(p, s) / h)

with circular borders. This is where an ISP spends its time, hence three savings, none of which changes the result:

- d(p, s) = d(p + s, -s): 60 of the 121 shifts give all weights, each used at both of its ends.
- Images go through in blocks that stay in the cache, small ones several at a time, large ones in bands of rows. The
  batch is the innermost dimension, so that windows of small images are still long runs of memory.
- The backward pass computes the weights again; only the result and the sum of the weights are kept.

:func:`isp_gym.modules.plain.denoise` is the same without them, in ten lines; read that first. Here is what the names
mean. A band of R rows of an image of width W lies in buffers that are padded circularly, values by SEARCH = 5 pixels,
the guide Y by REACH = 7, so that no window wraps. At one shift s = (dy, dx)::

    guide, padded by REACH (cut to one dimension)        one step at shift s

    |<- 7 ->|<------- band ------->|<- 7 ->|              square = (guide[wide] - guide[wide_there])**2
            [-------- here --------]                                _PatchSums adds up 5x5 patches
          [---------- wide ----------]     here + 2        d      = sqrt(box + 1e-8)
                [-------- there --------]  here + s        weight = exp(-d / h)
              [------- wide_there -------] wide + s        total[here]  += weight * values[there]
                                                           total[there] += weight * values[here]

``_window`` gives those four slices: ``here`` and ``there`` in the values, ``wide`` and ``wide_there``, which have
PATCH = 2 more pixels on each side, in the guide. ``_Weights`` turns a shift into the weights of a band, ``_PatchSums``
adds up 5x5 patches, and :func:`~isp_gym.modules.blocks.power_buffer` holds what ``exp2_`` is taken of: three sets of
buffers, used again at each shift. What was added beyond the image's edge, ``_fold`` brings back to the pixels that
``_wrap`` copied there.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from isp_gym.modules.base import Module, Parameter, mix, per_image
from isp_gym.modules.blocks import power_buffer, spans

SEARCH = 5
PATCH = 2
REACH = SEARCH + PATCH
GUIDE = (0.299, 0.587, 0.114)
EPS = 1e-8
UNREDUCED = 0
MIN_POWER = -100
"""At 1e-30, smaller weights are none; but once one underflows, ``exp2`` is slow for its whole vector register.

As the batch is innermost, that register holds the weights of up to sixteen images.
"""
HALF = [(dy, dx) for dy in range(SEARCH + 1) for dx in range(-SEARCH, SEARCH + 1) if (dy, dx) > (0, 0)]
"""The shifts of one half-plane; the other half are their opposites."""


def denoise(x: Tensor, h: Tensor) -> Tensor:
    """Denoise images by non-local means.

    Args:
        x: Images (B, 3, H, W). What is averaged is unclipped; the luminance that guides it is of ``clip(x, 0, 1)``.
        h: Width of the weights (B, 1), above 0.

    Returns:
        (B, 3, H, W), clipped to [0, 1].
    """
    mean: Tensor = _NonLocalMeans.apply(x, h.flatten())
    return mean.clamp(0, 1)


class _NonLocalMeans(torch.autograd.Function):
    """The weighted mean (B, 3, H, W) of images (B, 3, H, W), and its gradients in them and in ``h`` (B,)."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, h: Tensor) -> Tensor:
        total = x.new_empty(len(x), 4, *x.shape[2:])
        for images in spans(len(x), x[0, 0].numel(), x):
            _last_to_first(total, images).copy_(_forward(_batch_last(x[images]), h[images]))
        mean, norm = total[:, :3] / total[:, 3:], total[:, 3:].clone()
        ctx.save_for_backward(x, h, mean, norm)
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, h, mean, norm = ctx.saved_tensors
        grad_x, grad_h = torch.empty_like(x), torch.empty_like(h)
        for images in spans(len(x), x[0, 0].numel(), x):
            # Of total and norm, seen as a fourth channel.
            share = grad[images] / norm[images]
            share = torch.cat([share, -(share * mean[images]).sum(1, keepdim=True)], 1)
            gx, grad_h[images] = _backward(_batch_last(x[images]), h[images], _batch_last(share))
            _last_to_first(grad_x, images).copy_(gx)
        return grad_x, grad_h


def _forward(x: Tensor, h: Tensor) -> Tensor:
    """Return weighted sums of the channels, and of ones, (4, H, W, n) for images (3, H, W, n) and widths (n,)."""
    height, width = x.shape[1:3]
    guide = _wrap(_guide(x), REACH)
    values = _wrap(torch.cat([x, torch.ones_like(x[:1])]), SEARCH)
    total = torch.zeros_like(values)
    rate = _rate(h, width)
    for rows in spans(height, width * len(h), x):
        weights = _Weights(guide, rows, rate)
        here = _window(rows, width, SEARCH)
        for shift in HALF:
            there = _window(rows, width, SEARCH, shift)
            weight = weights(shift)
            total[here].addcmul_(values[there], weight)
            total[there].addcmul_(values[here], weight)
    total = _fold(total, SEARCH, height, width)
    return total.add_(values[_window(slice(0, height), width, SEARCH)] * _centre(h))


def _backward(x: Tensor, h: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return gradients in images (3, H, W, n) and widths (n,), given those in the weighted sums (4, H, W, n)."""
    height, width, count = x.shape[1:]
    guide = _wrap(_guide(x), REACH)
    values = _wrap(torch.cat([x, torch.ones_like(x[:1])]), SEARCH)
    shares = _wrap(share, SEARCH)
    grad_values, grad_guide = torch.zeros_like(values[:3]), torch.zeros_like(guide)
    grad_rate = x.new_zeros(count)
    rate = _rate(h, width)
    for rows in spans(height, width * len(h), x):
        weights = _Weights(guide, rows, rate)
        spread = _PatchSums(x.new_zeros(rows.stop - rows.start + 4 * PATCH, width + 4 * PATCH, count))
        difference = torch.empty_like(spread.result)
        inner = spread.source[2 * PATCH : -2 * PATCH, 2 * PATCH : -2 * PATCH]
        here, wide = _window(rows, width, SEARCH), _window(rows, width, REACH, margin=PATCH)
        values_here, shares_here = values[here], shares[here]
        slope, by_rate = torch.empty_like(weights.result), torch.zeros_like(weights.result)
        for shift in HALF:
            there = _window(rows, width, SEARCH, shift)
            values_there, shares_there = values[there], shares[there]
            weight = weights(shift)
            grad_values[here].addcmul_(shares_there[:3], weight)
            grad_values[there].addcmul_(shares_here[:3], weight)
            _dot(shares_here, values_there, slope)
            for a, b in zip(shares_there.unbind(), values_here.unbind(), strict=True):
                slope.addcmul_(a, b)
            # From here: weight = 2**(rate * d), d = sqrt(square), square = box(difference**2) + EPS.
            slope.mul_(weight)
            by_rate.addcmul_(slope, weights.distance)
            torch.mul(slope, weights.inverse, out=inner).mul_(rate)
            wide_there = _window(rows, width, REACH, shift, PATCH)
            flow = spread().mul_(torch.sub(guide[wide], guide[wide_there], out=difference))
            grad_guide[wide].add_(flow)
            grad_guide[wide_there].sub_(flow)
        grad_rate += by_rate.sum((0, 1))
    grad_x = _fold(grad_values, SEARCH, height, width)
    # 2 from the square, 1/2 from the root: only ln 2 of the power is left.
    grad_guide = _fold(grad_guide, REACH, height, width).mul_(math.log(2))
    grad_x.addcmul_(share[:3], _centre(h))
    grad_x += torch.stack([grad_guide * weight for weight in GUIDE]).mul_((x >= 0) & (x <= 1))
    # rate = -1 / (ln 2 (h + EPS)); the centre's distance is sqrt(EPS).
    centre = (share * torch.cat([x, torch.ones_like(x[:1])])).sum((0, 1, 2)) * _centre(h) * math.sqrt(EPS)
    return grad_x, (grad_rate + centre) / (h + EPS) ** 2


def _rate(h: Tensor, width: int) -> Tensor:
    """Return exponent of 2 per unit of distance, (W, n) rather than (n,): long runs of memory are faster."""
    return (-1 / (math.log(2) * (h + EPS))).expand(width, -1).contiguous()


def _centre(h: Tensor) -> Tensor:
    """Return weight of a pixel for itself, (n,)."""
    return (-math.sqrt(EPS) / (h + EPS)).exp()


class _Weights:
    """The weights (R, W, n) of the pixels of a block of rows at one shift after another; buffers are used again."""

    def __init__(self, guide: Tensor, rows: slice, rate: Tensor):
        self._guide, self._rows, self._rate = guide, rows, rate
        self._width = len(rate)
        self._here = guide[_window(rows, self._width, REACH, margin=PATCH)]
        self._box = _PatchSums(torch.empty_like(self._here, memory_format=torch.contiguous_format))
        self.inverse, self.distance = torch.empty_like(self._box.result), self._box.result
        self._whole, self.result = power_buffer(self.distance.shape, guide)

    def __call__(self, shift: tuple[int, int]) -> Tensor:
        there = self._guide[_window(self._rows, self._width, REACH, shift, PATCH)]
        # The square of the difference in one pass.
        torch.ops.aten.mse_loss.out(self._here, there, UNREDUCED, out=self._box.source)
        square = self._box().add_(EPS)
        # A reciprocal root and a product are faster than a root, and a power of two than one of e.
        torch.rsqrt(square, out=self.inverse)
        torch.mul(square, self.inverse, out=self.distance)
        torch.mul(self.distance, self._rate, out=self.result).clamp_min_(MIN_POWER)
        self._whole.exp2_()
        return self.result


class _PatchSums:
    """Sums over 5x5 windows: ``source`` (R + 4, W + 4, n) to (R, W, n), in six additions; buffers are used again."""

    def __init__(self, source: Tensor):
        self.source = source
        rows, columns, count = source.shape[0] - 2 * PATCH, source.shape[1] - 2 * PATCH, source.shape[2]
        twos, down = source.new_empty(rows + 3, columns + 4, count), source.new_empty(rows, columns + 4, count)
        pairs = source.new_empty(rows, columns + 3, count)
        self.result = source.new_empty(rows, columns, count)
        self._steps = [
            (source[:-1], source[1:], twos),
            (twos[:rows], twos[2 : 2 + rows], down),
            (down, source[4:], down),
            (down[:, :-1], down[:, 1:], pairs),
            (pairs[:, :columns], pairs[:, 2 : 2 + columns], self.result),
            (self.result, down[:, 4:], self.result),
        ]

    def __call__(self) -> Tensor:
        for a, b, out in self._steps:
            torch.add(a, b, out=out)
        return self.result


def _dot(a: Tensor, b: Tensor, out: Tensor) -> None:
    torch.mul(a[0], b[0], out=out)
    for i in range(1, len(a)):
        out.addcmul_(a[i], b[i])


def _guide(x: Tensor) -> Tensor:
    r, g, b = x.clamp(0, 1)
    return GUIDE[0] * r + GUIDE[1] * g + GUIDE[2] * b


def _window(rows: slice, width: int, pad: int, shift: tuple[int, int] = (0, 0), margin: int = 0) -> tuple:
    """Return where rows of an image, shifted and with a margin, stand in a buffer (..., H, W, n) padded by ``pad``."""
    top, left = pad + shift[0] - margin, pad + shift[1] - margin
    return (
        ...,
        slice(top + rows.start, top + rows.stop + 2 * margin),
        slice(left, left + width + 2 * margin),
        slice(None),
    )


def _wrap(x: Tensor, pad: int) -> Tensor:
    """Pad (..., H, W, n) circularly, however small H and W."""
    for dim in (-3, -2):
        x = x.index_select(dim, torch.arange(-pad, x.shape[dim] + pad, device=x.device) % x.shape[dim])
    return x


def _fold(x: Tensor, pad: int, height: int, width: int) -> Tensor:
    """Add what stands in the padding to where it came from: the adjoint of ``_wrap``."""
    for dim, size in ((-3, height), (-2, width)):
        index = torch.arange(-pad, size + pad, device=x.device) % size
        shape = list(x.shape)
        shape[dim] = size
        x = x.new_zeros(shape).index_add_(dim, index, x)
    return x


def _batch_last(x: Tensor) -> Tensor:
    return x.permute(1, 2, 3, 0).contiguous()


def _last_to_first(x: Tensor, images: slice) -> Tensor:
    return x[images].permute(1, 2, 3, 0)


def graded(x: Tensor, strength: Tensor) -> Tensor:
    """Fade denoising in: strength 0 is the image itself, 1 is h = 1; h = 0.01 * 100**strength."""
    return mix(x, denoise(x, 0.01 * 100**strength), per_image(strength))


REFERENCE = Module(
    name="denoise",
    parameters=(Parameter("h", "", 1e-5, 1.0, neutral=1e-5),),
    apply=denoise,
    input_domain="any",
    output_domain="any",
    clamps=True,
    formula="non-local means: 11x11 shifts weighted by exp(-d / h), d between 5x5 patches of luminance",
    reference="Buades et al., A non-local algorithm for image denoising, CVPR 2005",
    costly=True,
    radius=REACH,
)
STABLE = replace(REFERENCE, parameters=(Parameter("strength", "", 0.0, 1.0, neutral=0.0),), apply=graded, clamps=False)
