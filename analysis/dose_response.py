"""How accuracy goes with a number that a study varies: its trend, and the first value that is enough.

Shapes: n replicates, P places on the axis.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import statistics
from .summary import Run

TARGETS = (0.5, 0.8, 0.9, 0.95)
"""Accuracies that are asked for: which is the first value that reaches them?"""
SIZES = 1e15
"""Stands for "all" on an axis: beyond every count."""


def varies_a_number(run: Run) -> bool:
    """Whether the arms differ in one key, and that key in a number (or 'all')."""
    if len(run.varied) != 1:
        return False
    key = run.varied[0]
    values = [arm[key] for arm in run.members.drop_duplicates("arm_index")["arm"]]
    return all(not isinstance(v, bool) and (isinstance(v, (int, float)) or v == "all") for v in values)


def by_place(run: Run, metric: str) -> tuple[list[int | float | str], NDArray[np.float64]]:
    """The values of the axis in rising order, and the metric (n, P) of the replicates that have it everywhere."""
    key, arms = run.varied[0], run.members.drop_duplicates("arm_index")
    places = sorted(
        zip([arm[key] for arm in arms["arm"]], arms["arm_index"], strict=True),
        key=lambda place: SIZES if place[0] == "all" else float(place[0]),
    )
    found = run.values[run.values["metric"] == metric]
    wide = found.pivot_table(index="replicate", columns="arm_index", values="value")
    table_nP = wide.reindex(columns=[index for _, index in places]).dropna().to_numpy(np.float64)
    return [value for value, _ in places], table_nP


def trend(run: Run, metric: str = "transfer_accuracy_ab") -> dict[str, float]:
    """Page's test that accuracy rises along the axis, and that it falls: n, rises_p, falls_p (one-sided each)."""
    _, table_nP = by_place(run, metric)
    n, n_places = table_nP.shape
    if n < 2 or n_places < 3:
        return {"n": n, "rises_p": math.nan, "falls_p": math.nan}
    return {"n": n, "rises_p": statistics.page_trend(table_nP), "falls_p": statistics.page_trend(table_nP[:, ::-1])}


def first_reaching(
    run: Run, metric: str = "transfer_accuracy_ab", targets: tuple[float, ...] = TARGETS, n_resamples: int = 2_000
) -> pd.DataFrame:
    """The first value whose mean reaches each accuracy, and stays there for every later one.

    Columns: target, n (replicates), value, low, high. `value` is None where no value reaches it; low and high are the
    ends of a 95 % percentile interval over replicates (approximate), None where it goes past the last value, and for
    fewer than two replicates.
    """
    values, table_nP = by_place(run, metric)
    n, rows, columns = len(table_nP), [], ("target", "n", "value", "low", "high")
    index_Rn = np.random.default_rng(0).integers(max(1, n), size=(n_resamples, n))
    means_RP = np.stack([table_nP[index_n].mean(0) for index_n in index_Rn]) if n > 1 else table_nP
    for target in targets:
        at = int(_first(table_nP.mean(0), target)) if n else len(values)
        low = high = len(values)
        if n > 1:
            firsts_R = _first(means_RP, target)
            low, high = (int(q) for q in np.quantile(firsts_R, [0.025, 0.975], method="inverted_cdf"))
        named = [None if place == len(values) else values[place] for place in (at, low, high)]
        rows.append(dict(zip(columns, (target, n, *named), strict=True)))
    # As objects: a count stays whole beside a None.
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in columns})


def _first(means_P: NDArray[np.float64], target: float) -> NDArray[np.intp]:
    """The place from which on every mean is at least the target, along the last axis, (...); P where there is none."""
    short_P = means_P < target
    after_last = short_P.shape[-1] - short_P[..., ::-1].argmax(-1)
    return np.where(short_P.any(-1), after_last, 0)
