"""Pictures from files as grey values. Shapes: H rows, W columns."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
"""A file is read as one of these whatever its name says: to read some others, Pillow starts programs."""
MOST_PIXELS = 50_000_000
FAINT = 0.15
"""Less than this of the brightest is background."""

Grey = NDArray[np.float32]
"""(H, W), 0 black to 1 white."""


def read_grey(path: Path) -> Grey:
    """A picture as grey values, what is transparent as white paper. Raises DataError where there is none."""
    from PIL import Image

    if not path.is_file():
        raise DataError(f"{path} is missing; give a picture that exists")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a picture that is large, or not quite whole
            with Image.open(path, formats=FORMATS) as image:
                if not 0 < image.width * image.height <= MOST_PIXELS:
                    raise DataError(f"{path} has {image.width}x{image.height} pixels; make it smaller")
                whole = image.convert("RGBA")
    except DataError:
        raise
    except Exception as error:  # of a damaged file a decoder raises anything
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
    room = (shape[0] - 2 * margin, shape[1] - 2 * margin)
    factor = min(room[0] / drawn.shape[0], room[1] / drawn.shape[1])
    height, width = (max(1, round(side * factor)) for side in drawn.shape)
    small = resized(drawn, (height, width))
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


def resized(grey_HW: Grey, shape: tuple[int, int]) -> Grey:
    """A picture of other size, in [0, 1]: of fewer pixels, each is the mean of those that it covers."""
    from PIL import Image

    method = Image.Resampling.BOX if shape[0] < grey_HW.shape[0] else Image.Resampling.BILINEAR
    small = Image.fromarray(grey_HW.astype(np.float32)).resize((shape[1], shape[0]), method)
    return np.clip(np.asarray(small, np.float32), 0, 1)
