"""Spoken digits: the Free Spoken Digit Dataset, and the ten digits of Speech Commands (SC09).

A sample is the log-mel picture of a clip, or in the domains for a WaveGAN the clip itself. The folder of a
domain is DATA/<name>; it is read as it is.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..config import ClassifierConfig, NLabels, Preset, Side, VAEConfig
from ..errors import DataError
from ..wavegan_config import WaveGANConfig
from . import Domain, Samples, Split, stratified, unidentified, unloaded
from .clips import Clip, file_digest, read_clips, read_list, resampled, without_skipped
from .images import DESK_BRIDGE, DESK_PIXELS, FULL_BRIDGE, RECIPE, SMOKE
from .logmel import LogMel, Sound, Waves

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VALIDATION_SHARE = 1 / 8
COUNTS: tuple[NLabels, ...] = (0, 10, 100, 1_000, 10_000, "all")
FSDD_NAME = re.compile(r"([0-9])_([a-z]+)_([0-9]+)\.wav")
FSDD_TEST = range(5)
"""The official test split of FSDD: the first five recordings of each digit by each speaker."""
FSDD_BY_HAND = (
    "put the 3,000 recordings of the Free Spoken Digit Dataset "
    "(github.com/Jakobovski/free-spoken-digit-dataset) into {}/fsdd/recordings"
)
HELD_OUT_SPEAKER = "yweweler"
FSDD_RATE, SC09_RATE = 8_000, 16_000
"""Samples a second, in the files of each set."""
SC09_FOLDER = "SpeechCommands/speech_commands_v0.02"


@dataclass(frozen=True)
class Listed:
    """A clip before it is read: its file below the folder, its digit, and its split; None: train or validation."""

    name: str
    digit: int
    split: Split | None


@dataclass(frozen=True)
class Clips:
    """A domain's clips as a folder lists them."""

    name: str
    folder: Path
    listed: tuple[Listed, ...]
    sound: Sound
    recorded_rate: int
    "samples a second, in the files"

    def load(self, side: Side) -> Mapping[Split, Samples]:
        """Pictures in [0, 1] as x (N, M * F), or clips (N, T); both sides of a pair are the same data.

        Raises DataError.
        """
        return _samples(self)

    @functools.cached_property
    def sha256(self) -> str:
        """Of the clips' names, splits and bytes."""
        digest = hashlib.sha256()
        for one in self.listed:
            digest.update(f"{one.name} {one.split} ".encode() + self._digest(one))
        return digest.hexdigest()

    def _digest(self, one: Listed) -> bytes:
        path = self.folder / one.name
        return file_digest(path) if path.is_file() else hashlib.sha256().digest()

    def data_id(self, side: Side) -> str:
        return f"{self.name}/{self.sha256[:20]}/{self.sound}/splits-1"


@functools.lru_cache(maxsize=2)
def _samples(clips: Clips) -> Mapping[Split, Samples]:
    """Read once a process."""
    found = read_clips(clips.folder, [one.name for one in clips.listed], clips.recorded_rate)
    waves = {name: _at_rate(clip, clips.recorded_rate, clips.sound.rate) for name, clip in found.items()}
    x = clips.sound.of(np.stack([clips.sound.fitted(waves[one.name]) for one in clips.listed]))
    labels = np.array([one.digit for one in clips.listed], np.int64)
    parts: dict[Split, list[int]] = {split: _positions(clips, split) for split in ("validation", "test")}
    rest = _positions(clips, None)
    if parts["validation"]:
        parts["train"] = rest
    else:
        parts["validation"], parts["train"] = stratified(x, labels, rest, VALIDATION_SHARE)
    return {split: Samples(x[part], labels[part]) for split, part in parts.items()}


def _at_rate(clip: Clip, own_rate: int, rate: int) -> Clip:
    """A clip at another rate, of peak 1 as it was."""
    if own_rate == rate:
        return clip
    found = resampled(clip, own_rate, rate)
    peak: Clip = found / np.abs(found).max().clip(1e-6)
    return peak


def _positions(clips: Clips, split: Split | None) -> list[int]:
    return [i for i, one in enumerate(clips.listed) if one.split == split]


def fsdd(folder: Path, is_test: Callable[[str, int], bool]) -> tuple[Listed, ...]:
    """The clips `{digit}_{speaker}_{index}.wav` of a folder; `is_test` chooses by speaker and index."""
    listed = []
    for name in without_skipped(folder, sorted(path.name for path in folder.glob("*.wav"))):
        parts = FSDD_NAME.fullmatch(name)
        if parts is None:
            raise DataError(f"{folder / name} is not named as in 7_jackson_32.wav; rename it, or move it away")
        digit, speaker, index = parts.groups()
        listed.append(Listed(name, int(digit), "test" if is_test(speaker, int(index)) else None))
    return tuple(listed)


def speech_commands(folder: Path) -> tuple[Listed, ...]:
    """The clips of the ten digits in Speech Commands' folders, split by its own lists of files."""
    lists: Mapping[Split, str] = {"validation": "validation_list.txt", "test": "testing_list.txt"}
    splits: dict[str, Split] = {}
    for split, file in lists.items():
        if not (folder / file).is_file():
            raise DataError(f"{folder} lacks {file}; unpack the whole archive of Speech Commands there")
        splits |= dict.fromkeys(read_list(folder / file).split(), split)
    there = [f"{word}/{path.name}" for word in WORDS for path in sorted((folder / word).glob("*_nohash_*.wav"))]
    wanted = sorted({*there, *(name for name in splits if name.partition("/")[0] in WORDS)})
    return tuple(
        Listed(name, WORDS.index(name.partition("/")[0]), splits.get(name)) for name in without_skipped(folder, wanted)
    )


def _fsdd_places(data: Path) -> Iterator[Path]:
    yield data / "fsdd" / "recordings"
    yield data / "fsdd"
    yield data / "free-spoken-digit-dataset" / "recordings"


def _sc09_places(data: Path) -> Iterator[Path]:
    yield data / "sc09"
    yield data / "sc09" / SC09_FOLDER
    yield data / SC09_FOLDER


def _find_fsdd(data: Path) -> Path | None:
    return _find(_fsdd_places(data), "*.wav")


def _find_sc09(data: Path) -> Path | None:
    return _find(_sc09_places(data), "zero/*.wav")


def _find(places: Iterator[Path], pattern: str) -> Path | None:
    return next((place for place in places if place.is_dir() and next(place.glob(pattern), None)), None)


def _fsdd_at(domain: Domain, data: Path, is_test: Callable[[str, int], bool]) -> Domain:
    folder = _find_fsdd(data)
    if folder is None:
        raise DataError(f"no fsdd in {data}; {FSDD_BY_HAND.format(data)}")
    return _with_clips(domain, folder, fsdd(folder, is_test), FSDD_RATE)


def _sc09_at(domain: Domain, data: Path) -> Domain:
    folder = _find_sc09(data) or _download_sc09(data)
    return _with_clips(domain, folder, speech_commands(folder), SC09_RATE)


def _download_sc09(data: Path) -> Path:
    """Fetches Speech Commands into DATA/sc09 by torchaudio, which checks it. Raises DataError where that cannot be."""
    root, was_there = data / "sc09", (data / "sc09").exists()
    try:
        from torchaudio.datasets import SPEECHCOMMANDS

        root.mkdir(parents=True, exist_ok=True)
        SPEECHCOMMANDS(root, download=True)
    except (OSError, RuntimeError) as error:
        if not was_there:
            _remove_empty(root)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"no sc09 in {data}, and it cannot be downloaded ({reason}); unpack speech_commands_v0.02.tar.gz "
            f"into {root}, or give --data a folder that has sc09/"
        ) from None
    return root / SC09_FOLDER


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        _remove_empty(folder.parent)


def _with_clips(domain: Domain, folder: Path, listed: Sequence[Listed], recorded_rate: int) -> Domain:
    assert domain.sound is not None
    _check(folder, listed)
    clips = Clips(domain.name, folder, tuple(listed), domain.sound, recorded_rate)
    return replace(domain, load=clips.load, split_sizes=_sizes(listed), data_id=clips.data_id)


def _check(folder: Path, listed: Sequence[Listed]) -> None:
    for split in ("test", None):
        missing = set(range(10)) - {one.digit for one in listed if one.split == split}
        if missing:
            where = split or "training"
            raise DataError(
                f"{folder} has no {where} clip of the digit {min(missing)}; put a good copy of the set there"
            )


def _sizes(listed: Sequence[Listed]) -> Mapping[Split, int]:
    """Known without reading a clip: `stratified` rounds an eighth of each class."""
    n = {split: sum(one.split == split for one in listed) for split in ("validation", "test", None)}
    validation = n["validation"] or sum(
        round(sum(one.digit == digit for one in listed if one.split is None) * VALIDATION_SHARE) for digit in range(10)
    )
    return {"train": n[None] - (0 if n["validation"] else validation), "validation": validation, "test": n["test"]}


def _domain(
    name: str,
    title: str,
    sound: Sound,
    find: Callable[[Path], Path | None],
    at: Callable[[Domain, Path], Domain],
    presets: Mapping[str, Preset],
    recipes: Mapping[str, Mapping[str, float]] = MappingProxyType({"default": RECIPE}),
) -> Domain:
    return Domain(
        name=name,
        title=title,
        sample_shape=(sound.n_mels * sound.n_frames,) if isinstance(sound, LogMel) else (sound.n_samples,),
        image_shape=sound.shape if isinstance(sound, LogMel) else None,
        sound=sound,
        class_names=WORDS,
        label_counts=COUNTS,
        presets=presets,
        recipes=recipes,
        load=unloaded,
        split_sizes={},
        data_id=unidentified,
        is_in=lambda data: find(data) is not None,
        by_hand=FSDD_BY_HAND if find is _find_fsdd else None,
        at=at,
    )


def _is_official_test(speaker: str, index: int) -> bool:
    return index in FSDD_TEST


def _is_held_out(speaker: str, index: int) -> bool:
    return speaker == HELD_OUT_SPEAKER


DESK = Preset(
    vae=VAEConfig(hidden_dim=512, n_layers=2, latent_dim=32, learning_rate=1e-3, batch_size=64, n_steps=5000),
    judge=ClassifierConfig(
        kind="cnn",
        hidden_dim=128,
        pool="mean",
        noise=0.2,
        learning_rate=2e-3,
        weight_decay=1e-4,
        batch_size=64,
        n_steps=2000,
        shift=1,
    ),
    bridge=DESK_BRIDGE,
    n_replicates=8,
    pixels=DESK_PIXELS,
)
PICTURED = {
    "smoke": SMOKE,
    "desk": DESK,
    "full": Preset(vae=VAEConfig(), judge=DESK.judge, bridge=FULL_BRIDGE, n_replicates=8),
}
SMOKE_REJECTION = {"rejection.rule": "likeliest", "rejection.n_per_class": 16, "rejection.n_drawn_per_class": 40}
"""A GAN of a few steps makes one class of sound: nothing is learned from its bridges but that they run."""
DESK_REJECTION = {"rejection.n_per_class": 340, "rejection.n_drawn_per_class": 1_400, "rejection.most_draws": 200_000}


def _waves(
    smoke: WaveGANConfig, desk: WaveGANConfig, full: WaveGANConfig, full_bridge: Mapping[str, float]
) -> Mapping[str, Preset]:
    """Presets of a domain whose base model is a WaveGAN; at desk size and above, it wants a GPU."""
    return {
        "smoke": replace(SMOKE, vae=None, pixels={}, wavegan=smoke, rejection=SMOKE_REJECTION),
        "desk": replace(DESK, vae=None, pixels={}, wavegan=desk, rejection=DESK_REJECTION),
        "full": Preset(vae=None, judge=DESK.judge, bridge=full_bridge, n_replicates=8, wavegan=full),
    }


SMALL = WaveGANConfig(
    latent_dim=16, n_filters=2, n_layers=4, n_critic=1, learning_rate=1e-3, batch_size=8, n_steps=4, n_scored=64
)
MEDIUM = WaveGANConfig(latent_dim=32, n_filters=16, n_layers=4, batch_size=32, n_steps=20_000, n_scored=1_000)
LARGE = WaveGANConfig(n_filters=32, n_layers=4, n_steps=100_000)
PAPER_BRIDGE = FULL_BRIDGE | {"bridge.shared_dim": 16, "bridge.n_layers": 8, "bridge.hidden_dim": 1024}
PAPER_WEIGHTS = {"bridge.beta_kl": 0.01, "bridge.beta_swd": 3.0, "bridge.beta_cls": 0.3}
TELEPHONE = LogMel(rate=8_000, n_frames=44)
WIDE = LogMel(rate=16_000, n_frames=64, n_fft=512, hop=256)
FSDD = _domain(
    "fsdd",
    "FSDD, spoken digits",
    TELEPHONE,
    _find_fsdd,
    functools.partial(_fsdd_at, is_test=_is_official_test),
    PICTURED,
)
FSDD_SPEAKER = _domain(
    "fsdd_speaker",
    f"FSDD, tested on a speaker that was not heard ({HELD_OUT_SPEAKER})",
    TELEPHONE,
    _find_fsdd,
    functools.partial(_fsdd_at, is_test=_is_held_out),
    PICTURED,
)
SC09 = _domain("sc09", "SC09, the ten digits of Speech Commands", WIDE, _find_sc09, _sc09_at, PICTURED)
FSDD_WAVE = _domain(
    "fsdd_wave",
    "FSDD as waveforms of a WaveGAN, at 4 kHz",
    Waves(LogMel(rate=4_000, n_frames=33, n_mels=32)),
    _find_fsdd,
    functools.partial(_fsdd_at, is_test=_is_official_test),
    _waves(SMALL, MEDIUM, LARGE, FULL_BRIDGE),
)
SC09_WAVE = _domain(
    "sc09_wave",
    "SC09 as waveforms of a WaveGAN",
    Waves(LogMel(rate=16_000, n_frames=65, n_fft=512, hop=256)),
    _find_sc09,
    _sc09_at,
    _waves(replace(SMALL, n_layers=5), replace(MEDIUM, n_layers=5), WaveGANConfig(), PAPER_BRIDGE),
    recipes={"default": RECIPE, "paper": PAPER_WEIGHTS},
)
