"""Files of a user's own as samples of a domain, and samples as files: pictures (PNG, JPEG) and sounds (WAV, FLAC).

Shapes: H rows, W columns, X sample.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .domains import Domain
from .domains.clips import Clip, read_clip
from .errors import DataError, InvalidValueError

SOUNDS = (".wav", ".flac", ".ogg")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
MOST_PIXELS = 50_000_000
FAINT = 0.15
"""Less than this of the brightest is background."""
WINDOW_S, QUIET_DB = 0.01, 40.0
"""Windows so much quieter than the loudest, at both ends of a clip, are silence."""

Grey = NDArray[np.float32]
"""(H, W), 0 black to 1 white."""


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
        heard_1T = domain.sound.fitted(_sounding(path, domain.sound.rate))[None]
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


def sound_bytes(clip: Clip, rate: int, suffix: str = ".wav") -> bytes:
    """A clip as a 16-bit file."""
    import soundfile

    sink = io.BytesIO()
    soundfile.write(sink, clip, rate, format=suffix.lstrip(".").upper(), subtype=None if suffix == ".ogg" else "PCM_16")
    return sink.getvalue()


def picture_bytes(grey_HW: Grey, scale: int, suffix: str = ".png") -> bytes:
    """A picture whose pixels are `scale` times as large."""
    from PIL import Image

    Image.init()
    sink = io.BytesIO()
    pixels = np.rint(np.clip(grey_HW, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1)).save(sink, Image.EXTENSION[suffix.lower()])
    return sink.getvalue()


def read_grey(path: Path) -> Grey:
    """A picture as grey values, what is transparent as white paper. Raises DataError where there is none."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise DataError(f"{path} is missing; give a picture that exists")
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"{path} has {image.width}x{image.height} pixels; make it smaller")
            whole = image.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        reason = "empty" if path.stat().st_size == 0 else f"no picture that can be read ({type(error).__name__})"
        raise DataError(f"{path} is {reason}; give a PNG or JPEG file") from None
    paper = Image.new("RGBA", whole.size, "white")
    return np.asarray(Image.alpha_composite(paper, whole).convert("L"), np.float32) / np.float32(255)


def as_sample(grey_HW: Grey, shape: tuple[int, int], margin: int) -> Grey:
    """What is drawn in a picture, light on dark, of the domain's shape.

    A picture of just that shape on dark ground is taken as it is. Any other is turned to light on dark if its
    border is light, cut to what is drawn, brought to the size that leaves `margin` pixels, and laid with its
    centre of mass in the middle, as MNIST's were. Raises DataError for a picture of one grey.
    """
    border = np.concatenate([grey_HW[0], grey_HW[-1], grey_HW[:, 0], grey_HW[:, -1]])
    light = float(np.median(border)) > 0.5
    if grey_HW.shape == shape and not light:
        return grey_HW
    ink = 1 - grey_HW if light else grey_HW
    ink = ink - float(np.median(1 - border if light else border))
    peak = float(ink.max())
    if peak < 0.05:
        raise DataError("nothing is drawn in it: it has one grey all over; give a picture with some contrast")
    ink = np.clip(ink / peak, 0, 1)
    rows, columns = (np.flatnonzero((ink > FAINT).any(axis)) for axis in (1, 0))
    drawn = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _laid(drawn, shape, margin)


def _laid(drawn: Grey, shape: tuple[int, int], margin: int) -> Grey:
    from PIL import Image

    room = (shape[0] - 2 * margin, shape[1] - 2 * margin)
    factor = min(room[0] / drawn.shape[0], room[1] / drawn.shape[1])
    height, width = (max(1, round(side * factor)) for side in drawn.shape)
    method = Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR
    small = np.asarray(Image.fromarray(drawn.astype(np.float32)).resize((width, height), method), np.float32)
    small = np.clip(small / np.float32(max(float(small.max()), 1e-6)), 0, 1)
    weight = small / small.sum()
    middle = (weight.sum(1) @ np.arange(height), weight.sum(0) @ np.arange(width))
    corner = [
        int(np.clip(round((whole - 1) / 2 - at), 0, whole - part)) if margin else (whole - part) // 2
        for whole, part, at in zip(shape, small.shape, middle, strict=True)
    ]
    laid = np.zeros(shape, np.float32)
    laid[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = small
    return laid


def _sounding(path: Path, rate: int) -> Clip:
    """A file's sound at a rate, without the silence before and after it."""
    clip, own_rate = read_clip(path)
    window = max(1, int(WINDOW_S * own_rate))
    n = -(-len(clip) // window)
    filled = np.zeros(n * window, np.float32)
    filled[: len(clip)] = clip
    power = np.square(filled.reshape(n, window)).mean(1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-QUIET_DB / 10))
    kept = clip[loud[0] * window : (loud[-1] + 1) * window]
    if own_rate == rate:
        return kept
    import torch
    from torchaudio.functional import resample

    resampled: Clip = resample(torch.from_numpy(kept.copy()), own_rate, rate).numpy()
    return resampled


def _kinds(domain: Domain) -> tuple[str, ...]:
    return PICTURES[:2] if domain.sound is None else SOUNDS
