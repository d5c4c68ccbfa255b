"""Arms against the reference, in pairs: what differs, by how much, and how sure that is."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridgelab.metrics import SHARES

from . import statistics
from .summary import Run

LEVEL = 0.05
WORST = 0.0
"""What a replicate counts as whose training diverged."""
Side = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Of arms by replicate, (A, R): their values, and whether training diverged."""


def compare(run: Run) -> pd.DataFrame:
    """Each arm against the reference on the study's primary metric, a row an arm, in the order of arms.

    Arms are compared within replicates, which share base models, labels and random streams. A replicate
    that diverged has the worst accuracy that there is, 0. Columns: arm_index, arm_name, metric, n (pairs),
    n_nan (of them with a side that diverged), difference (arm - reference), ci_low, ci_high (Student t, or
    the studentized bootstrap where the differences are skewed: `interval` says which), p (sign-flip
    test), p_holm (corrected for all arms of the table), smallest_p (the least p_holm that so many pairs
    can reach) and verdict: higher, lower, none shown, underpowered, or no verdict.
    """
    return _all_compared(run).copy()


@functools.lru_cache(maxsize=8)
def _all_compared(run: Run) -> pd.DataFrame:
    metric = str(run.definition["study"]["primary_metric"])
    arms = run.members.drop_duplicates("arm_index").sort_values("arm_index")[["arm_index", "arm_name"]]
    is_reference = arms["arm_name"] == run.reference
    others = arms[~is_reference].reset_index(drop=True).assign(metric=metric)
    if others.empty:
        return pd.DataFrame()
    known = _with_diverged(run, metric)
    diverged = pd.Series(known.index.isin(_diverged(run, metric)), known.index).unstack("replicate", fill_value=False)
    values = known.unstack("replicate")
    ours, reference = (
        (np.asarray(values.reindex(index), np.float64), np.asarray(diverged.reindex(index, fill_value=False), np.bool_))
        for index in (others["arm_index"], arms.loc[is_reference, "arm_index"])
    )
    found = pd.concat([others, _compared(ours, reference)], axis=1)
    found["p_holm"] = statistics.holm(found["p"].to_numpy(float))
    n_family = int(found["p"].notna().sum())
    found["smallest_p"] = [statistics.smallest_p(n, n_family) if n else math.nan for n in found["n"]]
    found["verdict"] = [_verdict(row) for row in found.to_dict("records")]
    return found.drop(columns="bimodal")


def _with_diverged(run: Run, metric: str) -> pd.Series[float]:
    """The metric by arm_index and replicate; WORST where training diverged and the metric is a share."""
    values = run.values[run.values["metric"] == metric].set_index(["arm_index", "replicate"])["value"]
    places = _diverged(run, metric)
    with_worst: pd.Series[float] = pd.concat([values, pd.Series(WORST, index=places)]) if len(places) else values
    return with_worst


def _diverged(run: Run, metric: str) -> pd.MultiIndex:
    """Where a replicate counts as WORST: of which arm_index and replicate."""
    is_nan = (run.members["failure_class"] == "nan") & ~run.members["complete"]
    counts = is_nan & ~run.members["trial_id"].isin(list(run.excluded)) & (metric in SHARES)
    return pd.MultiIndex.from_frame(run.members.loc[counts, ["arm_index", "replicate"]])


def _compared(arms: Side, reference: Side) -> pd.DataFrame:
    """Of each arm its pairs with the reference, by replicate R; nan where there is no value."""
    (arms_AR, diverged_AR), (reference_1R, diverged_1R) = arms, reference
    place, replicate = np.nonzero(~np.isnan(arms_AR - reference_1R))
    parts = []
    for alike, pairs in statistics.stacks(place, len(arms_AR)):
        at = alike[:, None], replicate[pairs]
        ours, theirs = arms_AR[at], reference_1R[0, replicate[pairs]]
        differences = ours - theirs
        low, high, interval = statistics.preferred(differences)
        columns = {
            "n": pairs.shape[1],
            "n_nan": (diverged_AR | diverged_1R)[at].sum(-1),
            "difference": differences.mean(-1) if pairs.size else math.nan,
            "ci_low": low,
            "ci_high": high,
            "interval": interval,
            "p": statistics.sign_flip(differences),
            "bimodal": statistics.is_bimodal(ours) | statistics.is_bimodal(theirs),
        }
        parts.append(pd.DataFrame(columns, index=alike))
    return pd.concat(parts).sort_index()


def _verdict(row: dict[Any, Any]) -> str:
    if row["bimodal"]:
        return "no verdict: replicates fall into two groups"
    if row["n"] == 0 or np.isnan(row["smallest_p"]) or row["smallest_p"] > LEVEL:
        return "underpowered"
    if row["p_holm"] > LEVEL:
        return "none shown"
    return "higher" if row["difference"] > 0 else "lower"
