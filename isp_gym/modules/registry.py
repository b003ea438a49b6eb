"""The banks by name."""

from collections.abc import Iterable, Sequence
from importlib import import_module

from isp_gym import plugins
from isp_gym.errors import UserError
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
    """Return a bank by name; ``get_bank(bank.name, bank.specs)`` is the same bank again.

    Args:
        name: One of ``BANKS``, an entry point of the group ``isp_gym.banks``, or ``package.module:Name``: a bank, a
            sequence of modules, or a function that returns one.
        modules: Names of the modules to keep, in token order; all of them by default. Further modules are named by
            an entry point of the group ``isp_gym.modules`` or as ``package.module:Name``.

    Raises:
        UserError: If the bank or a module is unknown, or two modules have the same name.

    Example:
        >>> bank = get_bank("reference")
        >>> bank.num_modules, bank.num_params, bank.end_token
        (10, 27, 10)
        >>> get_bank("stable", ["exposure", "gamma"]).names
        ('exposure', 'gamma')
    """
    table = {module.name: module for module in _modules(name)}
    specs = tuple(table if modules is None else modules)
    chosen = [plugins.find_instance("modules", spec, Module, table) for spec in specs]
    names = [module.name for module in chosen]
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise UserError(f"a bank holds each module once, and '{twice[0]}' is named twice: {', '.join(specs)}")
    return Bank(name, chosen, specs)


def _modules(name: str) -> tuple[Module, ...]:
    """Return the modules of a bank."""
    found = plugins.find("banks", name, BANKS)
    if callable(found) and not isinstance(found, Bank):
        found = plugins.make("banks", name, found)
    modules = found.modules if isinstance(found, Bank) else found
    if not (isinstance(modules, Sequence) and modules and all(isinstance(module, Module) for module in modules)):
        raise UserError(f"bank '{name}' is neither a bank nor a sequence of modules")
    return tuple(modules)
