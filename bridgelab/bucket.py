"""A lab's files in an object store: S3, whatever speaks it, or Google Cloud Storage. Nothing can be renamed.

An object appears whole. A folder that is published whole has its MARK, written last and removed first;
without it, it is not there. Of two who write one name the last one stays: a name says what a thing was
made from, so both wrote the same.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import SplitResult, parse_qsl, urlsplit

import pyarrow as pa
from pyarrow import fs as pafs

from . import hidden
from .patience import Patience

Method = TypeVar("Method", bound=Callable[..., Any])

MARK = ".whole"
OF_WHOLE_FOLDERS = ("models", "latents", "packs")
"""Folders whose folders are published whole."""
REQUEST_S = 10.0
"""How long a request may get no byte. Ours is all the patience there is: pyarrow's cannot be interrupted."""

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
CURES = {
    "s3": "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, and that the bucket exists",
    "gs": "check GOOGLE_APPLICATION_CREDENTIALS, and that the bucket exists",
}
OPTIONS = {"s3": {"endpoint_override", "scheme", "region"}, "gs": {"endpoint_override", "scheme"}}
"""What may stand behind the question mark of an address."""


def _patiently(method: Method) -> Method:
    """A method of a bucket, done again while the store does not answer."""

    @functools.wraps(method)
    def patient(self: Bucket, *given: Any) -> Any:
        return self.patience.with_(lambda: method(self, *given))

    return cast(Method, patient)


class Bucket:
    """A bucket, or a folder in one. Each of its methods may be repeated."""

    def __init__(self, address: SplitResult, patience: Patience) -> None:
        self.patience, self.cure = patience, CURES[address.scheme]
        self._root = f"{address.netloc}{address.path}".rstrip("/")
        if not address.netloc:
            raise ValueError("it names no bucket")
        self._fs = {"s3": _s3, "gs": _gs}[address.scheme](address.netloc, _asked(address))

    @property
    def failed_at(self) -> float:
        return self.patience.failed_at

    def check(self) -> None:
        """Whoever reads or writes first will see: an object store may be far away."""

    def exists(self, path: str) -> bool:
        if path.rpartition("/")[0] in OF_WHOLE_FOLDERS:
            path = f"{path}/{MARK}"
        return bool(self._info(path).type != pafs.FileType.NotFound)

    @_patiently
    def names(self, folder: str) -> list[str]:
        if folder in OF_WHOLE_FOLDERS:
            return sorted(self._whole(folder))
        return [name for name in self._children(folder) if not name.startswith(".")]

    @_patiently
    def leftovers(self, folder: str) -> list[str]:
        names = self._children(folder)
        if folder in OF_WHOLE_FOLDERS:
            whole = self._whole(folder)
            return [name for name in names if name not in whole and not name.startswith(".")]
        return [name for name in names if hidden.is_ours(name)]

    @_patiently
    def read(self, path: str, check: Callable[[int], None]) -> bytes:
        with self._fs.open_input_file(self._at(path)) as file:
            check(file.size())
            return bytes(file.read())

    def open(self, path: str, check: Callable[[int], None]) -> Any:
        """All of it at once: a request that fails later would look like a file that is damaged."""
        return pa.BufferReader(self.read(path, check))

    @_patiently
    def write(self, path: str, data: bytes) -> None:
        with self._fs.open_output_stream(self._at(path)) as stream:
            stream.write(data)

    def write_folder(self, path: str, files: Mapping[str, bytes]) -> bool:
        if self.exists(path):
            return False
        for name, data in files.items():
            self.write(f"{path}/{name}", data)
        self.write(f"{path}/{MARK}", b"")
        return True

    @_patiently
    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # it was somebody else, or we, unheard
            kind = self._info(path).type
            if kind == pafs.FileType.Directory:
                with contextlib.suppress(FileNotFoundError):
                    self._fs.delete_file(self._at(f"{path}/{MARK}"))
                self._fs.delete_dir(self._at(path))
            elif kind == pafs.FileType.File:
                self._fs.delete_file(self._at(path))

    @_patiently
    def rename(self, path: str, to: str) -> None:
        self._fs.move(self._at(path), self._at(to))

    def changed_at(self, path: str) -> float | None:
        """Of a folder, when its youngest file was written."""
        times = [info.mtime.timestamp() for info in self._files(path) if info.mtime is not None]
        return max(times, default=None)

    def n_bytes(self, path: str) -> int:
        return sum(int(info.size or 0) for info in self._files(path))

    @_patiently
    def _files(self, path: str) -> list[pafs.FileInfo]:
        """A file, or all files below a folder."""
        info = self._info(path)
        if info.type == pafs.FileType.Directory:
            below = self._fs.get_file_info(pafs.FileSelector(self._at(path), recursive=True))
            return [one for one in below if one.type == pafs.FileType.File]
        return [info] if info.type == pafs.FileType.File else []

    def _children(self, folder: str) -> list[str]:
        found = self._fs.get_file_info(pafs.FileSelector(self._at(folder), allow_not_found=True))
        return sorted(info.base_name for info in found)

    def _whole(self, folder: str) -> set[str]:
        """The folders in a folder that have their mark."""
        selector = pafs.FileSelector(self._at(folder), allow_not_found=True, recursive=True)
        marks = [info.path for info in self._fs.get_file_info(selector) if info.base_name == MARK]
        return {path.split("/")[-2] for path in marks}

    @_patiently
    def _info(self, path: str) -> pafs.FileInfo:
        return self._fs.get_file_info(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root


def _asked(address: SplitResult) -> dict[str, str]:
    """What stands behind the question mark. Raises ValueError for what may not, and for keys before the bucket."""
    asked = dict(parse_qsl(address.query, keep_blank_values=True))
    if "@" in address.netloc:
        raise ValueError("an address is no place for keys; take them out, and set them in the environment")
    if unknown := asked.keys() - OPTIONS[address.scheme]:
        raise ValueError(
            f"it asks for {', '.join(sorted(unknown))}; it may for {', '.join(sorted(OPTIONS[address.scheme]))}"
        )
    return asked


def _s3(bucket: str, asked: Mapping[str, str]) -> pafs.S3FileSystem:
    """Credentials are found as AWS's own tools find them: environment, ~/.aws, the role of the machine."""
    where = {name: asked[name] for name in ("endpoint_override", "scheme") if name in asked}
    endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), None)
    if endpoint is not None and not where:
        url = urlsplit(endpoint)
        where = {"endpoint_override": url.netloc or url.path, "scheme": url.scheme or "https"}
    region = asked.get("region") or next((os.environ[name] for name in REGIONS if os.environ.get(name)), None)
    if region is None and not where:
        try:
            region = pafs.resolve_s3_region(bucket)
        except OSError as error:
            raise OSError(f"{error}; set AWS_REGION, or AWS_ENDPOINT_URL if it is not at AWS") from None
    return pafs.S3FileSystem(
        **where,
        region=region,
        request_timeout=REQUEST_S,
        connect_timeout=REQUEST_S / 2,
        allow_delayed_open=True,  # a small object is one request, and never an upload that was begun
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=1),
    )


def _gs(bucket: str, asked: Mapping[str, str]) -> pafs.GcsFileSystem:
    return pafs.GcsFileSystem(**asked, retry_time_limit=dt.timedelta(seconds=REQUEST_S))
