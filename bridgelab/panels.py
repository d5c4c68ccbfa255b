"""Panels: what a bridge does with a few test items, encoded as pictures, clips or points, for the report.

lab/panels/<trial_id>.parquet has the same items for every arm: the first of each class, and two ways between items
(Figs. 3 to 7). Shapes: N items, X sample.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import latents, media
from .config import SIDES, UNLABELLED, Side, other
from .domains import Domain, Samples
from .domains.clips import sound_bytes
from .lab import Lab
from .latents import Latents
from .passage import Land, Passage, open_passage
from .results import PANEL
from .specs import ModelSpec
from .trial import load_spec

N_STEPS = 7
N_POINTS = 150
"""Of a class, where samples are points."""
WITHIN, BETWEEN = 3, 8
"""The interpolations go from one item of the first of these classes to another one, and to one of the second."""

X = NDArray[np.float32]
Kind = Literal["transfer", "within", "between"]


@dataclass(frozen=True)
class Shown:
    """One sample in a panel."""

    kind: Kind
    direction: str
    row: str
    "original (of a sample), source (after the base), reconstructed, transferred; of a way: source, target, transferred"
    place: int
    "from the left"
    true_class: str
    "of the item that it comes from; empty between items"
    judged_class: str
    medium: str
    "png, wav or points (x and y as float32)"
    data: bytes


def make(lab: Lab, samples: Mapping[Side, Samples], trial_ids: Iterable[str]) -> None:
    """Publishes the panels of some trials of a pair, whose bridges the lab has, from the test samples of both sides."""
    for trial_id in trial_ids:
        spec = load_spec(lab, trial_id)
        bases: Mapping[Side, ModelSpec] = {"a": spec.base_a, "b": spec.base_b}
        drawn = {side: latents.read(lab, b.latents_id)["test"] for side, b in bases.items() if b.drawn is not None}
        shown = list(panel(open_passage(trial_id, lab), {**samples, **drawn}))
        columns = pa.Table.from_pylist([asdict(one) for one in shown], schema=PANEL)
        sink = io.BytesIO()
        pq.write_table(columns, sink, compression="zstd")
        lab.publish(f"panels/{trial_id}.parquet", sink.getvalue())


def panel(passage: Passage, items: Mapping[Side, Samples | Latents]) -> Iterator[Shown]:
    """What a bridge does with the first test item of each class, both ways, and on the way between items.

    Where a base model cannot encode, the items are latents, which have no original.
    """
    for source in SIDES:
        here, own = passage.lands[source], items[source]
        if here.domain.sample_shape == (2,) and isinstance(own, Samples):
            yield from _points(passage, own, source)
        if here.domain.picture_shape is None:
            continue
        yield from _transfers(passage, own, source)
        yield from _ways(passage, own, source)


def _latents_of(land: Land, items: Samples | Latents, rows: list[int]) -> Tensor:
    """(N, D), of some items."""
    return torch.from_numpy(items.mu[rows]) if isinstance(items, Latents) else land.encode(items.x[rows])


def _transfers(passage: Passage, items: Samples | Latents, source: Side) -> Iterator[Shown]:
    here, there = passage.lands[source], passage.lands[other(source)]
    labels_N = items.labels
    first = [int(np.flatnonzero(labels_N == c)[0]) for c in np.unique(labels_N[labels_N != UNLABELLED])]
    z_ND = _latents_of(here, items, first)
    original = {"original": (here, items.x[first])} if isinstance(items, Samples) else {}
    rows = original | {
        "source": (here, here.decode(z_ND)),
        "reconstructed": (here, here.decode(passage.reconstruct(z_ND, source))),
        "transferred": (there, there.decode(passage.send(z_ND, source))),
    }
    names = [here.domain.class_names[c] for c in labels_N[first]]
    for row, (land, samples_NX) in rows.items():
        yield from _row("transfer", source + other(source), row, land, samples_NX, names, heard=True)


def _ways(passage: Passage, samples: Samples | Latents, source: Side) -> Iterator[Shown]:
    here, there = passage.lands[source], passage.lands[other(source)]
    n_classes = len(here.domain.class_names)
    items = [np.flatnonzero(samples.labels == c % n_classes) for c in (WITHIN, BETWEEN)]
    ends: dict[Kind, tuple[int, int]] = {"within": (items[0][0], items[0][1]), "between": (items[0][0], items[1][0])}
    for kind, pair in ends.items():
        rows = passage.interpolate_latents(_latents_of(here, samples, list(pair)), source, N_STEPS)
        for row, land, x_NX in zip(("source", "target", "transferred"), (here, there, there), rows, strict=True):
            yield from _row(kind, source + other(source), row, land, x_NX, [""] * N_STEPS, heard=False)


def _row(
    kind: Kind, direction: str, row: str, land: Land, x_NX: X, true_classes: list[str], heard: bool
) -> Iterator[Shown]:
    """Samples as pictures, and those that are heard as clips too."""
    judged = land.names(x_NX)
    clips = land.domain.sound.clips(x_NX) if heard and land.domain.sound is not None else None
    for i, picture in enumerate(land.domain.pictures(x_NX)):
        common = (kind, direction, row, i, true_classes[i], judged[i])
        yield Shown(*common, "png", _picture(picture, land.domain))
        if clips is not None:
            assert land.domain.sound is not None
            yield Shown(*common, "wav", sound_bytes(clips[i], land.domain.sound.rate))


def _picture(x_X: X, domain: Domain) -> bytes:
    """A sample's own pixels; of a sound, low tones at the bottom."""
    assert domain.picture_shape is not None
    picture = x_X.reshape(domain.picture_shape)
    return media.picture_bytes(picture if domain.sound is None else picture[::-1], scale=1)


def _points(passage: Passage, samples: Samples, source: Side) -> Iterator[Shown]:
    here, there = passage.lands[source], passage.lands[other(source)]
    for c, name in enumerate(here.domain.class_names):
        x_NX = samples.x[samples.labels == c][:N_POINTS]
        z_ND = here.encode(x_NX)
        with torch.inference_mode():
            sent_NX = there.decode(passage.send(z_ND, source))
        for row, points_N2 in (("source", x_NX), ("transferred", sent_NX)):
            data = np.ascontiguousarray(points_N2, "<f4").tobytes()
            yield Shown("transfer", source + other(source), row, c, name, "", "points", data)
