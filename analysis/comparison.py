"""Arms against the reference, in pairs: what differs, by how much, and how sure that is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from . import statistics
from .summary import Run

LEVEL = 0.05
SKEWED = 1.0
"""Beyond this skewness of the differences the studentized interval is the one to read."""


def compare(run: Run) -> pd.DataFrame:
    """Each arm against the reference on the study's primary metric, a row an arm, in the order of arms.

    Arms are compared within replicates, which share base models, labels and random streams. Columns:
    arm_index, arm_name, metric, n (pairs), difference (arm - reference), ci_low, ci_high (Student t, or
    the studentized bootstrap where the differences are skewed: `interval` says which), p (exact sign-flip
    test), p_holm (corrected for all arms of the table), smallest_p (the least p_holm that so many pairs
    can reach) and verdict: higher, lower, none shown, underpowered, or no verdict.
    """
    metric = str(run.definition["study"]["primary_metric"])
    values = run.values[run.values["metric"] == metric].set_index(["arm_index", "replicate"])["value"]
    arms = run.members.drop_duplicates("arm_index").sort_values("arm_index")
    reference_index = int(arms.loc[arms["arm_name"] == run.reference, "arm_index"].iloc[0])
    reference = _of(values, reference_index)
    others = arms[arms["arm_index"] != reference_index]
    rows = [
        {"arm_index": index, "arm_name": name, "metric": metric, **_compared(_of(values, int(index)), reference)}
        for index, name in zip(others["arm_index"], others["arm_name"].astype(str), strict=True)
    ]
    found = pd.DataFrame(rows)
    if found.empty:
        return found
    found["p_holm"] = statistics.holm(found["p"].to_numpy(float))
    n_family = int(found["p"].notna().sum())
    found["smallest_p"] = [statistics.smallest_p(n, n_family) if n else math.nan for n in found["n"]]
    found["verdict"] = [_verdict(row) for row in found.to_dict("records")]
    return found.drop(columns="bimodal")


def _of(values: pd.Series[float], arm_index: int) -> pd.Series[float]:
    return values[values.index.get_level_values(0) == arm_index].droplevel(0)


def _compared(arm: pd.Series[float], reference: pd.Series[float]) -> dict[str, Any]:
    both = pd.concat([arm, reference], axis=1, join="inner", keys=["arm", "reference"]).sort_index()
    differences = (both["arm"] - both["reference"]).to_numpy(float)
    skewed = abs(statistics.skewness(differences)) > SKEWED if len(differences) > 2 else False
    low, high = (statistics.studentized if skewed else statistics.student_t)(differences)
    return {
        "n": len(differences),
        "difference": float(differences.mean()) if len(differences) else math.nan,
        "ci_low": float(low),
        "ci_high": float(high),
        "interval": "studentized" if skewed else "t",
        "p": statistics.sign_flip(differences),
        "bimodal": any(statistics.is_bimodal(both[side].to_numpy(float)) for side in both)
        if len(differences)
        else False,
    }


def _verdict(row: dict[Any, Any]) -> str:
    if row["bimodal"]:
        return "no verdict: replicates fall into two groups"
    if row["n"] == 0 or np.isnan(row["smallest_p"]) or row["smallest_p"] > LEVEL:
        return "underpowered"
    if row["p_holm"] > LEVEL:
        return "none shown"
    return "higher" if row["difference"] > 0 else "lower"
