"""Frozen detectors and segmenters that tasks score with: the embedded one, Hugging Face's, ultralytics' YOLO."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from isp_gym import plugins
from isp_gym.errors import UserError
from isp_gym.networks.base import Detections, Network


def load_network(spec: str = "", device: str = "cpu") -> Network:
    """Load the network of that name, once in a process.

    Args:
        spec: Empty for the embedded network; an entry point of the group ``isp_gym.networks``, or
            ``package.module:Name``: a class or function that makes a network and takes ``device``; a file
            ``*.safetensors`` of ``scripts/train_embedded.py``; a file ``*.pt`` of ultralytics; otherwise a
            directory or hub id of Hugging Face transformers.
        device: Torch device.

    Raises:
        UserError: There is no such network, it is damaged, what reads it is not installed, or it is code that is not
            trusted here (a pickled file that was trusted before in this process is not read again).

    Example:
        >>> network = load_network()  # the embedded one
        >>> network.classes[:3], network.loss_names
        (('ball', 'box', 'cone'), ('box', 'objectness', 'class', 'mask'))
        >>> predictions = network.detect(torch.rand(2, 3, 64, 64))
        >>> len(predictions), predictions[0].boxes.shape[1]
        (2, 4)
    """
    spec, device = str(spec), str(device)
    # Initial weights are sampled before they are replaced. That must not move the random numbers of a run, which would
    # depend on whether an earlier run of this process has loaded the network already.
    with torch.random.fork_rng(devices=[]):
        if spec in plugins.plugin_names("networks") or plugins.is_class_name(spec):
            return _make(spec, plugins.find("networks", spec), device)
        return _load(spec, device)


@lru_cache(maxsize=4)
def _make(spec: str, factory: Callable[..., Any], device: str) -> Network:
    network = plugins.make("networks", spec, factory, device=device)
    if not isinstance(network, Network):
        raise UserError(f"network '{spec}' makes a {type(network).__name__}, and no isp_gym.networks.Network")
    return network


@lru_cache(maxsize=4)
def _load(spec: str, device: str) -> Network:
    # Imported here, since each has dependencies of its own.
    if not spec:
        from isp_gym.networks.embedded.network import EmbeddedNetwork

        return EmbeddedNetwork(device=device)
    if spec.endswith(".safetensors"):
        from isp_gym.networks.embedded.network import EmbeddedNetwork

        return EmbeddedNetwork(spec, device)
    if spec.endswith(".pt"):
        from isp_gym.networks.yolo.network import YOLONetwork

        return YOLONetwork(spec, device)
    from isp_gym.networks.huggingface.network import HuggingFaceNetwork

    return HuggingFaceNetwork(spec, device)


__all__ = ["Detections", "Network", "load_network"]
