"""What the stored predictions say without training anything again: which class becomes which, and how evenly.

Shapes: C classes, n replicates.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridgelab.columns import Where
from bridgelab.results import Results

from .summary import Run

WAYS = {"transfer_accuracy_ab": "ab", "transfer_accuracy_ba": "ba"}
"""Metric -> direction."""


def confusion(run: Run, metric: str = "transfer_accuracy_ab") -> pd.DataFrame:
    """How often the judges saw class s in the source and class t after transfer, over all test items.

    A row an arm, replicate, s and t, with column `count`; classes are those of side a, as the class map
    has it. Pairs that never occurred are left out.
    """
    return _counted(run, metric).copy()


@functools.lru_cache(maxsize=4)
def _counted(run: Run, metric: str) -> pd.DataFrame:
    """Read once a run: a report asks for it more than once."""
    keys = ["arm_index", "replicate", "source", "transferred"]
    rows = read_predictions(run)
    of_way = rows[rows["direction"] == WAYS[metric]]
    return of_way.groupby(keys, observed=True).size().rename("count").reset_index()


def matrix(counts: pd.DataFrame, n_classes: int) -> NDArray[np.float64]:
    """Of some rows of `confusion` the shares (C, C) of each source class that became each class; rows add to 1."""
    counts_CC = np.zeros((n_classes, n_classes))
    np.add.at(counts_CC, (counts["source"].to_numpy(int), counts["transferred"].to_numpy(int)), counts["count"])
    total_C1 = counts_CC.sum(1, keepdims=True)
    shares_CC: NDArray[np.float64] = np.divide(counts_CC, total_C1, out=np.zeros_like(counts_CC), where=total_C1 > 0)
    return shares_CC


def per_class(run: Run, metric: str = "transfer_accuracy_ab") -> pd.DataFrame:
    """Transfer accuracy by source class: arm_index, source, n (replicates), mean, lowest, highest over replicates."""
    counts = confusion(run, metric)
    counts["right"] = counts["count"].where(counts["source"] == counts["transferred"], 0)
    by_replicate = counts.groupby(["arm_index", "replicate", "source"])[["right", "count"]].sum()
    accuracy = by_replicate["right"] / by_replicate["count"]
    found = accuracy.groupby(["arm_index", "source"]).agg(["count", "mean", "min", "max"])
    return found.rename(columns={"count": "n", "min": "lowest", "max": "highest"}).reset_index()


def relabelled(run: Run, metric: str = "transfer_accuracy_ab") -> pd.DataFrame:
    """Transfer accuracy after the best one-to-one renaming of the transferred classes, a row an arm and replicate.

    Columns: arm_index, replicate, accuracy, relabelled. A map that permutes classes has a low accuracy and
    a high one after renaming; one that collapses is low in both. The names are chosen on the same items, so
    that with few classes even noise gains a little.
    """
    from scipy.optimize import linear_sum_assignment  # loaded where it is needed: that takes a while

    rows = []
    for (arm_index, replicate), counts in confusion(run, metric).groupby(["arm_index", "replicate"]):
        n_classes = int(counts[["source", "transferred"]].to_numpy().max()) + 1
        counts_CC = np.zeros((n_classes, n_classes))
        np.add.at(counts_CC, (counts["source"].to_numpy(int), counts["transferred"].to_numpy(int)), counts["count"])
        best = linear_sum_assignment(counts_CC, maximize=True)
        whole = counts_CC.sum()
        shares = {"accuracy": np.trace(counts_CC) / whole, "relabelled": counts_CC[best].sum() / whole}
        rows.append({"arm_index": arm_index, "replicate": replicate, **shares})
    return pd.DataFrame(rows, columns=["arm_index", "replicate", "accuracy", "relabelled"])


@functools.lru_cache(maxsize=2)
def read_predictions(run: Run) -> pd.DataFrame:
    """The predictions on test behind a run's table, a row an arm, replicate, direction and item; read once a run.

    Columns: arm_index, replicate, trial_id, direction, item, original, source, transferred, reconstructed (classes).
    """
    trials = run.values[["arm_index", "replicate", "trial_id"]].drop_duplicates()
    shown = run.members.drop_duplicates("arm_index").set_index("arm_index")[["decode", "judge_id"]].astype(str)
    trials = trials.merge(shown, left_on="arm_index", right_index=True)
    where: Where = {"trial_id": list(trials["trial_id"]), "split": ["test"], "decode": list(trials["decode"])}
    classes = ["original", "source", "transferred", "reconstructed"]
    keys = ["trial_id", "attempt", "judge_id", "decode", "direction", "item"]
    frame: pd.DataFrame = Results(run.lab).read_columns("predictions", [*keys, *classes], where=where).to_pandas()
    latest = frame["attempt"] == frame.groupby("trial_id", observed=True)["attempt"].transform("max")
    frame = frame[latest].astype({name: "string" for name in ("trial_id", "judge_id", "decode", "direction")})
    found = trials.merge(frame, on=["trial_id", "decode", "judge_id"])
    return found[["arm_index", "replicate", "trial_id", "direction", "item", *classes]]
