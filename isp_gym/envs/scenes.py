"""Rows of a batch of scenes: copying some of them, and replacing some of them in place."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from isp_gym.data import SceneBatch


def pick(scenes: SceneBatch, rows: Tensor) -> SceneBatch:
    """The scenes at ``rows``, (m,) int64, of a batch, in that order; every field has a row a scene."""
    where = rows.tolist()
    values = {field.name: _take(getattr(scenes, field.name), rows, where) for field in dataclasses.fields(scenes)}
    return dataclasses.replace(scenes, **values)


def put(scenes: SceneBatch, rows: Tensor, new: SceneBatch) -> SceneBatch:
    """Replace the scenes at ``rows``, (m,) int64, by ``new`` (m scenes); the tensors of ``scenes`` are written to."""
    kept = {int(row): i for i, row in enumerate(rows.tolist())}
    values = {
        field.name: _replace(getattr(scenes, field.name), rows, kept, getattr(new, field.name))
        for field in dataclasses.fields(scenes)
    }
    return dataclasses.replace(scenes, **values)


def _take(value: Any, rows: Tensor, where: list[int]) -> Any:
    if isinstance(value, Tensor):
        return value.index_select(0, rows.to(value.device))
    return None if value is None else tuple(value[row] for row in where)


def _replace(value: Any, rows: Tensor, kept: dict[int, int], new: Any) -> Any:
    if isinstance(value, Tensor):
        return value.index_copy_(0, rows.to(value.device), new)
    return None if value is None else tuple(new[kept[i]] if i in kept else item for i, item in enumerate(value))
