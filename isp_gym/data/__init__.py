"""Data: from photographs to scenes of dark, noisy, linear RAW-RGB with the photo itself as the target.

>>> from isp_gym.data import load_scenes
>>> scenes = load_scenes(data="photos", split="validation", count=2, image_size=32)
>>> scenes.ids
('validation/astronaut.png/0', 'validation/flower.jpg/1')
"""

from isp_gym.data.access import lifted, recording
from isp_gym.data.access import seal as sealed
from isp_gym.data.read_log import SPLITS, ReadLog
from isp_gym.data.registry import (
    DATA_SOURCES,
    ON_ERROR,
    SOURCES,
    available,
    check_data,
    data_card,
    load_scenes,
    source_table,
)
from isp_gym.data.scene import Objects, Scene, SceneBatch, SceneSet
from isp_gym.data.sets.base import DataSource
from isp_gym.data.store import LazyStore, MemoryStore
from isp_gym.data.unprocess import UnprocessSettings, unprocess

__all__ = [
    "DATA_SOURCES",
    "ON_ERROR",
    "SOURCES",
    "SPLITS",
    "DataSource",
    "LazyStore",
    "MemoryStore",
    "Objects",
    "ReadLog",
    "Scene",
    "SceneBatch",
    "SceneSet",
    "UnprocessSettings",
    "available",
    "check_data",
    "data_card",
    "lifted",
    "load_scenes",
    "recording",
    "sealed",
    "source_table",
    "unprocess",
]
