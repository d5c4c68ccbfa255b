"""Where the spread of replicates comes from, in a study whose base models, label draws and bridge seeds are crossed.

A random-effects analysis of variance of the balanced design: main effects of each source, and the rest,
which holds their interactions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridgelab.replicates import SOURCES, Crossed

from . import statistics
from .summary import Run

NAMES = {"base": "base models", "label": "label draw", "bridge": "bridge seed", "rest": "interactions and the rest"}


def design(run: Run) -> Crossed | None:
    """How a run's seeds are crossed; None where replicates are one index."""
    found = run.definition.get("crossed")
    return None if found is None else Crossed(**found)


def split_variance(run: Run, metric: str = "transfer_accuracy_ab") -> pd.DataFrame:
    """Components of variance of each arm, a row an arm and source; empty where seeds are not crossed.

    Columns: arm_index, arm_name, source, n_levels, variance, sd, share (of the sum), ci_low, ci_high (95 %,
    of the variance, Williams and Tukey; nan for a source with fewer than 4 levels, of which nothing can be
    said elsewhere). Arms in which a cell is missing are left out.
    """
    crossed = design(run)
    columns = ["arm_index", "arm_name", "source", "n_levels", "variance", "sd", "share", "ci_low", "ci_high"]
    if crossed is None:
        return pd.DataFrame(columns=columns)
    names = run.members.drop_duplicates("arm_index").set_index("arm_index")["arm_name"].astype(str)
    rows = []
    for arm_index, found in run.values[run.values["metric"] == metric].groupby("arm_index"):
        values = found.drop_duplicates("replicate").sort_values("replicate")
        if len(values) == crossed.n:
            cells = values["value"].to_numpy(np.float64).reshape(crossed.base, crossed.label, crossed.bridge)
            for row in _components(cells):
                rows.append({"arm_index": arm_index, "arm_name": names[arm_index], **row})
    return pd.DataFrame(rows, columns=columns)


def _components(cells: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Of values by (base, label, bridge): a row a source, and one for the rest."""
    mean, n = float(cells.mean()), cells.size
    freedoms = [levels - 1 for levels in cells.shape]
    squares = [n / cells.shape[axis] * float(((_means(cells, axis) - mean) ** 2).sum()) for axis in range(3)]
    error_freedom = n - 1 - sum(freedoms)
    error_ss = max(0.0, float(((cells - mean) ** 2).sum()) - sum(squares))
    error_ms = error_ss / error_freedom if error_freedom else math.nan
    found = []
    for source, levels, freedom, square in zip(SOURCES, cells.shape, freedoms, squares, strict=True):
        known = (math.nan, math.nan, math.nan)
        if freedom and error_freedom:
            known = statistics.variance_of(square, freedom, n / levels, error_ms, error_freedom)
        found.append((source, levels, *known))
    found.append(("rest", n, error_ms, math.nan, math.nan))
    total = float(np.nansum([variance for _, _, variance, _, _ in found]))
    return [
        {
            "source": source,
            "n_levels": levels,
            "variance": variance,
            "sd": math.sqrt(variance),
            "share": variance / total if total else math.nan,
            "ci_low": low,
            "ci_high": high,
        }
        for source, levels, variance, low, high in found
    ]


def _means(cells: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Of each level of a source."""
    means: NDArray[np.float64] = cells.mean(axis=tuple(other for other in range(3) if other != axis))
    return means
