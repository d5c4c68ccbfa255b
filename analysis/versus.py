"""Two runs of one study: what was changed between them, and whether the results differ by more than noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bridgelab.errors import InvalidValueError

from . import statistics
from .comparison import LEVEL
from .summary import Run

NOT_COMPARED = ("arms", "command", "study")
"""Of a definition: ids of arms follow from the settings, and words are no change."""


def changes(a: Run, b: Run) -> list[tuple[str, Any, Any]]:
    """(key, of a, of b) of every setting in which two runs differ; dotted keys."""
    flat = [dict(_flat({k: v for k, v in run.definition.items() if k not in NOT_COMPARED})) for run in (a, b)]
    arms = [set(run.members["arm_name"].astype(str)) for run in (a, b)]
    keys = dict.fromkeys((*flat[0], *flat[1]))
    found = [(key, flat[0].get(key), flat[1].get(key)) for key in keys if flat[0].get(key) != flat[1].get(key)]
    if arms[0] != arms[1]:
        only_a, only_b = (", ".join(sorted(mine - other)) or "-" for mine, other in (arms, arms[::-1]))
        found.append(("arms of one run only", only_a, only_b))
    return found


def versus(a: Run, b: Run) -> pd.DataFrame:
    """Each arm that both runs have, b minus a on a's primary metric, a row an arm, paired by replicate.

    Columns: arm_name, metric, n (pairs), mean_a, mean_b, difference, ci_low, ci_high, interval, p
    (sign-flip test), p_holm (over the arms), verdict: higher, lower, none shown, underpowered. Raises
    InvalidValueError for runs of different studies.
    """
    if a.study != b.study:
        raise InvalidValueError(f"{a.study} and {b.study} are two studies; give two runs of one, by their ids")
    metric = str(a.definition["study"]["primary_metric"])
    ours, theirs = (_values(run, metric) for run in (a, b))
    rows = [_row(name, metric, ours[name], theirs[name]) for name in ours if name in theirs]
    found = pd.DataFrame(rows)
    if found.empty:
        return found
    found["p_holm"] = statistics.holm(found["p"].to_numpy(float))
    found["verdict"] = [_verdict(row, len(found)) for row in found.to_dict("records")]
    return found


def _values(run: Run, metric: str) -> dict[str, pd.Series[float]]:
    names = run.members.drop_duplicates("arm_index").set_index("arm_index")["arm_name"].astype(str)
    found = run.values[run.values["metric"] == metric]
    return {names[index]: of.set_index("replicate")["value"] for index, of in found.groupby("arm_index")}


def _row(name: str, metric: str, of_a: pd.Series[float], of_b: pd.Series[float]) -> dict[str, Any]:
    both = pd.concat([of_a, of_b], axis=1, join="inner", keys=["a", "b"]).sort_index()
    differences_n = (both["b"] - both["a"]).to_numpy(np.float64)
    low, high, interval = statistics.preferred(differences_n) if len(both) else (np.nan, np.nan, "t")
    return {
        "arm_name": name,
        "metric": metric,
        "n": len(both),
        "mean_a": both["a"].mean(),
        "mean_b": both["b"].mean(),
        "difference": differences_n.mean() if len(both) else np.nan,
        "ci_low": float(low),
        "ci_high": float(high),
        "interval": str(interval),
        "p": statistics.sign_flip(differences_n),
    }


def _verdict(row: Mapping[Any, Any], n_family: int) -> str:
    if row["n"] == 0 or statistics.smallest_p(row["n"], n_family) > LEVEL:
        return "underpowered"
    if row["p_holm"] > LEVEL:
        return "none shown"
    return "higher" if row["difference"] > 0 else "lower"


def pairs_of(runs: Sequence[Run]) -> Iterator[tuple[Run, Run]]:
    """Runs of one study that stand beside each other, each with the one before it."""
    for place, run in enumerate(runs):
        before = [other for other in runs[:place] if other.study == run.study and other.study_id != run.study_id]
        if before:
            yield before[-1], run


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
