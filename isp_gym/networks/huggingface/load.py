"""Loading a Hugging Face model with its image processor, and saying in one line what is wrong with it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from isp_gym.errors import UserError


def load(spec: str, known: Sequence[str], device: str) -> tuple[Any, Any]:
    """Load a frozen model and its image processor.

    Args:
        spec: A folder as ``save_pretrained`` writes it, or the id of a model on the hub.
        known: Names of the transformers classes that may be loaded.
        device: Where the model is to lie.

    Returns:
        The model, in float32, in eval mode and without gradients into its weights; and its image processor.

    Raises:
        UserError: transformers is missing; there is no such model, or it is no detector; its weights are damaged or do
            not fit its config; its image processor is missing.
    """
    transformers = _transformers()
    source = _source(spec)
    with _quiet(transformers, source):
        model_class = _model_class(transformers, spec, source, known)
        processor = _processor(transformers, spec, source)
        model, report = _weights(model_class, spec, source)
    _check_weights(spec, report)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(_contiguous_gradient)
    return model.float().to(device).eval().requires_grad_(False), processor


def _contiguous_gradient(layer: nn.Module, inputs: Any, output: Tensor) -> None:
    """On the CPU, torch 2.13 misreads the gradient of a batch of one that comes in other strides, as RT-DETR's does."""
    if output.requires_grad:
        output.register_hook(Tensor.contiguous)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            "Hugging Face networks need transformers; install it with pip install 'isp-gym[detection]'"
        ) from error
    return transformers


def _source(spec: str) -> str:
    """Require that what looks like a path exists: transformers takes a missing folder for an id on the hub."""
    path = Path(spec).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"cannot load network '{spec}': the folder has no config.json; give one of save_pretrained")
        return str(path)
    if path.is_file():
        raise UserError(f"cannot load network '{spec}': it is a file; give the folder that holds its config.json")
    if spec.startswith((".", "~", os.sep)) or spec.count("/") != 1:
        raise UserError(
            f"cannot load network '{spec}': there is no such folder; give one, or an id on the hub (org/name)"
        )
    return spec


@contextmanager
def _quiet(transformers: Any, source: str) -> Iterator[None]:
    """No reports of transformers: what matters in them is raised or warned of here. A download shows its progress."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled() and Path(source).is_dir()
    log.set_verbosity_error()
    if bars:
        log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def _model_class(transformers: Any, spec: str, source: str, known: Sequence[str]) -> Any:
    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # a broken file, an unknown kind, no such id, no network: each has its own error
        if Path(source).is_dir():
            raise UserError(
                f"cannot use {source}/config.json: {_line(error)}; give a folder of save_pretrained, "
                "or upgrade transformers"
            ) from error
        raise UserError(
            f"cannot load network '{spec}': there is no such folder, and the Hugging Face hub does not give it "
            f"({_line(error)}); check the id and the network, or download the model and give its folder"
        ) from error
    if not config.architectures:
        raise UserError(
            f"cannot use network '{spec}': its config.json names no architecture; save it by save_pretrained"
        )
    name = config.architectures[0]
    if name not in known:
        raise UserError(f"cannot use network '{spec}': it is a {name}, and not one of {', '.join(known)}")
    return getattr(transformers, name)


def _processor(transformers: Any, spec: str, source: str) -> Any:
    try:
        return transformers.AutoImageProcessor.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # a missing or broken file, or a processor that needs torchvision
        raise UserError(
            f"cannot load network '{spec}': it has no usable preprocessor_config.json, which says how it wants its "
            f"images ({_line(error)}); save its image processor beside it"
        ) from error


def _weights(model_class: Any, spec: str, source: str) -> tuple[Any, Mapping[str, Any]]:
    try:
        return model_class.from_pretrained(
            source,
            trust_remote_code=False,
            weights_only=True,  # where they are pickled and not safetensors
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except ImportError as error:  # its backbone is timm's
        raise UserError(f"network '{spec}' needs another package: {' '.join(str(error).split())}") from error
    except Exception as error:  # no weights, or what a damaged file makes of safetensors, zipfile and pickle
        raise UserError(f"cannot read the weights of network '{spec}': {_line(error)}; copy them again") from error


def _check_weights(spec: str, report: Mapping[str, Any]) -> None:
    """transformers draws weights that are missing or have another shape at random, with no more than a warning."""
    # Counters and the like are no weights, and many checkpoints have some to spare.
    spare = sorted(key for key in report["unexpected_keys"] if key.endswith((".weight", ".bias")))
    wrong = sorted([*report["missing_keys"], *(row[0] for row in report["mismatched_keys"])])
    if wrong:
        raise UserError(
            f"the weights of network '{spec}' do not fit its config.json: {len(wrong)} are missing or have another "
            f"shape ({wrong[0]}, ...); use the two that were saved together"
        )
    if spare:
        warnings.warn(
            f"network '{spec}' uses no {len(spare)} of its weights ({spare[0]}, ...): is its config.json its own?",
            stacklevel=4,
        )


def _line(error: Exception) -> str:
    """Return the first sentence of what transformers has to say."""
    lines = str(error).strip().splitlines()
    return lines[0].split(". ")[0].rstrip(".;:") if lines else type(error).__name__
