"""Of a full grid over several keys: what each key does by itself, and whether two of them act together.

A main effect is a level minus the reference's level of a key, averaged over every combination of the others
within the replicate. An interaction is the difference of differences between the ends of two keys. Averages
over many trials are less noisy than arms, and there are few of them: they can be shown where arms cannot.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from . import statistics
from .comparison import LEVEL
from .summary import Run


def is_full_grid(run: Run) -> bool:
    """Whether a run's arms are every combination of the values of two keys or more."""
    if len(run.varied) < 2 or not run.definition["study"]["grid"]:
        return False
    arms = run.members.drop_duplicates("arm_index")["arm"]
    n_levels = [len({str(arm[key]) for arm in arms}) for key in run.varied]
    return len(arms) == int(np.prod(n_levels))


def effects(run: Run) -> pd.DataFrame:
    """Main effects and interactions on the primary metric; empty where the arms are no full grid.

    Columns: kind (main or interaction), effect (in words), n (replicates that have every arm), difference,
    ci_low, ci_high, interval, p (sign-flip test), p_holm (over the kind), verdict.
    """
    return _effects(run).copy()


@functools.lru_cache(maxsize=8)
def _effects(run: Run) -> pd.DataFrame:
    if not is_full_grid(run):
        return pd.DataFrame(columns=["kind", "effect", "n", "difference"])
    cells = _cells(run)
    parts = [_judged("main", _main(run, cells)), _judged("interaction", _interactions(run, cells))]
    return pd.concat(parts, ignore_index=True)


def _cells(run: Run) -> pd.DataFrame:
    """A row a replicate that has every arm, a column an arm: levels of the varied keys."""
    metric = str(run.definition["study"]["primary_metric"])
    wide = run.values[run.values["metric"] == metric].pivot_table(
        index="replicate", columns="arm_index", values="value"
    )
    arms = run.members.drop_duplicates("arm_index").set_index("arm_index")["arm"]
    wide = wide.reindex(columns=list(arms.index)).dropna()
    wide.columns = pd.MultiIndex.from_tuples([tuple(arm[k] for k in run.varied) for arm in arms], names=run.varied)
    return wide


def _reference(run: Run) -> dict[str, Any]:
    arm = run.members.loc[run.members["arm_name"] == run.reference, "arm"].iloc[0]
    return dict(arm)


def _main(run: Run, cells: pd.DataFrame) -> Iterator[tuple[str, pd.Series[float]]]:
    """What each level does against the reference's, by replicate."""
    reference = _reference(run)
    for key in run.varied:
        by_level = cells.T.groupby(level=key, sort=False).mean().T
        for level in by_level:
            if level != reference[key]:
                yield f"{key} = {level} against {reference[key]}", by_level[level] - by_level[reference[key]]


def _interactions(run: Run, cells: pd.DataFrame) -> Iterator[tuple[str, pd.Series[float]]]:
    """Of each two keys: what going from the first to the last level of both does beyond each by itself."""
    for one, other in combinations(run.varied, 2):
        by_levels = cells.T.groupby(level=[one, other]).mean().T
        (low, high), (left, right) = (_ends(by_levels, key) for key in (one, other))
        together = by_levels[high, right] - by_levels[high, left] - by_levels[low, right] + by_levels[low, left]
        yield f"{one} ({low} → {high}) x {other} ({left} → {right})", together


def _ends(by_levels: pd.DataFrame, key: str) -> tuple[Any, Any]:
    levels = by_levels.columns.get_level_values(key).unique()
    return levels[0], levels[-1]


def _judged(kind: str, found: Iterator[tuple[str, pd.Series[float]]]) -> pd.DataFrame:
    rows = []
    for effect, differences in found:
        values_n = np.asarray(differences, np.float64)
        low, high, interval = statistics.preferred(values_n) if len(values_n) else (np.nan, np.nan, "t")
        row = {"kind": kind, "effect": effect, "n": len(values_n), "ci_low": float(low)}
        row |= {"ci_high": float(high), "interval": str(interval)}
        row["difference"] = values_n.mean() if len(values_n) else np.nan
        rows.append(row | {"p": statistics.sign_flip(values_n)})
    frame = pd.DataFrame(rows)
    frame["p_holm"] = statistics.holm(frame["p"].to_numpy(float))
    least = [statistics.smallest_p(n, len(frame)) if n else 1.0 for n in frame["n"]]
    signs = np.where(frame["difference"] > 0, "higher", "lower")
    frame["verdict"] = np.where(
        np.array(least) > LEVEL, "underpowered", np.where(frame["p_holm"] <= LEVEL, signs, "none shown")
    )
    return frame
