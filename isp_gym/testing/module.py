"""Check what every ISP module must do, and every bank."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from isp_gym import plugins
from isp_gym.enhance.tiles import apply_in_tiles
from isp_gym.modules import Bank, get_bank
from isp_gym.modules.base import Module

_DOMAINS = ("any", "linear", "display")


def check_module(module: Module | str, *, gradient: bool = True) -> None:
    """Check a module: units, shapes, types, images by themselves, nothing changed, finite, tiles, gradients.

    Args:
        module: The module; or its plug-in name, an entry point or ``package.module:Name``.
        gradient: Also compare the gradients with finite differences in float64.

    Raises:
        AssertionError: A check has failed; the message says which.

    Example:
        >>> check_module(get_bank("stable").modules[0], gradient=False)
    """
    if isinstance(module, str):
        module = plugins.find_instance("modules", module, Module)
    assert isinstance(module, Module), f"a module is a Module, not a {type(module).__name__}"
    _check_declarations(module)
    _check_units(module)
    _check_shapes(module)
    _check_rows(module)
    _check_values(module)
    _check_radius(module)
    if gradient:
        _check_gradients(module)


def check_bank(bank: Bank | str, *, gradient: bool = True) -> None:
    """Check a bank: each of its modules, and that its name and its modules' names make it again.

    Args:
        bank: The bank, as made by ``get_bank``; or its name.
        gradient: Also compare the gradients with finite differences in float64.

    Raises:
        AssertionError: A check has failed; the message says which.
    """
    made = get_bank(bank) if isinstance(bank, str) else bank
    for module in made.modules:
        try:
            check_module(module, gradient=gradient)
        except AssertionError as error:
            raise AssertionError(f"module '{module.name}': {error}") from error
    again = get_bank(made.name, made.specs)
    assert again.modules == made.modules, f"get_bank('{made.name}', {made.specs}) makes another bank"


def _inputs(module: Module, batch: int, height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, height, width, generator=generator, dtype=torch.float64)
    params = torch.rand(batch, len(module.parameters), generator=generator, dtype=torch.float64)
    return images.to(dtype), params.to(dtype)


def _apply(module: Module, images: Tensor, params: Tensor) -> Tensor:
    return module.apply(images, module.physical(params))


def _check_declarations(module: Module) -> None:
    assert module.name.isidentifier(), f"name must be an identifier, not {module.name!r}"
    assert module.parameters, "a module needs a parameter, or there is nothing to learn"
    assert module.input_domain in _DOMAINS, f"input_domain must be one of {_DOMAINS}, not {module.input_domain!r}"
    assert module.output_domain in _DOMAINS, f"output_domain must be one of {_DOMAINS}, not {module.output_domain!r}"
    whole = isinstance(module.version, int) and not isinstance(module.version, bool) and module.version >= 1
    assert whole, f"version must be a whole number from 1 on, not {module.version!r}"
    assert module.formula, "formula is missing"
    assert module.reference, "reference is missing"
    for parameter in module.parameters:
        assert parameter.low < parameter.high, f"parameter '{parameter.name}': low must be below high"
        normalised = parameter.normalised_neutral
        assert -1e-6 <= normalised <= 1 + 1e-6, f"parameter '{parameter.name}': neutral is outside [low, high]"


def _check_units(module: Module) -> None:
    """Compare the physical value of each parameter at the ends of its scale and at neutral with the declared one."""
    parameters = module.parameters
    neutral = [parameter.normalised_neutral for parameter in parameters]
    scale = torch.tensor([[0.0] * len(neutral), [1.0] * len(neutral), neutral], dtype=torch.float64)
    # What ``finish`` maps them to, e.g. normalised rows, need not lie in the declared range.
    physical = replace(module, finish=None).physical(scale)
    for column, parameter in zip(physical.T.tolist(), parameters, strict=True):
        for value, name in zip(column, ("low", "high", "neutral"), strict=True):
            declared = getattr(parameter, name)
            tolerance = 1e-4 * (declared if parameter.log else parameter.high - parameter.low)
            assert abs(value - declared) <= tolerance, (
                f"parameter '{parameter.name}' at its {name}: physical gives {value:g}, not {declared:g}"
            )


def _check_shapes(module: Module) -> None:
    for batch, height, width in ((1, 16, 16), (3, 17, 23)):
        for dtype in (torch.float32, torch.float64):
            images, params = _inputs(module, batch, height, width, dtype)
            kept = images.clone(), params.clone()
            output = _apply(module, images, params)
            assert output.shape == images.shape, f"{tuple(images.shape)} became {tuple(output.shape)}"
            assert output.dtype == dtype, f"{dtype} became {output.dtype}"
            assert torch.equal(images, kept[0]), "it writes to its input"
            assert torch.equal(params, kept[1]), "it writes to its parameters"
            again = _apply(module, images, params)
            assert torch.equal(output, again), "the same input and parameters gave another output"


def _check_rows(module: Module) -> None:
    images, params = _inputs(module, 4, 16, 20, torch.float32)
    together = _apply(module, images, params)
    for i in range(4):
        alone = _apply(module, images[i : i + 1], params[i : i + 1])[0]
        assert torch.allclose(alone, together[i], rtol=1e-5, atol=1e-5), "an image depends on the rest of its batch"


def _check_values(module: Module) -> None:
    images, params = _inputs(module, 6, 16, 16, torch.float32)
    images[0], images[1], images[2, :, :, 8:] = 0.0, 1.0, images[2, :1, :, 8:]  # black, white, half grey
    for level in (params, torch.zeros_like(params), torch.ones_like(params), torch.full_like(params, 0.5)):
        output = _apply(module, images, level)
        assert output.isfinite().all(), "the output is not finite for an image in [0, 1] and parameters in [0, 1]"
        if module.clamps:
            inside = bool(((output >= -1e-6) & (output <= 1 + 1e-6)).all())
            assert inside, f"it says that it clamps, and gives {float(output.min()):g} to {float(output.max()):g}"


def _check_radius(module: Module) -> None:
    """Compare tiles that are computed from what the declared radius reaches with the whole image."""
    radius, side = module.radius, 16
    if radius is None:
        return
    assert isinstance(radius, int) and radius >= 0, f"radius must be a whole number from 0 on or None, not {radius!r}"
    images, params = _inputs(module, 1, 2 * radius + 2 * side, 2 * radius + 2 * side + 3, torch.float64)
    whole, tiled = _apply(module, images, params)[0], torch.empty_like(images[0])
    apply_in_tiles(lambda window: _apply(module, window, params), images[0], tiled, radius, side)
    assert torch.allclose(tiled, whole, rtol=1e-6, atol=1e-6), (
        f"in tiles it makes another image: a pixel depends on more than the {radius} pixels round it that it declares, "
        "or on where it lies; declare its radius, or None for the whole image"
    )


def _check_gradients(module: Module) -> None:
    images, params = _inputs(module, 2, 12, 12, torch.float64)
    # Away from black and white and from the ends of the ranges, where clamps make kinks.
    neutral = torch.tensor([p.normalised_neutral for p in module.parameters], dtype=torch.float64)
    images, params = 0.3 + 0.3 * images, (neutral * 0.6 + 0.2 + 0.1 * (params - 0.5)).clamp(0.02, 0.98)
    try:
        torch.autograd.gradcheck(
            lambda x, p: _apply(module, x, p),
            (images.requires_grad_(), params.requires_grad_()),
            fast_mode=True,
        )
    except RuntimeError as error:
        raise AssertionError(f"gradients differ from finite differences: {error}") from error
