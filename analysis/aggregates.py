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
        improvement = _improvement(scores_nT, reference_nT) if compared else (math.nan, math.nan, math.nan)
        row |= dict(zip(("improvement", "improvement_low", "improvement_high"), improvement, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def _iqm(scores_nT: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over replicates and tasks T together."""
    return statistics.iqm(scores_nT.reshape(*scores_nT.shape[:-2], -1))


def _improvement(arm_nT: NDArray[np.float64], reference_mT: NDArray[np.float64]) -> tuple[float, float, float]:
    """Averaged over tasks T, with its interval: who beats whom is known once, resamples only weigh it."""
    wins_Tnm = statistics.wins(arm_nT.T, reference_mT.T)
    n_pairs = wins_Tnm[0].size

    def averaged(arm_Rn: NDArray[np.int64], reference_Rm: NDArray[np.int64]) -> NDArray[np.float64]:
        times_Rn, times_Rm = statistics.times_drawn(arm_Rn), statistics.times_drawn(reference_Rm)
        shares_R: NDArray[np.float64] = ((times_Rn @ wins_Tnm * times_Rm).sum(-1) / n_pairs).mean(0)
        return shares_R

    low, high = statistics.percentile(averaged, [np.arange(n) for n in wins_Tnm.shape[1:]])
    return float(wins_Tnm.mean((1, 2)).mean()), low, high
