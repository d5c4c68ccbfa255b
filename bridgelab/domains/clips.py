"""Clips of sound from files. A clip that cannot be used is named, and nothing is left out in silence."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

SKIP_LIST = "skip.txt"
"""In a folder of clips: the names of those that its owner leaves out, one a line."""
N_NAMED = 3
SOUNDS = (".wav", ".flac", ".ogg")
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
    return resampled(clip[loud[0] * window : (loud[-1] + 1) * window], own_rate, rate)


def resampled(clip: Clip, own_rate: int, rate: int) -> Clip:
    """A sound at another rate."""
    if own_rate == rate:
        return clip
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
    skipped = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    unknown = [name for name in skipped if name not in set(names)]
    if unknown:
        raise DataError(f"{path} names {unknown[0]}, which is no clip of {folder}; take the line out")
    return [name for name in names if name not in set(skipped)]


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
        frames, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError):
        return "is not audio", nothing, 0
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
