"""Clips of sound from files. A clip that cannot be used is named, and nothing is left out in silence."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..text_file import read_text

SKIP_LIST = "skip.txt"
"""In a folder of clips: the names of those that its owner leaves out, one a line."""
N_NAMED = 3
SOUNDS = (".wav", ".flac", ".ogg")
FORMATS = ("WAV", "WAVEX", "FLAC", "OGG")
MOST_BYTES = 256 << 20
MOST_NUMBERS = 50_000_000
"""Of all channels: a quarter of an hour of music."""
MOST_RATE = 1_000_000
MOST_OF_A_FILTER = 4_000_000
"""Numbers of the filter that brings one rate to another, but for a factor."""
WINDOW_S, QUIET_DB = 0.01, 40.0
"""Windows so much quieter than the loudest, at both ends of a clip, are silence."""

Clip = NDArray[np.float32]


def read_clip(path: Path) -> tuple[Clip, int]:
    """A file's sound, its channels averaged, peak 1, and its rate in samples a second.

    Raises DataError for a file that is missing, empty, cut off or not audio.
    """
    reason, clip, rate = _read(path)
    if reason is not None:
        raise DataError(f"{path} {reason}; give a WAV, FLAC or OGG file that plays")
    return clip, rate


def read_sounding(path: Path, rate: int) -> Clip:
    """A file's sound at a rate, without the silence before and after it."""
    clip, own_rate = read_clip(path)
    window = max(1, int(WINDOW_S * own_rate))
    n = -(-len(clip) // window)
    filled = np.zeros(n * window, np.float32)
    filled[: len(clip)] = clip
    power = np.square(filled.reshape(n, window)).mean(1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-QUIET_DB / 10))
    try:
        return resampled(clip[loud[0] * window : (loud[-1] + 1) * window], own_rate, rate)
    except DataError as error:
        raise DataError(f"{path} {error}") from None


def resampled(clip: Clip, own_rate: int, rate: int) -> Clip:
    """A sound at another rate. Raises DataError for a rate from which there is no short way to that one."""
    if own_rate == rate:
        return clip
    if (
        own_rate < 1
        or len(clip) * rate // own_rate > MOST_NUMBERS
        or own_rate * rate // math.gcd(own_rate, rate) ** 2 > MOST_OF_A_FILTER
    ):
        raise DataError(f"has {own_rate:,} samples a second, and cannot be brought to {rate:,}; give it at {rate:,}")
    import torch
    from torchaudio.functional import resample

    found: Clip = resample(torch.from_numpy(clip.copy()), own_rate, rate).numpy()
    return found


def sound_bytes(clip: Clip, rate: int, suffix: str = ".wav") -> bytes:
    """A clip as a 16-bit file."""
    import soundfile

    sink = io.BytesIO()
    soundfile.write(sink, clip, rate, format=suffix.lstrip(".").upper(), subtype=None if suffix == ".ogg" else "PCM_16")
    return sink.getvalue()


def read_clips(folder: Path, names: Sequence[str], rate: int) -> dict[str, Clip]:
    """The clips of some files of a folder, by name. Raises DataError that names those that cannot be used."""
    found: dict[str, Clip] = {}
    faults: dict[str, str] = {}
    for name in names:
        reason, clip, own_rate = _read(folder / name)
        if reason is None and own_rate != rate:
            reason = f"has {own_rate:,} samples a second, not {rate:,}"
        if reason is None:
            found[name] = clip
        else:
            faults[name] = reason
    if faults:
        raise DataError(_complaint(folder, len(names), faults))
    return found


def without_skipped(folder: Path, names: Iterable[str]) -> list[str]:
    """The names that the folder's skip list does not have. Raises DataError for a line that names no clip."""
    names, path = list(names), folder / SKIP_LIST
    if not path.is_file():
        return names
    skipped = [line.strip() for line in read_list(path).splitlines() if line.strip()]
    unknown = [name for name in skipped if name not in set(names)]
    if unknown:
        raise DataError(f"{path} names {unknown[0]}, which is no clip of {folder}; take the line out")
    return [name for name in names if name not in set(skipped)]


def file_digest(path: Path) -> bytes:
    """The sha256 of a file. Raises DataError for one that cannot be read, or that no clip or picture is as large as."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES >> 20} MiB; make it smaller")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; make it readable") from None


def read_list(path: Path) -> str:
    """The text of a list of files. Raises DataError."""
    try:
        return read_text(path)
    except ValueError as error:
        raise DataError(f"cannot read {path}: {error}; put a good copy in its place") from None


def _complaint(folder: Path, n_clips: int, faults: Mapping[str, str]) -> str:
    named = ", ".join(f"{name} {reason}" for name, reason in list(faults.items())[:N_NAMED])
    more = f" and {len(faults) - N_NAMED:,} more" if len(faults) > N_NAMED else ""
    return (
        f"{len(faults):,} of the {n_clips:,} clips in {folder} cannot be used: {named}{more}; "
        f"mend them, or leave them out by their names in {folder / SKIP_LIST}, one a line"
    )


def _read(path: Path) -> tuple[str | None, Clip, int]:
    """Why a file cannot be used or None, its sound and its rate."""
    import soundfile

    nothing = np.zeros(0, np.float32)
    if not path.is_file():
        return "is missing", nothing, 0
    if path.stat().st_size == 0:
        return "is empty", nothing, 0
    if _is_cut_off(path):
        return "is cut off", nothing, 0
    try:
        with soundfile.SoundFile(path) as file:
            if file.format not in FORMATS:
                return f"is of the format {file.format}", nothing, 0
            if not 0 <= file.frames * file.channels <= MOST_NUMBERS:
                return "is too long", nothing, 0
            if file.samplerate > MOST_RATE:
                return f"has {file.samplerate:,} samples a second", nothing, 0
            frames, rate = file.read(dtype="float32", always_2d=True), file.samplerate
    except (soundfile.SoundFileError, OSError, ValueError):
        return "is not audio", nothing, 0
    with np.errstate(over="ignore", invalid="ignore"):
        clip = frames.mean(axis=1, dtype=np.float32)
    peak = float(np.abs(clip).max()) if len(clip) else 0.0
    if not np.isfinite(peak) or peak == 0:
        return "is silent", nothing, 0
    return None, clip / np.float32(peak), rate


def _is_cut_off(path: Path) -> bool:
    """Whether a RIFF file is shorter than its header says; libsndfile reads what is left of it without a word."""
    with path.open("rb") as file:
        header = file.read(8)
    declared = int.from_bytes(header[4:8], "little")
    return header[:4] == b"RIFF" and 0 < declared < 0xFFFFFFFF and path.stat().st_size < declared + 8
