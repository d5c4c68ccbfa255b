"""Ours beside the paper's: for each published number, an interval that such a comparison may use, and a verdict.

Shapes: n replicates, m test items.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import paper, statistics
from .predictions import read_predictions
from .summary import Run

MARGIN = 0.02
"""Fixed beforehand: so far from the paper's number counts as the same."""

RIGHT = {
    "transfer_accuracy": ("source", "transferred"),
    "bridge_reconstruction_accuracy": ("original", "reconstructed"),
}
"""Of a metric without its direction: the two classes that agree where an item is right."""


def replicate(run: Run) -> pd.DataFrame:
    """Each published number with ours, a row an arm and metric, in the order of arms.

    Columns: arm_index, arm_name, metric, n, m, mean, ci_low, ci_high (95 %, over replicates and test
    items), paper, paper_error (its own standard error), verdict: replicated where our 90 % interval lies
    within MARGIN of the paper's number, higher or lower where the 95 % interval lies outside, else
    inconclusive. Empty where the paper has nothing to compare with.
    """
    return _replicated(run).copy()


@functools.lru_cache(maxsize=8)
def _replicated(run: Run) -> pd.DataFrame:
    return pd.DataFrame(list(_rows(run)))


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    arms = run.members.drop_duplicates("arm_index").sort_values("arm_index")
    for arm in arms.to_dict("records"):
        for prefix in RIGHT:
            for metric in (f"{prefix}_{way}" for way in ("ab", "ba", "a", "b")):
                number = paper.published(run.study, run.pair, str(arm["arm_name"]), arm["arm"], metric)
                if number is not None:
                    yield {
                        "arm_index": arm["arm_index"],
                        "arm_name": str(arm["arm_name"]),
                        "metric": metric,
                        **_compared(run, arm, prefix, metric, number),
                    }


def _compared(run: Run, arm: dict[Any, Any], prefix: str, metric: str, number: float) -> dict[str, Any]:
    found = run.values[(run.values["arm_index"] == arm["arm_index"]) & (run.values["metric"] == metric)]
    values_n = found["value"].to_numpy(float)
    items_m = item_means(run, int(arm["arm_index"]), prefix, metric)
    narrow, wide = (_share(statistics.over_items(values_n, items_m, level)) for level in (0.90, 0.95))
    return {
        "n": len(values_n),
        "m": len(items_m),
        "mean": float(values_n.mean()) if len(values_n) else math.nan,
        "ci_low": wide[0],
        "ci_high": wide[1],
        "paper": number,
        "paper_error": math.sqrt(number * (1 - number) / paper.N_EVALUATED),
        "verdict": _verdict(values_n, narrow, wide, number),
    }


def _share(interval: tuple[float, float]) -> tuple[float, float]:
    """An interval of accuracies, which lie between 0 and 1."""
    low, high = np.clip(interval, 0.0, 1.0)
    return float(low), float(high)


def _verdict(
    values_n: NDArray[np.float64], narrow: tuple[float, float], wide: tuple[float, float], number: float
) -> str:
    if len(values_n) == 0:
        return "not run"
    if statistics.is_bimodal(values_n):
        return "no verdict: replicates fall into two groups"
    if math.isnan(wide[0]):
        return f"inconclusive: {'one replicate' if len(values_n) == 1 else 'predictions of test items are missing'}"
    if narrow[0] >= number - MARGIN and narrow[1] <= number + MARGIN:
        return "replicated"
    if wide[0] > number + MARGIN:
        return "higher"
    return "lower" if wide[1] < number - MARGIN else "inconclusive"


def item_means(run: Run, arm_index: int, prefix: str, metric: str) -> NDArray[np.float64]:
    """How often each test item was right over an arm's replicates, (m,), from the stored predictions."""
    way = metric.removeprefix(f"{prefix}_")
    rows = read_predictions(run)
    rows = rows[(rows["arm_index"] == arm_index) & (rows["direction"] == {"a": "ab", "b": "ba"}.get(way, way))]
    one, other = RIGHT[prefix]
    right = (rows[one] == rows[other]).astype(float)
    return np.asarray(right.groupby(rows["item"]).mean(), np.float64)
