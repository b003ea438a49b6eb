"""Fingerprints: the same each time, and another where a module does something else."""

import dataclasses
import json

import pytest
import torch

from isp_gym.modules import BANKS, Bank, compare_fingerprints, get_bank
from isp_gym.modules.fingerprint import NUMBERS, SIDE, _params, _picture

every_module = pytest.mark.parametrize("module", [m for bank in BANKS.values() for m in bank], ids=lambda m: m.name)


def changed(name, **changes):
    """The stable bank with one module changed."""
    bank = get_bank("stable")
    return Bank("stable", [dataclasses.replace(m, **changes) if m.name == name else m for m in bank.modules])


@pytest.mark.parametrize("name", BANKS)
def test_a_bank_is_what_it_was(name):
    recorded = json.loads(json.dumps(get_bank(name).fingerprint()))
    assert {key: entry["version"] for key, entry in recorded.items()} == get_bank(name).versions
    assert all(len(entry["outputs"]) == NUMBERS for entry in recorded.values())
    assert compare_fingerprints(recorded, get_bank(name)) == []


def test_the_banks_differ():
    same = compare_fingerprints(get_bank("reference").fingerprint(), get_bank("stable"))
    differing = [line.split("'")[1] for line in same]
    # These two have the same formula and ranges in both.
    assert [name for name in get_bank("stable").names if name not in differing] == ["exposure", "contrast"]


def test_another_version():
    recorded = get_bank("stable").fingerprint()
    assert compare_fingerprints(recorded, changed("gamma", version=2)) == ["module 'gamma' has version 2, and had 1"]


@every_module
def test_one_pixel_of_another_brightness(module):
    def spot(images, physical):
        output = module.apply(images, physical).clone()
        output[:, 1, 5, 7] += 1e-3
        return output

    recorded = Bank("one", [module]).fingerprint()
    (line,) = compare_fingerprints(recorded, Bank("one", [dataclasses.replace(module, apply=spot)]))
    assert line.startswith(f"module '{module.name}' has version 1 as before, but is off by")


def test_a_module_that_gives_nan():
    recorded = get_bank("stable").fingerprint()
    broken = changed("gamma", apply=lambda images, physical: images * torch.nan)
    assert len(compare_fingerprints(recorded, broken)) == 1


def test_rounding_is_no_change():
    recorded = get_bank("stable").fingerprint()
    gamma = get_bank("stable").modules[1]
    shifted = changed("gamma", apply=lambda images, physical: gamma.apply(images, physical) * (1 + 2e-7))
    assert compare_fingerprints(recorded, shifted) == []
    assert len(compare_fingerprints(recorded, shifted, tolerance=1e-9)) == 1


def test_a_module_that_is_gone_and_one_that_is_new():
    recorded = get_bank("stable", ["gamma", "tone"]).fingerprint()
    assert compare_fingerprints(recorded, get_bank("stable", ["tone", "ccm"])) == ["module 'gamma' is not in the bank"]


@every_module
def test_parameters_are_far_from_neutral(module):
    neutral = torch.tensor([p.normalised_neutral for p in module.parameters])
    params = _params(module)[0]
    assert ((params - neutral).abs() > 0.19).all() and (params >= 0.1).all() and (params <= 0.9).all()


def test_the_picture_is_one():
    assert _picture().shape == (1, 3, SIDE, SIDE)
    assert _picture().min() < 0.1 and _picture().max() > 0.9 and _picture().unique().numel() == 3 * SIDE * SIDE
