"""The data. A domain supplies samples with labels in three splits, and how large things are in it."""

from __future__ import annotations

import functools
import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..config import UNLABELLED, NLabels, Preset, Side
from ..errors import DataError, InvalidValueError, UnknownNameError, UserFileError
from ..user_file import UserFile, read_user_file
from .logmel import Sound

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Samples:
    """Samples: x (N, ...) float32 in the domain's units, labels (N,) int64; UNLABELLED where there is none."""

    x: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def labelled(self) -> Samples:
        """Those that have a label."""
        has_one_N = self.labels != UNLABELLED
        return self if has_one_N.all() else Samples(self.x[has_one_N], self.labels[has_one_N])

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A domain of the paper's kind: samples that a base model generates and a judge labels."""

    name: str
    title: str
    sample_shape: tuple[int, ...]
    image_shape: tuple[int, int] | None = None
    "rows and columns, where a sample is an image whose pixels are in [0, 1]"
    sound: Sound | None = None
    "where a sample is the picture of a sound: which one; or the sound as it is"
    margin: int = 0
    "pixels of ground around what is drawn in an image, whose centre of mass lies in the middle; 0: it fills the image"
    class_names: tuple[str, ...]
    label_counts: tuple[NLabels, ...]
    "what a study of label counts tries here; 'all' is the whole training split"
    presets: Mapping[str, Preset]
    load: Callable[[Side], Mapping[Split, Samples]]
    split_sizes: Mapping[Split, int]
    n_labelled: int | None = None
    "training samples that have a label; None: all of them"
    data_id: Callable[[Side], str]
    "a fingerprint of the data and of its splits, without loading them"
    rule: Callable[[Side, NDArray[np.float32]], NDArray[np.int64]] | None = None
    "labels samples (N, ...) where no judge needs to be trained"
    landed: Callable[[Side, NDArray[np.float32]], NDArray[np.bool_]] | None = None
    "which samples (N, ...) lie where the side has any, where that is known"
    own_base: Callable[[], Any] | None = None
    "makes a base model of the user's own, an object with the methods of base_models.BaseModel; None: the preset's"
    latent_dim: int | None = None
    "of own_base"
    source_sha256: str | None = None
    "of the user's file that it is made by; None for ours"
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    "recipe -> what it sets otherwise in this domain"
    is_in: Callable[[Path], bool] | None = None
    "whether a folder has its data, so that nothing would be downloaded; None: it brings its own"
    by_hand: str | None = None
    "what to put where in a data folder, of data that cannot be downloaded"
    at: Callable[[Domain, Path], Domain] | None = None
    "the domain with the data of a folder; None: it brings its own"

    @property
    def picture_shape(self) -> tuple[int, int] | None:
        """Rows and columns of what a sample looks like; None where it looks like nothing."""
        return self.image_shape if self.sound is None else self.sound.shape

    def pictures(self, x_NX: NDArray[np.float32]) -> NDArray[np.float32]:
        """What samples look like, to judges too: they themselves, or the log-mel pictures of waveforms."""
        return x_NX if self.sound is None else self.sound.pictures(x_NX)

    def preset(self, name: str) -> Preset:
        if name not in self.presets:
            raise UnknownNameError(f"preset of {self.name}", name, self.presets)
        return self.presets[name]


def unloaded(side: Side) -> Mapping[Split, Samples]:
    """`load` of a domain whose data from outside were not looked for."""
    raise DataError("these data were not looked for; resolve the study with a data folder")


def unidentified(side: Side) -> str:
    """`data_id` of a domain whose data from outside were not looked for."""
    raise DataError("these data were not looked for; resolve the study with a data folder")


DEFAULT_DATA = "./data"
FOLDER = "folder:"
"""In a pair, before the path of a folder that has a folder of pictures or of sounds for each class."""


_OWN: dict[str, Domain] = {}
"""Domains of the user's own, in this process, by name."""


def get_domain(name: str) -> Domain:
    """The domain of that name, without data from outside. Raises UnknownNameError, with the nearest one."""
    known = {**_OWN, **_ours()}
    if name not in known:
        raise UnknownNameError("domain", name, known, "one of your own is given as a path, ./mine.py")
    return known[name]


def _ours() -> dict[str, Domain]:
    from . import digits, images, plane, speech

    known = (digits.DIGITS, plane.PLANE, images.MNIST, images.FASHION_MNIST)
    spoken = (speech.FSDD, speech.FSDD_SPEAKER, speech.FSDD_WAVE, speech.SC09, speech.SC09_WAVE)
    return {domain.name: domain for domain in (*known, *spoken)}


def use_own(file: UserFile) -> Domain:
    """The domain that a user's file makes, from now on known by its name in this process.

    The source is part of every id that is made with it. Raises UserFileError.
    """
    made = file.make("domain", Domain)
    assert isinstance(made, Domain)
    if made.name in _ours():
        raise UserFileError(f"{file.path}: '{made.name}' is the name of a domain that comes with bridgelab; change it")
    if made.own_base is not None and not made.latent_dim:
        raise UserFileError(f"{file.path}: own_base needs latent_dim, how many numbers a latent of it has; give it")
    data_id = functools.partial(_own_data_id, made, file.sha256)
    _OWN[made.name] = replace(made, data_id=data_id, source_sha256=file.sha256)
    return _OWN[made.name]


def _own_data_id(made: Domain, sha256: str, side: Side) -> str:
    return f"{made.data_id(side)}/source-{sha256[:20]}"


def get_pair(
    text: str, data: str | Path | None = None, labels: str | Path | None = None
) -> tuple[tuple[Domain, Domain], tuple[UserFile, ...]]:
    """The two domains of 'SOURCE-TARGET' with their data, and the files of those that are the user's own.

    They must have as many classes as each other. Where a domain's data comes from outside it is looked
    for in the folder `data`, and downloaded to there if it is missing. A path of a Python file is a domain
    of the user's own, and so is `folder:PATH`, with a folder of pictures or of sounds for each class.
    `labels` is a file of bins that take the place of both domains' classes (see domains.bins).
    """
    parts = _parts(text)
    files = {part: _file_of(part) for part in parts if _is_own(part)}
    a, b = (use_own(files[part]) if part in files else get_domain(part) for part in parts)
    folder = Path(data or DEFAULT_DATA)
    places = [Path(part.removeprefix(FOLDER)) if part.startswith(FOLDER) else folder for part in parts]
    a, b = (d if d.at is None else d.at(d, place) for d, place in zip((a, b), places, strict=True))
    own = tuple(files.values())
    if labels is not None:
        from . import bins

        sides = bins.described(labels, (a, b))
        a, b = (d if d.at is None else d.at(d, place) for d, place in zip(map(use_own, sides), places, strict=True))
        own += tuple(dict.fromkeys(sides))
    if len(a.class_names) != len(b.class_names):
        raise InvalidValueError(
            f"--pair {text}: {a.name} has {len(a.class_names)} classes and {b.name} has "
            f"{len(b.class_names)}; a bridge needs one class for each class, or bins of yours (--labels)"
        )
    return (a, b), own


def pair_name(text: str) -> str:
    """What a run on 'SOURCE-TARGET' calls its pair: by the names of its domains. No data are looked for."""
    return "-".join((use_own(_file_of(part)) if _is_own(part) else get_domain(part)).name for part in _parts(text))


def check_there(text: str, data: str | Path | None = None) -> None:
    """Raises DataError, with the cure, where a domain of 'SOURCE-TARGET' is not in the folder `data`.

    For what only looks ahead: a set can be a download of gigabytes.
    """
    folder = Path(data or DEFAULT_DATA)
    for part in _parts(text):
        domain = None if _is_own(part) else get_domain(part)
        if domain is None or domain.is_in is None or domain.is_in(folder):
            continue
        if domain.by_hand is not None:
            raise DataError(f"no {part} in {folder}; {domain.by_hand.format(folder)}")
        where = "" if data is None else f" --data {shlex.quote(str(data))}"
        raise DataError(
            f"no {part} in {folder}; give --data a folder that has it, or fetch it: bridgelab pretrain {part}{where}"
        )


def _parts(text: str) -> tuple[str, str]:
    parts = re.fullmatch(r"(folder:.+?|.+?\.py|[^-]+)-(folder:.+|.+\.py|[^-]+)", text)
    if parts is None:
        raise InvalidValueError(f"--pair {text}: write SOURCE-TARGET, as in digits-digits")
    return parts[1], parts[2]


def _is_own(part: str) -> bool:
    return part.endswith(".py") or part.startswith(FOLDER)


def _file_of(part: str) -> UserFile:
    """The file that makes a domain of the user's own: theirs, or one that describes a folder."""
    if not part.startswith(FOLDER):
        return read_user_file(part)
    from . import folder

    return folder.described(Path(part.removeprefix(FOLDER)))


def stratified(
    x: NDArray[Any], labels: NDArray[np.int64], candidates: Sequence[int], share: float
) -> tuple[list[int], list[int]]:
    """Candidates among samples x (N, ...) split into (share, rest), class by class, by the hash of their content.

    The order of the source plays no part, so the split is the same wherever the same samples are.
    """
    digest = {i: hashlib.sha256(x[i].tobytes()).hexdigest() for i in candidates}
    chosen: set[int] = set()
    for label in np.unique(labels[list(candidates)]):
        members = sorted((i for i in candidates if labels[i] == label), key=lambda i: (digest[i], i))
        chosen.update(members[: round(len(members) * share)])
    return sorted(chosen), sorted(set(candidates) - chosen)
