"""Where artifacts live: a folder, or an object store.

An artifact is published whole or not at all. A name says what an artifact was made from, so whoever
publishes one a second time publishes the same.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from . import hidden, strict_json
from .bucket import Bucket
from .disk import OUTSIDE, Disk, ForeignError
from .errors import AbsentError, DamagedError, LabError, printable
from .memory import free_bytes
from .patience import FIRST_S, LATER_S, Patience

MOST_JSON_BYTES = 4 << 20
"""Parsed, a JSON file takes up to thirty times its size."""
SMALL_BYTES = 64 << 20
"""A file of so many bytes is read without a look at the memory; a larger one is at most a quarter of what is free."""


Check = Callable[[int], None]
"""Is given the bytes of a file before it is read, and raises where they are too many."""


class Store(Protocol):
    """What a lab asks of the place that it is in.

    Paths are relative to the lab and lead nowhere else; whatever fails raises OSError, a name that is none ValueError.
    """

    cure: str
    "what to look at where it cannot be read or written"

    @property
    def failed_at(self) -> float:
        """When it last did not answer, on this machine's monotonic clock."""

    def check(self) -> None:
        """Raises ValueError where a lab cannot be."""

    def exists(self, path: str) -> bool: ...
    def names(self, folder: str) -> list[str]: ...
    def leftovers(self, folder: str) -> list[str]: ...
    def read(self, path: str, check: Check) -> bytes: ...
    def open(self, path: str, check: Check) -> Any: ...
    def write(self, path: str, data: bytes) -> None: ...
    def write_folder(self, path: str, files: Mapping[str, bytes]) -> bool: ...
    def remove(self, path: str) -> None: ...
    def rename(self, path: str, to: str) -> None: ...
    def changed_at(self, path: str) -> float | None: ...
    def n_bytes(self, path: str) -> int: ...


class Lab:
    """A lab at a path or URI. Nothing is created until something is published.

    What stands in a lab is data that anybody may have written: no path and no link leads out of it, and no
    file takes more memory than there is.
    """

    def __init__(self, location: str | Path, patience_s: float = FIRST_S) -> None:
        self.location = _shown(str(location))
        self.address = str(location)
        "the same place from any working folder: what a worker is given"
        self._store: Store
        try:
            if self.location.startswith(("s3://", "gs://")):
                self._store = Bucket(urlsplit(self.address), Patience(patience_s))
            else:
                self.address = str(_path(str(location)).expanduser().resolve())
                self._store = Disk(self.address)
            self._store.check()
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a home folder of nobody
            shown = self.location or "''"
            raise LabError(f"no lab at {shown}: {_line(error)}; {CURE}") from None

    @classmethod
    def of(cls, lab: str | Path | Lab) -> Lab:
        """A lab as it is, or the one at a location."""
        return lab if isinstance(lab, Lab) else cls(lab)

    @classmethod
    def in_use(cls, address: str) -> Lab:
        """A worker's lab, which has answered its driver: where it does not answer now, that may pass."""
        return cls(address, LATER_S)

    @property
    def failed_at(self) -> float:
        """When the lab last did not answer, on this machine's monotonic clock."""
        return self._store.failed_at

    def exists(self, path: str) -> bool:
        """Whether a file or folder has been published."""
        with self._reporting(path):
            return self._store.exists(path)

    def names(self, folder: str) -> list[str]:
        """What a folder holds, sorted; what is not published, or not yet, is left out."""
        with self._reporting(folder):
            return self._store.names(folder)

    def read(self, path: str, most_bytes: int | None = None) -> bytes:
        """The bytes of a published file.

        Raises AbsentError where there is none, DamagedError for a larger one than `most_bytes`, or than memory allows.
        """
        with self._reporting(path):
            return self._store.read(path, functools.partial(self._check_size, path, most_bytes))

    def read_json(self, path: str) -> Any:
        """The value in a published JSON file. Raises AbsentError where there is none, DamagedError where it is none."""
        try:
            return strict_json.loads(self.read(path, MOST_JSON_BYTES))
        except ValueError as error:
            raise DamagedError(f"{self.show(path)} is not JSON ({error}); remove it and run again") from None

    def open(self, path: str) -> Any:
        """A published file for random access, as pyarrow.parquet reads it."""
        with self._reporting(path):
            return self._store.open(path, functools.partial(self._check_size, path, None))

    def publish(self, path: str, data: bytes) -> None:
        """Writes a file so that readers see all of it or nothing."""
        with self._reporting(path):
            self._store.write(path, data)

    def publish_sealed(self, path: str, data: bytes) -> None:
        """Publishes a file that begins with the sha256 of the rest: of tensors nobody else notices a changed bit."""
        self.publish(path, hashlib.sha256(data).digest() + data)

    def read_sealed(self, path: str) -> bytes | None:
        """What `publish_sealed` wrote; None where there is nothing, or where it is damaged."""
        if not self.exists(path):
            return None
        found = self.read(path)
        digest, data = found[: hashlib.sha256().digest_size], found[hashlib.sha256().digest_size :]
        return data if hashlib.sha256(data).digest() == digest else None

    def publish_folder(self, path: str, files: Mapping[str, bytes]) -> bool:
        """Writes a folder of files so that readers see all of it or nothing.

        Returns whether it was this call that published it. Of several at once one did; where nothing can
        be renamed, all of them may have, and each file is the one that was written last.
        """
        with self._reporting(path):
            return self._store.write_folder(path, files)

    def remove(self, path: str) -> None:
        """Removes a file, or a folder, which nobody ever finds with half of its files. Nothing need be there."""
        with self._reporting(path):
            self._store.remove(path)

    def rename(self, path: str, to: str) -> None:
        """Gives a published file another name."""
        with self._reporting(path, to):
            self._store.rename(path, to)

    def age_s(self, path: str) -> float:
        """Seconds since a file or folder was last changed, from the store's clock to this machine's."""
        with self._reporting(path):
            changed_at = self._store.changed_at(path)
        return 0.0 if changed_at is None else max(0.0, time.time() - changed_at)

    def size(self, path: str) -> int:
        """Bytes of a file, or of all files below a folder."""
        with self._reporting(path):
            return self._store.n_bytes(path)

    def leftovers(self, folder: str) -> list[str]:
        """Names in a folder of what is not whole: writes and removals that were cut short, or go on now."""
        with self._reporting(folder):
            return self._store.leftovers(folder)

    def check_writable(self) -> None:
        """Raises LabError unless a file can be written here and read back; leaves nothing behind."""
        there = self.exists("")
        probe = hidden.probe()
        self.publish(f"{probe}/written", b"bridgelab")
        if self.read(f"{probe}/written") != b"bridgelab":
            raise LabError(f"the lab {self.location} does not give back what is written to it")
        self.remove(probe)
        if not there and "://" not in self.address:
            with contextlib.suppress(OSError):  # somebody has begun to use it
                Path(self.address).rmdir()

    def show(self, path: str) -> str:
        """A path as a person would write it."""
        return printable(f"{self.location.rstrip('/')}/{path}")

    def _check_size(self, path: str, most_bytes: int | None, n_bytes: int) -> None:
        most = most_bytes or (SMALL_BYTES if n_bytes <= SMALL_BYTES else free_bytes("cpu") / 4)
        if n_bytes > most:
            raise DamagedError(f"{self.show(path)} has {n_bytes:,} bytes, too many to read; remove it and run again")

    @contextlib.contextmanager
    def _reporting(self, *paths: str) -> Iterator[None]:
        for path in paths:
            if path and not {"", ".", ".."}.isdisjoint(path.split("/")):
                raise DamagedError(f"{self.show(path)} {OUTSIDE}")
        try:
            yield
        except ForeignError as error:
            raise DamagedError(f"{self.show(paths[0])} {error}") from None
        except FileNotFoundError:
            shown = self.show(paths[0])
            raise AbsentError(f"{shown} is not there; look whether this is the lab that you mean") from None
        except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: a name that is no text
            raise LabError(f"{self.show(paths[0])}: {_line(error)}; {self._store.cure}") from None


CURE = "give --lab a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER"


def _shown(location: str) -> str:
    """A location as it may be read in a log: without options, and without keys, should somebody have put them in."""
    if "://" not in location:
        return location
    uri = urlsplit(location)
    return f"{uri.scheme}://{uri.netloc.rpartition('@')[2]}{uri.path}"


def _path(location: str) -> Path:
    """Of a folder. Raises ValueError for the URI of something else, and where it names none."""
    if "://" in location:
        uri = urlsplit(location)
        if uri.scheme != "file":
            raise ValueError(f"nothing is known of {uri.scheme}://")
        location = unquote(uri.path)
    if not location.strip("/"):
        raise ValueError("it names no folder")
    return Path(location)


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
