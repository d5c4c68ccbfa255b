"""From a lab's Parquet to what is known of each arm: n, mean and interval. DataFrame in, DataFrame out."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bridgelab.catalog import looks_at, members_of
from bridgelab.declarations import brought_in, excluded, frozen
from bridgelab.lab import Lab
from bridgelab.metrics import FRECHET, LANDING, METRIC_VERSION, METRICS, PATHS, SHARES
from bridgelab.results import Results
from bridgelab.study import Selection

from . import statistics


@dataclass(frozen=True, eq=False)
class Run:
    """One resolved study as the lab has it."""

    study: str
    study_id: str
    pair: str
    preset: str
    recipe: str
    definition: Mapping[str, Any]
    members: pd.DataFrame
    "a row a trial: arm_index, arm_name, arm (a dict), role, replicate, trial_id, and what `trials` says of it"
    values: pd.DataFrame
    "a row a trial and metric on the test split: arm_index, replicate, trial_id, metric, value, n_eval, other"
    looks: tuple[int, ...]
    "the numbers of replicates that it has had in turn"
    excluded: Mapping[str, Mapping[str, Any]]
    "trial_id -> when and why, of its trials that are left out"
    frozen: Mapping[str, Any] | None
    "its plan, where that was fixed"
    brought_in: Sequence[Mapping[str, Any]]
    "numbers from elsewhere that stand beside its own"
    lab: Lab = field(repr=False)
    "where it was read from, and its predictions are"

    @property
    def reference(self) -> str:
        """The arm that the others are compared with."""
        return str(self.members.loc[self.members["role"] == "reference", "arm_name"].iloc[0])

    @property
    def varied(self) -> list[str]:
        """The keys that vary."""
        return list(self.members["arm"].iloc[0])


def read_run(lab: str | Lab, study: str, *, selection: Selection | None = None, study_id: str | None = None) -> Run:
    """A run of a study: the one of `study_id`, or else the latest one that agrees with the selection.

    Raises LabError where the lab has no such run.
    """
    lab = Lab.of(lab)
    results = Results(lab)
    members = _frame(members_of(lab, study, selection, study_id))
    latest = members.sort_values("planned_at").iloc[-1]
    members = _with_trials(members, results)
    trial_ids = set(members["trial_id"])
    left_out = {trial_id: row for trial_id, row in excluded(lab).items() if trial_id in trial_ids}
    return Run(
        study=str(latest["study"]),
        study_id=str(latest["study_id"]),
        pair=str(latest["pair"]),
        preset=str(latest["preset"]),
        recipe=str(latest["recipe"]),
        definition=json.loads(latest["definition"]),
        members=members,
        values=_values(members[~members["trial_id"].isin(list(left_out))], results),
        looks=looks_at(lab, str(latest["study_id"])),
        excluded=left_out,
        frozen=frozen(lab, str(latest["study_id"])),
        brought_in=brought_in(lab, str(latest["study"]), str(latest["pair"])),
        lab=lab,
    )


def summarize(run: Run) -> pd.DataFrame:
    """What is known of each arm, a row an arm and metric, in the order of arms and METRICS.

    Columns: arm_index, arm_name, metric, n (replicates with a value), n_base (distinct pairs of base
    models among them), n_planned, n_nan (replicates that diverged), n_eval (test items), mean, sd,
    ci_low, ci_high (Student t, 95 %), interval, interval_low, interval_high (the one to read: t, or
    studentized where the replicates are skewed), median, bimodal (they fall into two groups, and no
    interval says so), base_low, base_high (Student t over base models, where replicates share them and
    there are enough), decode, and mean_other_decode, the mean from samples where `decode` is mean, and
    the other way round.
    """
    return _summarized(run).copy()


@functools.lru_cache(maxsize=8)
def _summarized(run: Run) -> pd.DataFrame:
    """Worked out once a run: a report asks for it at every turn."""
    members, rows, measured = run.members, [], set(run.values["metric"])
    trials = members.drop_duplicates("trial_id").set_index("trial_id")
    bases = trials["base_a"].astype(str) + "+" + trials["base_b"].astype(str)
    by_place = dict(list(run.values.groupby(["arm_index", "metric"])))
    none = run.values.iloc[:0]
    for (index, name), planned in members.groupby(["arm_index", "arm_name"], sort=True, observed=True):
        for metric in (*METRICS, *(name for name in (*LANDING, *FRECHET, *PATHS) if name in measured)):
            found = by_place.get((index, metric), none)
            bounds = (0.0, 1.0) if metric in SHARES else (-math.inf, math.inf)
            base = bases.reindex(found["trial_id"])
            n_eval = int(found["n_eval"].iloc[0]) if len(found) else 0
            counts = {"n": len(found), "n_base": base.nunique(), "n_planned": len(planned), "n_eval": n_eval}
            counts["n_nan"] = int((planned["failure_class"] == "nan").sum())
            decode = {"decode": planned["decode"].iloc[0], "mean_other_decode": float(found["other"].mean())}
            known = _known(found["value"], base, bounds)
            rows.append({"arm_index": index, "arm_name": name, "metric": metric, **counts, **known, **decode})
    return pd.DataFrame(rows)


def _known(values: pd.Series[float], base: pd.Series[str], bounds: tuple[float, float]) -> dict[str, Any]:
    """Of an arm and metric: its mean with every interval of it."""
    values_n = np.asarray(values, np.float64)
    mean, sd, low, high = student_t(values, bounds)
    to_read = statistics.preferred(values_n)
    n_base = base.nunique()
    by_base = values.groupby(base.to_numpy()).mean() if statistics.ENOUGH_LEVELS <= n_base < len(values) else values[:0]
    _, _, base_low, base_high = student_t(by_base, bounds)
    return {
        "mean": mean,
        "sd": sd,
        "ci_low": low,
        "ci_high": high,
        "interval": to_read[2],
        "interval_low": max(bounds[0], to_read[0]),
        "interval_high": min(bounds[1], to_read[1]),
        "median": float(values.median()) if len(values) else math.nan,
        "bimodal": statistics.is_bimodal(values_n) and bounds == (0.0, 1.0),
        "base_low": base_low,
        "base_high": base_high,
    }


def student_t(
    values: pd.Series[float], bounds: tuple[float, float] = (0.0, 1.0), level: float = 0.95
) -> tuple[float, float, float, float]:
    """Mean, standard deviation and the ends of Student's interval of the mean; nan where n is too small.

    The interval ends at the bounds of what is measured, which takes nothing from its coverage.
    """
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    if n < 2:
        return mean, math.nan, math.nan, math.nan
    low, high = statistics.student_t(np.asarray(values, np.float64), level)
    return mean, float(values.std(ddof=1)), max(bounds[0], float(low)), min(bounds[1], float(high))


def _with_trials(members: pd.DataFrame, results: Results) -> pd.DataFrame:
    """The members with the row of `trials` that speaks for each: its COMPLETE attempt, else its latest."""
    trials = _frame(results.read("trials", where=pc.field("trial_id").isin(members["trial_id"].unique())))
    trials["complete"] = trials["state"] == "COMPLETE"
    trials = trials.sort_values(["complete", "attempt"]).drop_duplicates("trial_id", keep="last")
    joined = members.merge(trials, on="trial_id", how="left", validate="many_to_one")
    joined["arm"] = joined["arm"].map(json.loads)
    return joined


def _values(members: pd.DataFrame, results: Results) -> pd.DataFrame:
    complete = members[members["complete"].fillna(False).astype(bool)]
    where = (pc.field("split") == "test") & pc.field("trial_id").isin(complete["trial_id"].unique())
    where &= pc.field("metric_version") == METRIC_VERSION
    metrics = _frame(results.read("metrics", where=where)).dropna(subset="value")  # a GAN reconstructs nothing
    key = ["trial_id", "metric", "judge_id", "decode"]
    metrics = metrics.sort_values("attempt").drop_duplicates(key, keep="last")[[*key, "value", "n_eval"]]
    swapped = metrics["decode"].map({"mean": "sample", "sample": "mean"})
    others = metrics.assign(decode=swapped).rename(columns={"value": "other"}).drop(columns="n_eval")
    wanted = complete[["arm_index", "replicate", "trial_id", "judge_id", "decode"]]
    joined = wanted.merge(metrics, on=["trial_id", "judge_id", "decode"]).merge(others, on=key, how="left")
    return joined[["arm_index", "replicate", "trial_id", "metric", "value", "n_eval", "other"]]


def _frame(rows: pa.Table) -> pd.DataFrame:
    """Rows with plain columns: names that repeat are stored as dictionaries."""
    plain = [pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in rows.schema]
    frame: pd.DataFrame = rows.cast(pa.schema(plain)).to_pandas()
    return frame
