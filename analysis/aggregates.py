"""Aggregates that hold where a few replicates are far off: the interquartile mean, and how often an arm wins."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import statistics
from .export import scores
from .summary import Run


def aggregate(run: Run) -> pd.DataFrame:
    """Of each arm over both directions, as rliable defines them; a row an arm.

    Columns: arm_name, n, iqm (the mean of the middle half of all scores), iqm_low, iqm_high, improvement (how
    often a replicate of the arm beats one of the reference, averaged over directions; nan for the reference),
    improvement_low, improvement_high. Intervals are 95 % percentile bootstrap over replicates: approximate.
    """
    by_arm = scores(run)
    reference_nT = by_arm.get(run.reference, np.empty((0, 2)))
    rows = []
    for name, scores_nT in by_arm.items():
        row = {"arm_name": name, "n": len(scores_nT)}
        row["iqm"] = float(_iqm(scores_nT)) if len(scores_nT) else math.nan
        row["iqm_low"], row["iqm_high"] = statistics.percentile(_iqm, [scores_nT])
        compared = name != run.reference and len(scores_nT) and len(reference_nT)
        row["improvement"] = float(_improvement(scores_nT, reference_nT)) if compared else math.nan
        ends = statistics.percentile(_improvement, [scores_nT, reference_nT]) if compared else (math.nan, math.nan)
        row["improvement_low"], row["improvement_high"] = ends
        rows.append(row)
    return pd.DataFrame(rows)


def _iqm(scores_nT: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over replicates and tasks T together."""
    return statistics.iqm(scores_nT.reshape(*scores_nT.shape[:-2], -1))


def _improvement(arm_nT: NDArray[np.float64], reference_mT: NDArray[np.float64]) -> NDArray[np.float64]:
    """Averaged over tasks T."""
    arm_Tn, reference_Tm = np.swapaxes(arm_nT, -1, -2), np.swapaxes(reference_mT, -1, -2)
    averaged: NDArray[np.float64] = statistics.probability_of_improvement(arm_Tn, reference_Tm).mean(-1)
    return averaged
