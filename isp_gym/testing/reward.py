"""Check what every reward term must do."""

from __future__ import annotations

import torch
from torch import Tensor

from isp_gym.data import SceneBatch, SceneSet, load_scenes
from isp_gym.rewards import Frame, RewardTerm, get_reward

_USES = ("image", "image, input", "image, target", "image, input, target")


def check_reward(term: RewardTerm | str, scenes: SceneSet | None = None) -> None:
    """Check a reward term: shapes, bounds, each image by itself, nothing changed, deterministic, differentiable.

    Args:
        term: The term; or its name as for :func:`isp_gym.rewards.get_reward`.
        scenes: At least two scenes with all that it looks at; by default four photographs of 32x32 pixels.

    Raises:
        AssertionError: A check has failed; the message says which.
    """
    term = get_reward(term) if isinstance(term, str) else term
    assert isinstance(term, RewardTerm), f"a reward term is a RewardTerm, not a {type(term).__name__}"
    shown = load_scenes(count=4, image_size=32) if scenes is None else scenes
    batch = shown.batch(range(min(4, len(shown))))
    _check_declarations(term)
    _check_map(term, batch)
    _check_rows(term, shown, batch)
    _check_uses(term, batch)
    _check_gradient(term, batch)


def _bright(batch: SceneBatch) -> Tensor:
    return (batch.images * 4 + 0.05).clamp(0, 1)


def _score(term: RewardTerm, images: Tensor, batch: SceneBatch, source: Tensor | None = None) -> Tensor:
    """Return the mean of the map, (B,)."""
    mapped = term.map(Frame(images), Frame(batch.images if source is None else source), batch)
    return mapped.expand(images[:, 0].shape).mean(dim=(1, 2))


def _check_declarations(term: RewardTerm) -> None:
    for name in ("name", "low", "high", "uses", "description", "reference"):
        assert hasattr(term, name), f"{name} is missing"
    assert term.low < term.high, f"low must be below high, not {term.low} and {term.high}"
    assert term.uses in _USES, f"uses must be one of {_USES}, not {term.uses!r}"


def _check_map(term: RewardTerm, batch: SceneBatch) -> None:
    """Also of images that leave [0, 1] or hold nothing."""
    images = _bright(batch)
    for shown in (images, images * 3 - 0.5, images * 0, images * 0 + 1, batch.images):
        frame, source = Frame(shown), Frame(batch.images)
        kept = frame.images.clone(), source.images.clone()
        mapped = term.map(frame, source, batch)
        fits = mapped.ndim == 3 and len(mapped) == len(shown)
        fits = fits and all(a in (1, b) for a, b in zip(mapped.shape, shown[:, 0].shape, strict=True))
        assert fits, f"the map must be {tuple(shown[:, 0].shape)} or broadcast to it, not {tuple(mapped.shape)}"
        assert mapped.isfinite().all(), "the map is not finite"
        score = mapped.expand(shown[:, 0].shape).mean(dim=(1, 2))
        inside = bool(((score >= term.low - 1e-4) & (score <= term.high + 1e-4)).all())
        assert inside, f"scores of {score.min():.3g} to {score.max():.3g} leave the bounds {term.low} and {term.high}"
        unchanged = torch.equal(frame.images, kept[0]) and torch.equal(source.images, kept[1])
        assert unchanged, "it writes to the images"
        again = term.map(Frame(shown), Frame(batch.images), batch)
        assert torch.equal(mapped, again), "the same images gave another map"


def _check_rows(term: RewardTerm, scenes: SceneSet, batch: SceneBatch) -> None:
    images = _bright(batch)
    together = _score(term, images, batch)
    for i in range(len(batch)):
        alone = _score(term, images[i : i + 1], scenes.batch([i]))[0]
        assert torch.allclose(alone, together[i], rtol=1e-4, atol=1e-6), "an image depends on the rest of its batch"


def _check_uses(term: RewardTerm, batch: SceneBatch) -> None:
    if "input" not in term.uses:
        images = _bright(batch)
        other = _score(term, images, batch, source=1 - batch.images)
        assert torch.equal(_score(term, images, batch), other), "it looks at the input, and uses does not say so"


def _check_gradient(term: RewardTerm, batch: SceneBatch) -> None:
    images = _bright(batch).clamp(0.05, 0.95).requires_grad_()
    score = _score(term, images, batch)
    assert score.requires_grad, "the map carries no gradient into the image"
    (gradient,) = torch.autograd.grad(score.sum(), images)
    assert gradient.isfinite().all(), "the gradient of the map is not finite"
    assert gradient.any(), "the gradient of the map is zero everywhere"
