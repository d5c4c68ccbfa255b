"""A lab's files in a folder: of this machine, or on a disk that machines share, as by NFS. Files can be renamed."""

from __future__ import annotations

import contextlib
import math
import uuid
from collections.abc import Mapping
from typing import Any

from pyarrow import fs as pafs


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
        return [name for name in self._all_names(folder) if name.startswith(".")]

    def read(self, path: str) -> bytes:
        with self._fs.open_input_stream(self._at(path)) as stream:
            return bytes(stream.read())

    def open(self, path: str) -> Any:
        return self._fs.open_input_file(self._at(path))

    def write(self, path: str, data: bytes) -> None:
        folder, _, name = path.rpartition("/")
        hidden = f"{folder}/.{name}.{uuid.uuid4().hex}"
        self._fs.create_dir(self._at(folder), recursive=True)
        try:
            with self._fs.open_output_stream(self._at(hidden)) as stream:
                stream.write(data)
            self._fs.move(self._at(hidden), self._at(path))
        except OSError:
            with contextlib.suppress(OSError):  # half a file on a disk that is full
                self._fs.delete_file(self._at(hidden))
            raise

    def write_folder(self, path: str, files: Mapping[str, bytes]) -> bool:
        parent, _, name = path.rpartition("/")
        hidden = f"{parent}/.{name}.{uuid.uuid4().hex}"
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
        """A folder is first renamed, so that nobody ever finds one with half of its files."""
        kind = self._info(path).type
        if kind == pafs.FileType.Directory:
            parent, _, name = path.rpartition("/")
            gone = f"{parent}/.{name}.{uuid.uuid4().hex}"
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
        below = self._fs.get_file_info(pafs.FileSelector(self._at(path), recursive=True))
        return sum(int(one.size or 0) for one in below)

    def _all_names(self, folder: str) -> list[str]:
        found = self._fs.get_file_info(pafs.FileSelector(self._at(folder), allow_not_found=True))
        return sorted(info.base_name for info in found)

    def _info(self, path: str) -> pafs.FileInfo:
        return self._fs.get_file_info(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root
