"""Files of a user's own as samples of a domain, and samples as files: pictures (PNG, JPEG) and sounds (WAV, FLAC).

Shapes: H rows, W columns, X sample.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .domains import Domain
from .domains.clips import SOUNDS, read_sounding, sound_bytes
from .domains.pictures import PICTURES, Grey, as_sample, read_grey
from .errors import InvalidValueError


def is_sound(path: Path) -> bool:
    return path.suffix.lower() in SOUNDS


def is_medium(path: Path) -> bool:
    """Whether a file's name says that it is a picture or a sound."""
    return path.suffix.lower() in (*SOUNDS, *PICTURES)


def suffix_of(domain: Domain) -> str:
    """The kind of file that a sample of the domain becomes."""
    return ".png" if domain.sound is None else ".wav"


def read_sample(path: Path, domain: Domain) -> NDArray[np.float32]:
    """The file as a sample (X,) of the domain. Raises DataError for a file that cannot be one."""
    if is_sound(path) != (domain.sound is not None):
        kind = "a picture" if domain.sound is None else "a sound"
        raise InvalidValueError(f"{path}: {domain.name} wants {kind}, in {', '.join(_kinds(domain))}")
    if domain.sound is not None:
        heard_1T = domain.sound.fitted(read_sounding(path, domain.sound.rate))[None]
        return domain.sound.of(heard_1T).ravel()
    if domain.image_shape is None:
        raise InvalidValueError(f"{domain.name} has neither pictures nor sounds; its samples cannot be files")
    return as_sample(read_grey(path), domain.image_shape, domain.margin).ravel()


def write_sample(path: Path, x_X: NDArray[np.float32], domain: Domain, scale: int) -> None:
    """The sample as a file of the kind that its name says, a picture `scale` times as large."""
    path.write_bytes(as_file(path, x_X, domain, scale))


def as_file(path: Path, x_X: NDArray[np.float32], domain: Domain, scale: int) -> bytes:
    """The bytes of `write_sample`. Raises InvalidValueError for a name of another kind than the domain's."""
    if not is_medium(path) or is_sound(path) != (domain.sound is not None):
        kinds = ", ".join(_kinds(domain))
        raise InvalidValueError(f"{path}: what comes out is of {domain.name}; name it with one of {kinds}")
    if domain.sound is not None:
        return sound_bytes(domain.sound.clips(x_X[None])[0], domain.sound.rate, path.suffix)
    assert domain.image_shape is not None
    return picture_bytes(x_X.reshape(domain.image_shape), scale, path.suffix)


def picture_bytes(grey_HW: Grey, scale: int, suffix: str = ".png") -> bytes:
    """A picture whose pixels are `scale` times as large."""
    from PIL import Image

    Image.init()
    sink = io.BytesIO()
    pixels = np.rint(np.clip(grey_HW, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1)).save(sink, Image.EXTENSION[suffix.lower()])
    return sink.getvalue()


def _kinds(domain: Domain) -> tuple[str, ...]:
    return PICTURES[:2] if domain.sound is None else SOUNDS
