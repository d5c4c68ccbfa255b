"""What the stored predictions say without training anything again: which class becomes which, and how evenly.

Shapes: C classes, n replicates.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

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
    return _classes(run, metric).groupby(keys, observed=True).size().rename("count").reset_index()


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


def _classes(run: Run, metric: str) -> pd.DataFrame:
    """arm_index, replicate, source, transferred of every test item of every trial with a value."""
    trials = run.values.loc[run.values["metric"] == metric, ["arm_index", "replicate", "trial_id"]]
    decode = run.members.drop_duplicates(["arm_index"]).set_index("arm_index")["decode"].astype(str)
    where: Any = pc.field("trial_id").isin(trials["trial_id"].unique()) & (pc.field("split") == "test")
    where &= pc.field("direction") == WAYS[metric]
    rows = Results(run.lab).read("predictions", where=where)
    columns = ["trial_id", "attempt", "decode", "judge_id", "source", "transferred"]
    frame: pd.DataFrame = rows.select(columns).to_pandas()
    frame = frame.astype({"trial_id": str, "decode": str, "judge_id": str})
    frame = frame[frame["attempt"] == frame.groupby("trial_id")["attempt"].transform("max")]
    judges = run.members.drop_duplicates("arm_index").set_index("arm_index")["judge_id"].astype(str)
    wanted = trials.assign(decode=trials["arm_index"].map(decode), judge_id=trials["arm_index"].map(judges))
    return wanted.merge(frame, on=["trial_id", "decode", "judge_id"])[
        ["arm_index", "replicate", "source", "transferred"]
    ]
