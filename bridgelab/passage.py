"""A trained bridge and all that it stands between, by its trial's id: samples in on one side, out on the other.

Shapes: N items, X sample, D latent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import media
from .base_models import Generator, Judge, checkpoint, with_encoder
from .base_models.fit import UNFIT
from .bridge.transfer import between
from .config import PIXEL_SYSTEMS, SIDES, Side, other
from .domains import Domain, get_domain
from .domains.clips import sound_bytes
from .domains.pictures import PICTURES
from .errors import DataError, InvalidValueError, LabError
from .lab import Lab
from .results import begins_as
from .specs import TrialSpec
from .systems import Way, ways
from .trial import load_bridge, load_spec

X = NDArray[np.float32]
MOST_STEPS = 64


@dataclass(frozen=True)
class Land:
    """A side of a bridge: its domain, and the frozen models of it."""

    domain: Domain
    base: Generator
    judge: Judge

    @torch.inference_mode()
    def encode(self, x_NX: X) -> Tensor:
        """The means of q(z|x), (N, D). Raises InvalidValueError where the base model cannot encode."""
        return with_encoder(self.base, self.domain).encode(torch.from_numpy(np.ascontiguousarray(x_NX, np.float32)))[0]

    @torch.inference_mode()
    def decode(self, z_ND: Tensor) -> X:
        samples: X = self.base.decode(z_ND).numpy()
        return samples

    @torch.inference_mode()
    def names(self, x_NX: X) -> list[str]:
        """What the judge takes each sample for."""
        classes = self.judge.classify(torch.from_numpy(np.ascontiguousarray(x_NX, np.float32)))
        return [self.domain.class_names[c] for c in classes.tolist()]


@dataclass(frozen=True)
class Passage:
    """A bridge that can be crossed both ways."""

    way: Way
    "of one bridge"
    n_shared: int
    lands: dict[Side, Land]

    def transfer(self, x_NX: X, source: Side) -> X:
        """Samples of the other side (N, X) for samples of the side `source`, by the means of both posteriors."""
        return self.lands[other(source)].decode(self.send(self.lands[source].encode(x_NX), source))

    def send(self, z_ND: Tensor, source: Side) -> Tensor:
        """Latents of the other side for latents of the side `source`."""
        noise_KNS = z_ND.new_zeros(1, len(z_ND), self.n_shared)
        return self.way(z_ND[None], noise_KNS, SIDES.index(source)).transferred[0]

    def reconstruct(self, z_ND: Tensor, source: Side) -> Tensor:
        """Latents of the side `source` after the way through the bridge and back to it."""
        noise_KNS = z_ND.new_zeros(1, len(z_ND), self.n_shared)
        return self.way(z_ND[None], noise_KNS, SIDES.index(source)).reconstructed[0]

    def interpolate(self, ends_2X: X, source: Side, n_steps: int) -> tuple[X, X, X]:
        """The three rows of Figs. 5 and 6, each (n_steps, X): on the way from one sample to another

        in the source's latent space; in the target's, between the transferred ends; and every point of the
        first row, transferred.
        """
        return self.interpolate_latents(self.lands[source].encode(ends_2X), source, n_steps)

    def interpolate_latents(self, ends_2D: Tensor, source: Side, n_steps: int) -> tuple[X, X, X]:
        """`interpolate` between two latents."""
        here, there = self.lands[source], self.lands[other(source)]
        way_ND = between(ends_2D[0], ends_2D[1], n_steps)
        arrived_2D = self.send(ends_2D, source)
        there_ND = between(arrived_2D[0], arrived_2D[1], n_steps)
        return here.decode(way_ND), there.decode(there_ND), there.decode(self.send(way_ND, source))


def open_passage(trial_id: str, lab: str | Lab) -> Passage:
    """The bridge of a trial with its base models and judges; the beginning of its id is enough.

    Raises LabError for what the lab does not have.
    """
    lab = Lab.of(lab)
    found = begins_as(trial_id, (name.removesuffix(".safetensors") for name in lab.names("bridges")))
    if len(found) != 1:
        what = "no bridge of a trial" if not found else f"{len(found)} bridges of trials"
        raise LabError(f"{lab.location} has {what} '{trial_id}'; `bridgelab show STUDY` lists those of a study")
    (trial_id,) = found
    spec = load_spec(lab, trial_id)
    a, b = (get_domain(base.domain) for base in (spec.base_a, spec.base_b))
    lands: dict[Side, Land] = {
        "a": Land(a, checkpoint.load_base_model(lab, spec.base_a, a), checkpoint.load_judge(lab, spec.judge_a, a, "a")),
        "b": Land(b, checkpoint.load_base_model(lab, spec.base_b, b), checkpoint.load_judge(lab, spec.judge_b, b, "b")),
    }
    weights = load_bridge(lab, trial_id)
    try:
        _check_sizes(spec, weights)
        way = ways([spec], [weights], len(a.class_names))
    except UNFIT:
        path = lab.show(f"bridges/{trial_id}.safetensors")
        raise LabError(f"{path} does not hold the bridge of its name; remove it and run again") from None
    return Passage(way, spec.settings.bridge.shared_dim, lands)


def _check_sizes(spec: TrialSpec, weights: Mapping[str, Tensor]) -> None:
    """Raises ValueError where a trial speaks of more numbers than its tensors have: they would take any memory."""
    bridge, pixels = spec.settings.bridge, spec.settings.pixels
    n_layers, least = {
        "bridge": (
            bridge.n_layers,
            bridge.hidden_dim * max(bridge.shared_dim, bridge.hidden_dim * (bridge.n_layers - 1)),
        ),
        **dict.fromkeys(PIXEL_SYSTEMS, (pixels.n_blocks, pixels.n_filters**2)),
    }.get(spec.settings.system, (0, 0))
    if n_layers > len(weights) or least > sum(tensor.numel() for tensor in weights.values()):
        raise ValueError("its tensors are too few")


@dataclass(frozen=True)
class Sent:
    """A file that went across, and what the judges take both ends for."""

    source: Path
    target: Path
    source_class: str
    target_class: str


def transfer(
    trial_id: str, source: str | Path, output: str | Path, *, lab: str | Lab, reverse: bool = False, scale: int = 8
) -> list[Sent]:
    """Sends a picture or a sound across a trained bridge into the file `output`; of a folder, each one.

    A sound enters on the side that has sounds and a picture on the other one; between two of a kind the
    way is a to b, or with `reverse` b to a. Raises LabError, DataError or InvalidValueError, and then
    nothing is written.
    """
    passage, pairs = open_passage(trial_id, lab), _files(Path(source), Path(output))
    side = _side(passage, [path for path, _ in pairs], reverse)
    here, there = passage.lands[side], passage.lands[other(side)]
    x_NX = np.stack([_read(path, here.domain) for path, _ in pairs])
    sent_NX = passage.transfer(x_NX, side)
    targets = [path.with_suffix(path.suffix or media.suffix_of(there.domain)) for _, path in pairs]
    files = [media.as_file(path, x_X, there.domain, scale) for path, x_X in zip(targets, sent_NX, strict=True)]
    _write(dict(zip(targets, files, strict=True)))
    names = zip(here.names(x_NX), there.names(sent_NX), strict=True)
    return [Sent(path, to, *both) for (path, _), to, both in zip(pairs, targets, names, strict=True)]


def interpolate(
    trial_id: str,
    ends: tuple[str | Path, str | Path],
    output: str | Path,
    *,
    lab: str | Lab,
    reverse: bool = False,
    n_steps: int = 9,
    scale: int = 3,
) -> dict[str, list[str]]:
    """Draws the three rows of Figs. 5 and 6 between two files into a picture; sounds also beside it, as WAV files.

    Returns the judges' class of every step in each row.
    """
    if not 2 <= n_steps <= MOST_STEPS:
        raise InvalidValueError(f"--steps {n_steps}: give 2 to {MOST_STEPS}")
    passage, paths, picture = open_passage(trial_id, lab), [Path(end) for end in ends], Path(output)
    if picture.suffix.lower() not in PICTURES:
        raise InvalidValueError(f"-o {output}: the rows are a picture; name it .png")
    side = _side(passage, paths, reverse)
    here, there = passage.lands[side], passage.lands[other(side)]
    rows = passage.interpolate(np.stack([_read(path, here.domain) for path in paths]), side, n_steps)
    named = dict(zip(("source", "target", "transferred"), zip(rows, (here, there, there), strict=True), strict=True))
    files = {picture: media.picture_bytes(_sheet([_strip(x_NX, land) for x_NX, land in named.values()]), scale)}
    for name, (x_NX, land) in named.items():
        if land.domain.sound is not None:
            for i, clip in enumerate(land.domain.sound.clips(x_NX)):
                files[picture.with_name(f"{picture.stem}-{name}-{i}.wav")] = sound_bytes(clip, land.domain.sound.rate)
    _write(files)
    return {name: land.names(x_NX) for name, (x_NX, land) in named.items()}


def _files(source: Path, output: Path) -> list[tuple[Path, Path]]:
    """What goes in and what comes out of it; an output without a suffix gets the domain's."""
    if not source.is_dir():
        return [(source, output)]
    found = sorted(path for path in source.iterdir() if media.is_medium(path))
    if not found:
        raise DataError(f"{source} has no picture and no sound; put some there")
    if len({path.stem for path in found}) < len(found):
        raise InvalidValueError(f"{source} has two files of one name but for the suffix; rename one")
    if output.exists() and not output.is_dir():
        raise InvalidValueError(f"-o {output} is a file; {source} is a folder and needs one to go to")
    return [(path, output / path.stem) for path in found]


def _side(passage: Passage, paths: Sequence[Path], reverse: bool) -> Side:
    """The side on which files enter."""
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} is missing; give a file or a folder that exists")
    hears: dict[bool, Side] = {passage.lands[side].domain.sound is not None: side for side in SIDES}
    if len(hears) == 1:
        return "b" if reverse else "a"
    kinds = {media.is_sound(path) for path in paths}
    if len(kinds) > 1:
        raise InvalidValueError("sounds and pictures enter on different sides; give one kind at a time")
    return hears[kinds.pop()]


def _read(path: Path, domain: Domain) -> X:
    try:
        return media.read_sample(path, domain)
    except DataError as error:
        raise error if str(path) in str(error) else DataError(f"{path}: {error}") from None


def _write(files: dict[Path, bytes]) -> None:
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise InvalidValueError(f"cannot write {path}: {error.strerror}; give -o another place") from None


def _strip(x_NX: X, land: Land) -> X:
    """Samples side by side, low tones at the bottom."""
    if land.domain.picture_shape is None:
        raise InvalidValueError(f"{land.domain.name} has no pictures to draw")
    pictures = land.domain.pictures(x_NX).reshape(-1, *land.domain.picture_shape)
    pictures = pictures if land.domain.sound is None else pictures[:, ::-1]
    return np.concatenate([np.pad(picture, 1, constant_values=0.5) for picture in pictures], axis=1)


def _sheet(strips: Sequence[X]) -> X:
    """Strips one below the other, each from the left."""
    width = max(strip.shape[1] for strip in strips)
    return np.concatenate([np.pad(s, ((0, 0), (0, width - s.shape[1])), constant_values=1.0) for s in strips])
