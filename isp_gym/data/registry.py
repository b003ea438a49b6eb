"""The registry of data sources, and loading from them by data spec."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from isp_gym import plugins
from isp_gym.data.access import check_split, refuse_sealed
from isp_gym.data.scene import SceneSet
from isp_gym.data.sets.base import DataSource
from isp_gym.data.sets.coco import CocoFolder
from isp_gym.data.sets.fivek import EXPERTS, FiveK
from isp_gym.data.sets.folder import FolderPhotos
from isp_gym.data.sets.lod_lis import LIS, LOD
from isp_gym.data.sets.raw import RawFiles
from isp_gym.data.sets.voc import VocFolder
from isp_gym.data.sets.wheel_photos import MATPLOTLIB, SCIKIT_IMAGE, SCIKIT_LEARN, WheelPhotos
from isp_gym.data.sets.yolo import YoloFolder
from isp_gym.data.synthetic.scenes import SyntheticScenes
from isp_gym.errors import UserError, unknown

_ALL: tuple[DataSource, ...] = (
    WheelPhotos("photos", (SCIKIT_IMAGE, SCIKIT_LEARN, MATPLOTLIB)),
    WheelPhotos("skimage", (SCIKIT_IMAGE,)),
    SyntheticScenes(),
    FolderPhotos(),
    RawFiles(),
    FiveK("c", "fivek"),
    *(FiveK(expert, f"fivek-{expert}") for expert in EXPERTS),
    CocoFolder(),
    VocFolder(),
    YoloFolder(),
    *(kind("dark", name) for kind, name in ((LOD, "lod"), (LIS, "lis"))),
    *(kind(part, f"{name}-{part}") for kind, name in ((LOD, "lod"), (LIS, "lis")) for part in ("normal", "all")),
)
SOURCES: dict[str, DataSource] = {source.name: source for source in _ALL}

DATA_SOURCES: tuple[dict[str, str], ...] = tuple(source.describe() for source in SOURCES.values())
"""One row per source: name, licence, reference, version, description; strings only, for tables and JSON."""

ON_ERROR = ("raise", "skip")


def source_table() -> list[dict[str, str]]:
    """Return ``DATA_SOURCES``, and a row for each entry point of the group ``isp_gym.data`` that is installed."""
    names = [name for name in plugins.plugin_names("data") if name not in SOURCES]
    return [*map(dict, DATA_SOURCES), *map(_row_of_plugin, names)]


def _row_of_plugin(name: str) -> dict[str, str]:
    try:
        source = plugins.find_instance("data", name, DataSource)
        return {**source.describe(), "name": source.spec_as(name)}
    except Exception as error:  # a broken package must not hide what the others offer
        return {"name": name, "licence": "", "reference": "", "version": "", "description": f"broken: {error}"}


def load_scenes(
    data: str = "photos",
    split: str = "train",
    count: int = 128,
    image_size: int = 64,
    seed: int = 0,
    on_error: str = "raise",
    options: Mapping[str, Any] | None = None,
) -> SceneSet:
    """Load scenes; a second call with the same arguments costs nothing while the files stay as they are.

    Scenes go round-robin over the photos of the split. Scene k is a pure function of the data, the split, k, the image
    size and the seed: asking for more scenes leaves the first ones as they were.

    Args:
        data: Data spec, e.g. ``"photos"`` or ``"folder:PATH"``, see ``DATA_SOURCES``; in place of the name may stand
            that of an entry point of the group ``isp_gym.data``, or ``package.module:Name``: a :class:`DataSource`, or
            a subclass, which is made without arguments.
        split: ``"train"``, ``"validation"`` or ``"test"``; their scenes come from different photos.
        count: Number of scenes, at least 1.
        image_size: Side of the square images in pixels, at least 1.
        seed: Seed of crops and of the simulated camera, at least 0.
        on_error: What to do about a file that cannot be used: ``"raise"``, or ``"skip"`` it with a warning.
        options: What of the source to set (``data_options``): of those that unprocess photos, the fields of
            :class:`UnprocessSettings`, e.g. ``{"light": [0.05, 0.1]}``.

    Returns:
        The set; its pixels cannot be changed.

    Raises:
        UserError: If an argument is wrong, the split is sealed, or the data is missing or cannot be read.

    Example:
        >>> scenes = load_scenes("photos", "validation", count=2, image_size=32)
        >>> scenes.ids
        ('validation/astronaut.png/0', 'validation/flower.jpg/1')
        >>> scenes.images.shape, scenes.targets.shape
        (torch.Size([2, 3, 32, 32]), torch.Size([2, 3, 32, 32]))
        >>> darker = load_scenes("photos", "validation", 2, 32, options={"light": [0.01, 0.02]})
        >>> bool(darker.images.mean() < scenes.images.mean())
        True
    """
    check_split(split)
    _check_on_error(on_error)
    refuse_sealed(split)
    source, argument = _find(data)
    count, image_size = _whole("count", count, 1), _whole("image_size", image_size, 1)
    seed = _whole("seed", seed, 0)
    made = source.make_options(options, data)
    given = "" if made is None else json.dumps(asdict(made))
    return _load(data, split, count, image_size, seed, on_error, given, source.fingerprint(argument))


def available(data: str, split: str, on_error: str = "raise") -> int | None:
    """Count the scenes of a split without decoding any; asking is not reading, so a sealed split may be counted.

    Args:
        data: Data spec.
        split: As for :func:`load_scenes`.
        on_error: As for :func:`load_scenes`. With ``"skip"`` this is the most that there can be: files that only
            decoding finds to be unusable still count.

    Returns:
        The number, or ``None`` where there is no limit: scenes are cut from photos, or rendered, as often as asked for.

    Raises:
        UserError: If an argument is wrong, or the data is missing or not laid out as expected.
    """
    check_split(split)
    _check_on_error(on_error)
    source, argument = _find(data)
    source.check(argument)
    return source.available(argument, split, on_error)


def check_data(data: str, options: Mapping[str, Any] | None = None) -> None:
    """Raise ``UserError`` if ``data`` is no data spec, its files are missing or too few, or it takes no such options.

    Decodes no image. Arguments as for :func:`load_scenes`.

    Example:
        >>> check_data("photos", {"light": [0.05, 0.1]})
        >>> check_data("photos", {"light": [0.0, 2.0]})
        Traceback (most recent call last):
        isp_gym.errors.UserError: data_options.light must be two numbers, 0 < low <= high <= 1, not [0.0, 2.0]
    """
    source, argument = _find(data)
    source.make_options(options, data)
    source.check(argument)


def data_card(sets: Iterable[SceneSet]) -> dict[str, Any]:
    """Describe what scenes were made from, for the record.

    Args:
        sets: Scenes of one data spec; one set per split.

    Returns:
        ``spec``, ``options`` (where some were set), ``licence``, ``reference``, ``version``, and ``checksums``: of each
        split the SHA-256 of its scenes' names, annotations and files (see :func:`isp_gym.data.sets.base.file_digest`),
        the same on every machine; and, where photos have terms of their own, ``credits``: licence and author of each.

    Example:
        >>> card = data_card([load_scenes("synthetic", "test", count=2, image_size=16)])
        >>> card["spec"], card["licence"]
        ('synthetic', 'MIT (made by this package)')
    """
    by_split = {scenes.split: scenes for scenes in sets}
    (spec,) = {scenes.data for scenes in by_split.values()}
    options = next(iter(by_split.values())).options
    source, argument = _find(spec)
    checksums = {split: source.checksum(argument, split, scenes.photos) for split, scenes in by_split.items()}
    terms = {key: value for key, value in source.describe().items() if key in ("licence", "reference", "version")}
    credits = source.credits({photo for scenes in by_split.values() for photo in scenes.photos})
    given = {"options": dict(options)} if options else {}
    return {"spec": spec, **given, **terms, **({"credits": credits} if credits else {}), "checksums": checksums}


@lru_cache(maxsize=16)
def _load(
    data: str, split: str, count: int, image_size: int, seed: int, on_error: str, options: str, fingerprint: str
) -> SceneSet:
    # The fingerprint is only there to tell apart what a folder held then and holds now.
    source, argument = _find(data)
    given = json.loads(options or "{}")
    made = {"options": source.make_options(given, data)} if source.options is not None else {}
    scenes = source.load(argument, split, count, image_size, seed, on_error, **made)
    scenes.data, scenes.options = data, given  # a plug-in does not know what it is called here
    return scenes


def _find(data: str) -> tuple[DataSource, str]:
    name, argument = plugins.split("data", str(data), SOURCES)
    source = plugins.find_instance("data", name, DataSource, SOURCES, [ours.spec for ours in SOURCES.values()])
    source.check_argument(argument, name)
    return source, argument


def _check_on_error(on_error: str) -> None:
    if on_error not in ON_ERROR:
        raise unknown("on_error", str(on_error), ON_ERROR)


def _whole(name: str, value: int, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise UserError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return number
