"""A lab's files in a folder: of this machine, or on a disk that machines share, as by NFS. Files can be renamed."""

from __future__ import annotations

import contextlib
import math
import os
import stat
from collections.abc import Callable, Mapping
from typing import Any

from pyarrow import fs as pafs

from . import hidden

OUTSIDE = "leads out of the lab; a lab is one folder: take it out, and run again"


class ForeignError(Exception):
    """What stands in a lab's folder and is not the lab's: the message says of it what it is, and the cure."""


class Disk:
    """A folder. What is written has a name that begins with a dot, until it is whole and gets its own."""

    cure = "check that the lab can be read and written"
    failed_at = -math.inf

    def __init__(self, root: str) -> None:
        self._fs, self._root = pafs.LocalFileSystem(), root

    def check(self) -> None:
        if self._info("").type == pafs.FileType.File:
            raise ValueError("it is a file")

    def exists(self, path: str) -> bool:
        return bool(self._info(path).type != pafs.FileType.NotFound)

    def names(self, folder: str) -> list[str]:
        return [name for name in self._all_names(folder) if not name.startswith(".")]

    def leftovers(self, folder: str) -> list[str]:
        return [name for name in self._all_names(folder) if hidden.is_ours(name)]

    def read(self, path: str, check: Callable[[int], None]) -> bytes:
        with self.open(path, check) as file:
            check(file.size())
            return bytes(file.read())

    def open(self, path: str, check: Callable[[int], None]) -> Any:
        """Of any size: who opens a file reads of it what is wanted."""
        at = self._at(path)
        if not stat.S_ISREG(os.stat(at).st_mode):
            raise ForeignError("is no file; remove it and run again")  # a pipe would never end
        return self._fs.open_input_file(at)

    def write(self, path: str, data: bytes) -> None:
        at_first = hidden.beside(path)
        self._fs.create_dir(self._at(path.rpartition("/")[0]), recursive=True)
        try:
            with self._fs.open_output_stream(self._at(at_first)) as stream:
                stream.write(data)
            self._fs.move(self._at(at_first), self._at(path))
        except OSError:
            with contextlib.suppress(OSError):  # half a file on a disk that is full
                self._fs.delete_file(self._at(at_first))
            raise

    def write_folder(self, path: str, files: Mapping[str, bytes]) -> bool:
        at_first = hidden.beside(path)
        self._fs.create_dir(self._at(at_first), recursive=True)
        try:
            for file_name, data in files.items():
                with self._fs.open_output_stream(self._at(f"{at_first}/{file_name}")) as stream:
                    stream.write(data)
            self._fs.move(self._at(at_first), self._at(path))
        except OSError:
            with contextlib.suppress(OSError):
                self._fs.delete_dir(self._at(at_first))
            if not self.exists(path):
                raise
            return False
        return True

    def remove(self, path: str) -> None:
        """A folder is first renamed, so that nobody ever finds one with half of its files."""
        kind = self._info(path).type
        if kind == pafs.FileType.Directory:
            gone = hidden.beside(path)
            self._fs.move(self._at(path), self._at(gone))
            self._fs.delete_dir(self._at(gone))
        elif kind == pafs.FileType.File:
            self._fs.delete_file(self._at(path))

    def rename(self, path: str, to: str) -> None:
        self._fs.move(self._at(path), self._at(to))

    def changed_at(self, path: str) -> float | None:
        modified = self._info(path).mtime
        return None if modified is None else float(modified.timestamp())

    def n_bytes(self, path: str) -> int:
        info = self._info(path)
        if info.type != pafs.FileType.Directory:
            return int(info.size or 0)
        return _bytes_below(self._at(path))

    def _all_names(self, folder: str) -> list[str]:
        found = self._fs.get_file_info(pafs.FileSelector(self._at(folder), allow_not_found=True))
        return sorted(info.base_name for info in found)

    def _info(self, path: str) -> pafs.FileInfo:
        return self._fs.get_file_info(self._at(path))

    def _at(self, path: str) -> str:
        """Where a path of the lab is. Raises ForeignError where a link leads out of it."""
        at = self._root
        for part in path.split("/") if path else ():
            at = f"{at}/{part}"
            if os.path.islink(at) and not self._is_inside(at):
                raise ForeignError(OUTSIDE)
        return at

    def _is_inside(self, link: str) -> bool:
        root = os.path.realpath(self._root)
        return os.path.commonpath((root, os.path.realpath(link))) == root


def _bytes_below(folder: str) -> int:
    """Of all files in a folder; links are not followed."""
    n_bytes = 0
    for top, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # gone since
                n_bytes += os.lstat(os.path.join(top, name)).st_size
    return n_bytes
