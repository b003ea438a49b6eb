"""What a data source is. One of ours is a file with a subclass, a line in ``sources.py`` and a test class."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

from isp_gym.data.scene import SceneSet
from isp_gym.errors import UserError, unknown

BLOCK = 64 * 1024
BLOCKS = 4
THREADS = 4


class DataSource(ABC):
    """Where scenes come from. A data spec is ``name`` or ``name:ARGUMENT``.

    Attributes:
        name: First part of the data spec.
        argument: What the argument is, in capitals, e.g. ``"PATH"``; empty if the source takes none.
        licence: Terms of the data, not of this code.
        reference: Who made the data and where it is described.
        description: One line for people.
        options: A frozen dataclass of what ``data_options`` can set, which checks its values and raises ``ValueError``;
            ``None`` if nothing can be set.
    """

    name: str
    argument: str = ""
    licence: str
    reference: str
    description: str
    options: type[Any] | None = None

    @property
    def spec(self) -> str:
        """Return the form of the data spec, e.g. ``folder:PATH``."""
        return self.spec_as(self.name)

    def spec_as(self, name: str) -> str:
        """Return the form of the data spec where the source goes by another name, as a plug-in may."""
        return f"{name}:{self.argument}" if self.argument else name

    @abstractmethod
    def version(self) -> str:
        """Return version of the data."""

    @abstractmethod
    def check(self, argument: str) -> None:
        """Raise ``UserError`` if there is clearly nothing to load; decode nothing."""

    @abstractmethod
    def fingerprint(self, argument: str) -> str:
        """Return a string that changes when the data changes; cheap, since it is asked for at every load."""

    @abstractmethod
    def load(
        self,
        argument: str,
        split: str,
        count: int,
        image_size: int,
        seed: int,
        on_error: str = "raise",
        options: Any = None,
    ) -> SceneSet:
        """Make scenes 0 to ``count`` - 1 of ``split``, or as many as there are; scene k must not depend on ``count``.

        With ``on_error="skip"`` files that cannot be used are left out, and a warning says how many. ``options`` is an
        instance of the class of that name, or ``None`` for its defaults; a source without options is not given any.

        Raises:
            UserError: If the data is missing, is not laid out as expected, or holds a file that cannot be read.
        """

    def available(self, argument: str, split: str, on_error: str = "raise") -> int | None:
        """Count the scenes of ``split``, decoding none; ``None`` where there are as many as are asked for."""
        return None

    def checksum(self, argument: str, split: str, photos: Collection[str]) -> str:
        """Return SHA-256 of what the scenes of some photos were made from, the same on every machine.

        Of a source that reads no files, its name and version say all.

        Args:
            argument: As in the data spec.
            split: The split that they are in.
            photos: Their names, see :attr:`isp_gym.data.SceneSet.photos`.
        """
        return hashlib.sha256(f"{self.name} {self.version()}".encode()).hexdigest()

    def credits(self, photos: Collection[str]) -> dict[str, str]:
        """Return licence and author of each of these photos, by name, where they have terms of their own."""
        return {}

    def check_argument(self, argument: str, name: str) -> None:
        """Raise ``UserError`` if there is an argument where none is taken, or none where one is needed."""
        if bool(argument) != bool(self.argument):
            written = f", not data={name}:{argument}" if argument else ""
            raise UserError(f"data '{name}' is written data={self.spec_as(name)}{written}")

    def make_options(self, given: Mapping[str, Any] | None, name: str) -> Any:
        """Make the options of the values of ``data_options``.

        Args:
            given: Some of the fields of :attr:`options`.
            name: What the source is called, for the error.

        Returns:
            An instance of :attr:`options`; ``None`` where every field has its default.

        Raises:
            UserError: A field is unknown, a value of the wrong kind or out of range, or nothing can be set.
        """
        if given is not None and not isinstance(given, Mapping):
            raise UserError(f"data_options must map names of options to values, not {given!r}")
        if not given:
            return None
        if self.options is None:
            raise UserError(f"data_options: data={name} takes no options; leave them out (data_options=null)")
        for key in given:
            if key not in (known := [field.name for field in fields(self.options)]):
                raise unknown("key of data_options", str(key), known)
        try:
            made = self.options(**given)
        except ValueError as error:
            raise UserError(f"data_options.{error}") from error
        except TypeError as error:  # of a comparison, in a plug-in that does not look at kinds first
            raise UserError(f"data_options of data={name} do not fit: {error}") from error
        return None if made == self.options() else made

    def describe(self) -> dict[str, str]:
        """Return the source as a row of a table: strings only."""
        return {
            "name": self.spec,
            "licence": self.licence,
            "reference": self.reference,
            "version": self.version(),
            "description": self.description,
        }


def checksum(scenes: Iterable[tuple[str, object, Sequence[Path]]]) -> str:
    """Return the SHA-256 of scenes: the same on every machine, whatever the files' dates.

    Args:
        scenes: Of each its name, its annotation (of which the ``repr`` counts) and its files (see :func:`file_digest`).

    Returns:
        64 hexadecimal digits, whatever order the scenes come in.
    """
    rows = sorted((name, repr(annotation), list(files)) for name, annotation, files in scenes)
    with ThreadPoolExecutor(THREADS) as pool:
        digests = pool.map(file_digest, [file for *_, files in rows for file in files])
        whole = hashlib.sha256()
        for name, annotation, files in rows:
            whole.update(repr((name, annotation, [next(digests) for _ in files])).encode())
    return whole.hexdigest()


def file_digest(path: Path) -> str:
    """Return SHA-256 of a file's size and content: all of it up to 256 KB, of larger ones four blocks of 64 KB.

    The blocks are spread evenly from the first byte to the last, so that ten thousand files of 50 megabytes take
    seconds. Of a compressed picture, any change moves all that follows; only in an uncompressed one can a change hide
    between the blocks.

    Raises:
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size}\0".encode())
    with path.open("rb") as file:
        if size <= BLOCK * BLOCKS:
            digest.update(file.read())
        else:
            for i in range(BLOCKS):
                file.seek(i * (size - BLOCK) // (BLOCKS - 1))
                digest.update(file.read(BLOCK))
    return digest.hexdigest()
