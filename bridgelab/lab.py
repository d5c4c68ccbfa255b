"""Where artifacts live: a folder, or any URI that pyarrow.fs understands.

An artifact is published whole: it is written under a name that begins with a dot, which no reader
looks at, and then moved to its own. A name says what an artifact was made from, so whoever publishes
one a second time publishes the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs as pafs

from . import strict_json
from .errors import LabError, printable
from .memory import free_bytes

MOST_JSON_BYTES = 4 << 20
"""Parsed, a JSON file takes up to thirty times its size."""
SMALL_BYTES = 64 << 20
"""A file of so many bytes is read without a look at the memory; a larger one is at most a quarter of what is free."""


class Lab:
    """A lab at a path or URI. Nothing is created until something is published.

    What stands in a lab is data that anybody may have written: no path and no link leads out of it, and no
    file takes more memory than there is.
    """

    def __init__(self, location: str | Path) -> None:
        self.location = str(location)
        self.address: str
        "the same place from any working folder: what a worker is given"
        try:
            if "://" in self.location:
                self.address = self.location
                self._fs, self._root = pafs.FileSystem.from_uri(self.location)
            else:
                self.address = str(Path(location).expanduser().resolve())
                self._fs, self._root = pafs.LocalFileSystem(), self.address
        except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a home folder of nobody
            raise LabError(f"no lab at {location}: {_line(error)}; give --lab a folder or a URI") from None
        if not self.location or not self._root.strip("/"):
            raise LabError(f"no lab at '{location}': it names no folder; give --lab a folder or a URI with one")
        if self._info("").type == pafs.FileType.File:
            raise LabError(f"no lab at {location}: it is a file; give --lab a folder")

    @classmethod
    def of(cls, lab: str | Path | Lab) -> Lab:
        """A lab as it is, or the one at a location."""
        return lab if isinstance(lab, Lab) else cls(lab)

    def exists(self, path: str) -> bool:
        """Whether a file or folder has been published."""
        return bool(self._info(path).type != pafs.FileType.NotFound)

    def names(self, folder: str) -> list[str]:
        """What a folder holds, sorted; unpublished names (with a dot) are left out."""
        with self._reporting(folder):
            selector = pafs.FileSelector(self._at(folder), allow_not_found=True)
            found = [info.base_name for info in self._fs.get_file_info(selector)]
        return sorted(name for name in found if not name.startswith("."))

    def read(self, path: str, most_bytes: int | None = None) -> bytes:
        """The bytes of a published file. Raises LabError for a larger one than `most_bytes`, or than memory allows."""
        with self.open(path) as file, self._reporting(path):
            most = most_bytes or (SMALL_BYTES if file.size() <= SMALL_BYTES else free_bytes("cpu") / 4)
            if file.size() > most:
                raise LabError(
                    f"{self.show(path)} has {file.size():,} bytes, too many to read; remove it and run again"
                )
            return bytes(file.read())

    def read_json(self, path: str) -> Any:
        """The value in a published JSON file."""
        try:
            return strict_json.loads(self.read(path, MOST_JSON_BYTES))
        except ValueError as error:
            raise LabError(f"{self.show(path)} is not JSON ({error}); remove it and run again") from None

    def open(self, path: str) -> Any:
        """A published file for random access, as pyarrow.parquet reads it."""
        with self._reporting(path):
            at = self._at(path)
            if self._is_local and not stat.S_ISREG(os.stat(at).st_mode):
                raise LabError(f"{self.show(path)} is no file; remove it and run again")  # a pipe would never end
            return self._fs.open_input_file(at)

    def publish(self, path: str, data: bytes) -> None:
        """Writes a file so that readers see all of it or nothing."""
        hidden = _hidden(path)
        with self._reporting(path):
            self._fs.create_dir(self._at(path.rpartition("/")[0]), recursive=True)
            try:
                with self._fs.open_output_stream(self._at(hidden)) as stream:
                    stream.write(data)
                self._fs.move(self._at(hidden), self._at(path))
            except OSError:
                with contextlib.suppress(OSError):  # half a file on a disk that is full
                    self._fs.delete_file(self._at(hidden))
                raise

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

        Returns whether it was this call that published it; one of several at once is.
        """
        hidden = _hidden(path)
        with self._reporting(path):
            self._fs.create_dir(self._at(hidden), recursive=True)
            try:
                for file_name, data in files.items():
                    with self._fs.open_output_stream(self._at(f"{hidden}/{file_name}")) as stream:
                        stream.write(data)
                self._fs.move(self._at(hidden), self._at(path))
            except OSError:
                with contextlib.suppress(OSError):
                    self._fs.delete_dir(self._at(hidden))
                if not self.exists(path):
                    raise
                return False
        return True

    def remove(self, path: str) -> None:
        """Removes a file or a folder; nothing happens where there is none.

        A folder is first renamed, so that nobody ever finds one with half of its files.
        """
        with self._reporting(path):
            kind = self._info(path).type
            if kind == pafs.FileType.Directory:
                gone = _hidden(path)
                self._fs.move(self._at(path), self._at(gone))
                self._fs.delete_dir(self._at(gone))
            elif kind == pafs.FileType.File:
                self._fs.delete_file(self._at(path))

    def rename(self, path: str, to: str) -> None:
        """Gives a published file another name."""
        with self._reporting(path):
            self._fs.move(self._at(path), self._at(to))

    def age_s(self, path: str) -> float:
        """Seconds since a file or folder was last changed, by this machine's clock."""
        modified = self._info(path).mtime
        return 0.0 if modified is None else time.time() - modified.timestamp()

    def size(self, path: str) -> int:
        """Bytes of a file, or of all files below a folder."""
        with self._reporting(path):
            info = self._info(path)
            if info.type != pafs.FileType.Directory:
                return int(info.size or 0)
            if self._is_local:
                return _bytes_below(self._at(path))
            below = self._fs.get_file_info(pafs.FileSelector(self._at(path), recursive=True))
            return sum(int(one.size or 0) for one in below)

    def leftovers(self, folder: str) -> list[str]:
        """Names in a folder that begin with a dot: writes and removals that were cut short, or go on now."""
        with self._reporting(folder):
            found = self._fs.get_file_info(pafs.FileSelector(self._at(folder), allow_not_found=True))
            return sorted(info.base_name for info in found if info.base_name.startswith("."))

    def check_writable(self) -> None:
        """Raises LabError unless a file can be written here and read back; leaves nothing behind."""
        there = self.exists("")
        probe = f".probe-{uuid.uuid4().hex}"
        self.publish(f"{probe}/written", b"bridgelab")
        if self.read(f"{probe}/written") != b"bridgelab":
            raise LabError(f"the lab {self.location} does not give back what is written to it")
        self.remove(probe)
        if not there and "://" not in self.location:
            with contextlib.suppress(OSError):  # somebody has begun to use it
                Path(self.address).rmdir()

    def show(self, path: str) -> str:
        """A path as a person would write it."""
        return printable(f"{self.location.rstrip('/')}/{path}")

    @property
    def _is_local(self) -> bool:
        return isinstance(self._fs, pafs.LocalFileSystem)

    def _at(self, path: str) -> str:
        """Where a path of the lab is. Raises LabError for one that leads out of it."""
        at, parts = str(self._root), path.split("/") if path else []
        for part in parts:
            at = f"{at}/{part}"
            if part in ("", ".", "..") or (self._is_local and os.path.islink(at) and not self._is_inside(at)):
                raise LabError(
                    f"{self.show(path)} leads out of the lab; a lab is one folder: take it out, and run again"
                )
        return at

    def _is_inside(self, link: str) -> bool:
        root = str(os.path.realpath(self._root))
        return os.path.commonpath((root, os.path.realpath(link))) == root

    def _info(self, path: str) -> pafs.FileInfo:
        with self._reporting(path):
            return self._fs.get_file_info(self._at(path))

    @contextlib.contextmanager
    def _reporting(self, path: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: a name that is no text
            raise LabError(f"{self.show(path)}: {_line(error)}; check that the lab can be read and written") from None


def _hidden(path: str) -> str:
    """A new name beside a path, which no reader looks at."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}.{name}.{uuid.uuid4().hex}"


def _bytes_below(folder: str) -> int:
    """Of all files in a folder of this machine; links are not followed."""
    n_bytes = 0
    for top, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # gone since
                n_bytes += os.lstat(os.path.join(top, name)).st_size
    return n_bytes


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
