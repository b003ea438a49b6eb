"""The banks by name."""

from collections.abc import Iterable
from importlib import import_module

from isp_gym.errors import unknown
from isp_gym.modules.bank import Bank
from isp_gym.modules.base import Module

# One file a module, in token order, which released policies rely on. A new module is one line here.
MODULE_NAMES = (
    "exposure",
    "gamma",
    "ccm",
    "sharpen",
    "denoise",
    "tone",
    "contrast",
    "saturation",
    "desaturation",
    "white_balance",
)
_FILES = [import_module(f"isp_gym.modules.{name}") for name in MODULE_NAMES]
BANKS: dict[str, tuple[Module, ...]] = {
    "reference": tuple(file.REFERENCE for file in _FILES),
    "stable": tuple(file.STABLE for file in _FILES),
}


def get_bank(name: str, modules: Iterable[str] | None = None) -> Bank:
    """Returns a bank by name.

    Args:
        name: One of ``BANKS``.
        modules: Names of the modules to keep, in token order; all of them by default.

    Raises:
        UserError: If the bank or a module is unknown.
    """
    if name not in BANKS:
        raise unknown("bank", name, BANKS)
    table = {module.name: module for module in BANKS[name]}
    chosen = tuple(table if modules is None else modules)
    for module in chosen:
        if module not in table:
            raise unknown("module", module, table)
    return Bank(name, tuple(table[module] for module in chosen))
