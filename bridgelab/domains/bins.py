"""A domain under labels of the user's own: bins that samples of both domains are sorted into (`--labels bins.csv`).

The paper wants this for mappings that are a matter of taste: which clip goes with which picture. A row of
the file puts one item into one bin:

    domain,split,item,bin
    mnist,train,17,calm

`domain` is a domain of the pair, or `a` or `b` where both are one; `item` counts from 0 in its split. Items that
are in no row stay unlabelled: base models and bridges see them, judges and accuracies on labels do not.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..config import UNLABELLED, Side
from ..errors import DataError
from ..text_file import read_text
from ..user_file import UserFile
from . import SPLITS, Domain, Samples, Split, get_domain

COLUMNS = ["domain", "split", "item", "bin"]
Placed = tuple[tuple[Split, int, str], ...]
"""(split, item, bin) of a domain's labelled items."""


def read_bins(path: str | Path) -> str:
    """The text of a file of bins. Raises DataError for one that cannot be read."""
    try:
        return read_text(path)
    except ValueError as error:
        raise DataError(f"cannot read {path}: {error}; give --labels a CSV of {','.join(COLUMNS)}") from None


def described(path: str | Path, pair: tuple[Domain, Domain]) -> tuple[UserFile, UserFile]:
    """Source texts that make the two domains under the bins of a file, as workers need them. Raises DataError."""
    rows = _rows(str(path), read_bins(path), pair)
    slug = re.sub(r"[^a-z0-9]+", "_", Path(path).stem.lower()).strip("_") or "labels"
    sides: list[Placed] = [
        tuple(sorted({row[1:] for row in rows if row[0] in (name, domain.name)}))
        for name, domain in zip("ab", pair, strict=True)
    ]
    bins = [sorted({name for _, _, name in placed}) for placed in sides]
    if bins[0] != bins[1]:
        odd = sorted(set(bins[0]) ^ set(bins[1]))
        raise DataError(f"{path}: bin '{odd[0]}' has items of one domain only; give it some of the other")
    if len(bins[0]) < 2:
        raise DataError(f"{path} has {len(bins[0])} bins; a bridge needs two or more")
    for placed, domain in zip(sides, pair, strict=True):
        _check_placed(str(path), placed, domain, bins[0])
    names = [f"{domain.name}_by_{slug}" for domain in pair]
    if names[0] == names[1] and sides[0] != sides[1]:
        names = [f"{name}_{side}" for name, side in zip(names, "ab", strict=True)]
    return (_source(path, names[0], pair[0], sides[0]), _source(path, names[1], pair[1], sides[1]))


def _source(path: str | Path, name: str, domain: Domain, placed: Placed) -> UserFile:
    return UserFile(
        f"{path}:{name}",
        "from bridgelab.domains.bins import binned\n\n\n"
        f"def domain():\n    return binned({name!r}, {domain.name!r}, {placed!r})\n",
    )


def binned(name: str, of: str, placed: Placed) -> Domain:
    """The domain `of` under other labels."""
    return _binned(name, get_domain(of), placed)


def _binned(name: str, domain: Domain, placed: Placed) -> Domain:
    n_labelled = sum(split == "train" for split, _, _ in placed)
    digest = hashlib.sha256(repr(placed).encode()).hexdigest()[:20]
    bins = tuple(sorted({one for _, _, one in placed}))
    load = functools.lru_cache(maxsize=2)(functools.partial(_load, domain.load, placed, bins))
    return replace(
        domain,
        name=name,
        title=f"{domain.title}, in bins of the user's own",
        class_names=bins,
        label_counts=tuple(n for n in domain.label_counts if n == "all" or n < n_labelled),
        n_labelled=n_labelled,
        load=load,
        data_id=functools.partial(_data_id, domain.data_id, digest),
        is_in=domain.is_in,
        at=None if domain.at is None else functools.partial(_at, name, domain, placed),
    )


def _at(name: str, domain: Domain, placed: Placed, _: Domain, place: Path) -> Domain:
    assert domain.at is not None
    return _binned(name, domain.at(domain, place), placed)


def _data_id(of: Callable[[Side], str], digest: str, side: Side) -> str:
    return f"{of(side)}/bins-{digest}"


def _load(
    load: Callable[[Side], Mapping[Split, Samples]], placed: Placed, bins: tuple[str, ...], side: Side
) -> Mapping[Split, Samples]:
    found = {}
    for split, samples in load(side).items():
        labels = np.full(len(samples), UNLABELLED, np.int64)
        for of, item, name in placed:
            if of == split:
                labels[item] = bins.index(name)
        found[split] = Samples(samples.x, labels)
    return found


def _rows(path: str, text: str, pair: tuple[Domain, Domain]) -> list[tuple[str, Split, int, str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    known = {"a", "b", *(domain.name for domain in pair)}
    rows: list[tuple[str, Split, int, str]] = []
    try:
        if next(reader, None) != COLUMNS:
            raise DataError(f"{path}: the first line has to be {','.join(COLUMNS)}")
        for cells in reader:
            here = f"{path}:{reader.line_num}"
            if len(cells) != len(COLUMNS):
                raise DataError(f"{here}: {len(cells)} cells; give {','.join(COLUMNS)}")
            domain, split, item, name = (cell.strip() for cell in cells)
            if domain not in known:
                raise DataError(f"{here}: domain '{domain}' is none of the pair; give {' or '.join(sorted(known))}")
            if split not in SPLITS:
                raise DataError(f"{here}: split '{split}'; give {', '.join(SPLITS)}")
            if not re.fullmatch(r"\d{1,9}", item, re.ASCII) or not name:
                raise DataError(
                    f"{here}: item '{item}', bin '{name}'; give an item's place, from 0, and its bin's name"
                )
            rows.append((domain, split, int(item), name))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}; mend that line") from None
    return rows


def _check_placed(path: str, placed: Placed, domain: Domain, bins: list[str]) -> None:
    if domain.rule is not None or (domain.sound is not None and domain.image_shape is None):
        raise DataError(
            f"--labels {path}: {domain.name} cannot be sorted anew: its judge is a rule or draws its latents"
        )
    seen: set[tuple[Split, int]] = set()
    for split, item, _ in placed:
        if item >= domain.split_sizes[split]:
            raise DataError(f"{path}: {domain.name} has {domain.split_sizes[split]} {split} items; there is no {item}")
        if (split, item) in seen:
            raise DataError(f"{path}: {domain.name}, {split} item {item} is in two bins; leave it in one")
        seen.add((split, item))
    there = {(split, name) for split, _, name in placed}
    for split in SPLITS:
        for name in bins:
            if (split, name) not in there:
                raise DataError(f"{path}: bin '{name}' has no {split} item of {domain.name}; give it one or more")
