"""A domain without code: a folder that has, for each class, a folder of pictures or of sounds.

`PATH/cat/*.png, PATH/dog/*.png`; with `PATH/train` and `PATH/test` in that form the split is the user's own.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..config import Side
from ..errors import DataError
from ..user_file import UserFile
from . import Domain, Samples, Split, images, speech, stratified
from .clips import SOUNDS, file_digest, read_sounding
from .pictures import PICTURES, read_grey, resized

TEST_SHARE, VALIDATION_SHARE = 1 / 5, 1 / 8
FEWEST = 10
"""Items that a class needs, so that every split has some of it."""


@dataclass(frozen=True)
class Contents:
    """What a folder holds: its files by class, in the order of classes, and whether they are heard."""

    path: Path
    class_names: tuple[str, ...]
    files: tuple[tuple[Path, int, bool], ...]
    "(file, class, whether it is in the user's own test split)"
    heard: bool

    @property
    def name(self) -> str:
        """The domain's: that of the folder, in small letters."""
        slug = re.sub(r"[^a-z0-9]+", "_", self.path.resolve().name.lower()).strip("_")
        return f"folder_{slug or 'root'}"

    @functools.cached_property
    def sha256(self) -> str:
        """Of the classes, splits and bytes of the files; neither of their names nor of where the folder lies."""
        rows = sorted(f"{self.class_names[c]} {in_test} {file_digest(file).hex()}" for file, c, in_test in self.files)
        return hashlib.sha256("\n".join([*self.class_names, *rows]).encode()).hexdigest()

    @functools.cached_property
    def samples(self) -> Mapping[Split, Samples]:
        """Read once."""
        return _samples(self)


def described(path: Path) -> UserFile:
    """A source text that makes the domain without its data, as workers need it. Raises DataError."""
    found = contents(path)
    source = (
        "from bridgelab.domains.folder import described_as\n\n\n"
        f"def domain():\n    return described_as({found.name!r}, {found.class_names!r}, heard={found.heard})\n"
    )
    return UserFile(f"folder:{path}", source)


def described_as(name: str, class_names: tuple[str, ...], *, heard: bool) -> Domain:
    """The domain of a folder with these classes; `at` finds its data."""
    like = speech.FSDD if heard else images.FASHION_MNIST
    return replace(like, name=name, title=f"{name}, a folder", class_names=class_names, margin=0, at=_at)


def contents(path: Path) -> Contents:
    """The files of a folder. Raises DataError for one that is no folder of classes."""
    if not path.is_dir():
        raise DataError(f"folder:{path}: no such folder; give one with a folder of pictures or sounds for each class")
    own_split = (path / "train").is_dir() and (path / "test").is_dir()
    tops = {"train": path / "train", "test": path / "test"} if own_split else {"train": path}
    names = sorted({one.name for top in tops.values() for one in top.iterdir() if one.is_dir()}, key=_natural)
    files = [
        (file, names.index(name), split == "test")
        for split, top in tops.items()
        for name in names
        for file in sorted((top / name).glob("*"))
        if file.suffix.lower() in (*PICTURES, *SOUNDS) and file.is_file()
    ]
    kinds = {file.suffix.lower() in SOUNDS for file, _, _ in files}
    cure = "put pictures (png, jpg) or sounds (wav, flac, ogg) into a folder for each class"
    if len(names) < 2 or not files:
        raise DataError(f"folder:{path} has no classes; {cure}")
    if len(kinds) > 1:
        raise DataError(f"folder:{path} has both pictures and sounds; {cure}, of one kind")
    for c, name in enumerate(names):
        if not name.isprintable():
            raise DataError(f"folder:{path} has a class named {name!r}; give it a name that can be shown")
        n = sum(own == c for _, own, _ in files)
        if n < FEWEST:
            raise DataError(f"folder:{path} has {n} items of class '{name}'; give each class {FEWEST} or more")
    return Contents(path, tuple(names), tuple(files), kinds.pop())


def _natural(name: str) -> tuple[int, int, str]:
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


def _at(domain: Domain, path: Path) -> Domain:
    found = contents(path)
    return replace(
        domain,
        load=functools.partial(_load, found),
        split_sizes=_sizes(found),
        data_id=functools.partial(_data_id, domain.name, found),
    )


def _data_id(name: str, found: Contents, side: Side) -> str:
    return f"{name}/{found.sha256[:20]}/{'sounds' if found.heard else 'pictures'}-1/splits-1"


def _load(found: Contents, side: Side) -> Mapping[Split, Samples]:
    return found.samples


def _samples(found: Contents) -> Mapping[Split, Samples]:
    x = _sounds(found) if found.heard else _pictures(found)
    labels = np.array([c for _, c, _ in found.files], np.int64)
    in_test = np.array([own for _, _, own in found.files])
    if in_test.any():
        test, rest = np.flatnonzero(in_test).tolist(), np.flatnonzero(~in_test).tolist()
    else:
        test, rest = stratified(x, labels, range(len(x)), TEST_SHARE)
    validation, train = stratified(x, labels, rest, VALIDATION_SHARE)
    parts: Mapping[Split, list[int]] = {"train": train, "validation": validation, "test": test}
    return {split: Samples(x[part], labels[part]) for split, part in parts.items()}


def _sounds(found: Contents) -> NDArray[np.float32]:
    sound = speech.FSDD.sound
    assert sound is not None
    return sound.of(np.stack([sound.fitted(read_sounding(file, sound.rate)) for file, _, _ in found.files]))


def _pictures(found: Contents) -> NDArray[np.float32]:
    """In [0, 1], square, light on dark ground where most of the pictures lie on light ground."""
    small, borders = zip(*(_small(file) for file, _, _ in found.files), strict=True)
    x = np.stack(small).reshape(len(small), -1)
    return 1 - x if np.median(borders) > 0.5 else x


def _small(file: Path) -> tuple[NDArray[np.float32], float]:
    """A picture of the domain's size, and how light its border is."""
    grey = read_grey(file)
    border = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    longest = max(grey.shape)
    square = np.full((longest, longest), border, np.float32)
    top, left = ((longest - n) // 2 for n in grey.shape)
    square[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
    return resized(square, (images.SIDE, images.SIDE)), border


def _sizes(found: Contents) -> Mapping[Split, int]:
    """Known without reading a file: `stratified` rounds a share of each class."""
    sizes: dict[Split, int] = {"train": 0, "validation": 0, "test": 0}
    own_split = any(in_test for _, _, in_test in found.files)
    for c in range(len(found.class_names)):
        n = sum(own == c for _, own, _ in found.files)
        n_test = sum(own == c and in_test for _, own, in_test in found.files) if own_split else round(n * TEST_SHARE)
        n_validation = round((n - n_test) * VALIDATION_SHARE)
        sizes["test"] += n_test
        sizes["validation"] += n_validation
        sizes["train"] += n - n_test - n_validation
    return sizes
