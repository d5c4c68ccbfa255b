"""From a lab's Parquet to what is known of each arm: n, mean and interval. DataFrame in, DataFrame out."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bridgelab import strict_json
from bridgelab.catalog import OF_A_RUN, looks_at, members_of
from bridgelab.columns import last_of_each
from bridgelab.declarations import brought_in, excluded, frozen
from bridgelab.errors import LabError
from bridgelab.lab import Lab
from bridgelab.metrics import FRECHET, LANDING, METRICS, PATHS, SHARES
from bridgelab.results import SCHEMAS, Results
from bridgelab.study import Selection

from . import statistics
from .measured import values_of
from .statistics import Floats

MOST_TIMES_AS_MANY, FEW = 8, 4_096
"""Arms times replicates are at most so many times the members of a run: some of its parts may be damaged."""
OF_A_MEMBER = ["arm_index", "arm_name", "arm", "role", "replicate", "trial_id", "judge_id", "decode"]
OF_A_TRIAL = [name for name in SCHEMAS["trials"].names if name != "config"]
"""What a run knows of each of its trials: of `trials` everything but the long config."""


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
    "a row a trial: OF_A_MEMBER and OF_A_TRIAL, arm as a dict"
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

    @functools.cached_property
    def reference(self) -> str:
        """The arm that the others are compared with."""
        return str(self.members.loc[self.members["role"] == "reference", "arm_name"].iloc[0])

    @property
    def varied(self) -> list[str]:
        """The keys that vary."""
        return list(self.members["arm"].iloc[0])


def read_run(lab: str | Lab, study: str, *, selection: Selection | None = None, study_id: str | None = None) -> Run:
    """A run of a study: the one of `study_id`, or else the latest one that agrees with the selection.

    Raises NoRunError where the lab has no such run, and LabError where it cannot be read.
    """
    lab = Lab.of(lab)
    results = Results(lab)
    planned = members_of(lab, study, selection, study_id)
    latest = planned.select(OF_A_RUN).sort_by("planned_at").slice(len(planned) - 1).to_pylist()[0]
    members = _with_trials(planned.select(OF_A_MEMBER), results)
    definition = strict_json.mapping(latest["definition"])
    _check_whole(lab, study, members, definition["study"])
    declared = excluded(lab)
    is_out = members["trial_id"].isin(list(declared))
    out = set(members["trial_id"][is_out])
    return Run(
        study=latest["study"],
        study_id=latest["study_id"],
        pair=latest["pair"],
        preset=latest["preset"],
        recipe=latest["recipe"],
        definition=definition,
        members=members,
        values=values_of(members[members["complete"] & ~is_out], results),
        looks=looks_at(lab, latest["study_id"]),
        excluded={trial_id: row for trial_id, row in declared.items() if trial_id in out},
        frozen=frozen(lab, latest["study_id"]),
        brought_in=brought_in(lab, latest["study"], latest["pair"]),
        lab=lab,
    )


def _check_whole(lab: Lab, study: str, members: pd.DataFrame, told: Mapping[str, Any]) -> None:
    """Raises LabError where members are not those of one study: every arm in every replicate, against a reference."""
    n_arms, n_replicates = members["arm_index"].nunique(), int(members["replicate"].max()) + 1
    by_arm = members.groupby("arm_index", observed=True)[["arm_name", "decode"]]
    alike = by_arm.nunique(dropna=False).to_numpy().max() == 1
    names = members["arm_name"].astype(str)
    is_whole = (
        alike
        and names.nunique() == n_arms
        and all(name in set(names) for name in [*told["ladder"], *told["leave_one_out"].values()])
        and len({frozenset(arm) for arm in members["arm"]}) == 1
        and (members["role"] == "reference").any()
        and n_arms * n_replicates <= MOST_TIMES_AS_MANY * len(members) + FEW
    )
    if not is_whole:
        raise LabError(f"{lab.show('results/members')} has rows of '{study}' that are no study's; remove that part")


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


COLUMNS = (
    *("arm_index", "arm_name", "metric", "n", "n_base", "n_planned", "n_eval", "n_nan", "mean", "sd"),
    *("ci_low", "ci_high", "interval", "interval_low", "interval_high", "median", "bimodal"),
    *("base_low", "base_high", "decode", "mean_other_decode"),
)


@functools.lru_cache(maxsize=8)
def _summarized(run: Run) -> pd.DataFrame:
    """Worked out once a run: a report asks for it at every turn."""
    arms, rows = _arms(run.members), run.values
    measured = set(rows["metric"].unique())
    metrics = [*METRICS, *(name for name in (*LANDING, *FRECHET, *PATHS) if name in measured)]
    kinds = rows["metric"].cat.set_categories(metrics).cat.codes.to_numpy()
    rows, kinds = rows[kinds >= 0], kinds[kinds >= 0]
    arm = np.searchsorted(arms["arm_index"], rows["arm_index"])
    base = _bases(run.members)[arm, rows["replicate"]]
    value, other, n_eval = (rows[name].to_numpy() for name in ("value", "other", "n_eval"))
    parts = []
    for cells, found in statistics.stacks(arm * len(metrics) + kinds, len(arms) * len(metrics)):
        is_share = np.isin(np.array(metrics)[cells % len(metrics)], list(SHARES))
        known = _known(value[found], base[found], is_share)
        known["n_eval"] = n_eval[found[:, :1]].sum(-1)  # of the first one; 0 where there is none
        known["mean_other_decode"] = _mean_of_known(other[found])
        parts.append(pd.DataFrame(known, index=cells))
    each = arms.merge(pd.Series(metrics, name="metric"), how="cross").join(pd.concat(parts))
    return each[list(COLUMNS)]


def _arms(members: pd.DataFrame) -> pd.DataFrame:
    """In their order: arm_index, arm_name, n_planned, n_nan, decode."""
    is_nan = members["failure_class"] == "nan"
    by_arm = members.assign(is_nan=is_nan).groupby(["arm_index", "arm_name"], sort=True, observed=True)
    counted = by_arm.agg(n_planned=("trial_id", "size"), n_nan=("is_nan", "sum"))
    first = members.drop_duplicates(["arm_index", "arm_name"]).set_index(["arm_index", "arm_name"])["decode"]
    return counted.join(first).reset_index()


def _bases(members: pd.DataFrame) -> NDArray[np.int64]:
    """A number for the pair of base models of each arm in each replicate, (A, R), in the order of their ids."""
    pairs = members.groupby(["base_a", "base_b"], dropna=False, observed=True).ngroup()
    arms, places = np.unique(members["arm_index"], return_inverse=True)
    bases_AR = np.full((len(arms), int(members["replicate"].max()) + 1), -1)
    bases_AR[places, members["replicate"]] = pairs
    return bases_AR


def _known(values_Cn: Floats, base_Cn: NDArray[np.int64], is_share_C: NDArray[np.bool_]) -> dict[str, Any]:
    """Of cells C with equally many values n: the mean of each with every interval of it."""
    n = values_Cn.shape[-1]
    bounds = np.where(is_share_C, 0.0, -math.inf), np.where(is_share_C, 1.0, math.inf)
    mean, sd, low, high = student_t(values_Cn, bounds)
    to_read = statistics.preferred(values_Cn)
    n_base = (np.diff(np.sort(base_Cn), prepend=-2) != 0).sum(-1)
    share_them = (n_base >= statistics.ENOUGH_LEVELS) & (n_base < n)
    base_low, base_high = np.full((2, len(values_Cn)), math.nan)
    base_low[share_them], base_high[share_them] = _over_bases(values_Cn[share_them], base_Cn[share_them])
    return {
        "n": n,
        "n_base": n_base,
        "mean": mean,
        "sd": sd,
        "ci_low": low,
        "ci_high": high,
        "interval": to_read[2],
        "interval_low": np.fmax(bounds[0], to_read[0]),
        "interval_high": np.fmin(bounds[1], to_read[1]),
        "median": np.median(values_Cn, axis=-1) if n else math.nan,
        "bimodal": statistics.is_bimodal(values_Cn) & is_share_C,
        "base_low": np.maximum(bounds[0], base_low),
        "base_high": np.minimum(bounds[1], base_high),
    }


def _over_bases(values_Cn: Floats, base_Cn: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The ends of Student's interval over the means of each pair of base models, of cells C, (C,)."""
    low, high = np.empty((2, len(values_Cn)))
    cells = np.repeat(np.arange(len(values_Cn)), values_Cn.shape[1])
    means = pd.Series(values_Cn.ravel()).groupby([cells, base_Cn.ravel()]).mean()
    for alike, bases in statistics.stacks(means.index.get_level_values(0).to_numpy(), len(values_Cn)):
        low[alike], high[alike] = statistics.student_t(np.asarray(means, np.float64)[bases])
    return low, high


def _mean_of_known(values_Cn: Floats) -> Floats:
    """Of those that are not nan; nan where there is none."""
    there_Cn = ~np.isnan(values_Cn)
    sums, counts = np.where(there_Cn, values_Cn, 0.0).sum(-1), there_Cn.sum(-1)
    found: Floats = np.divide(sums, counts, out=np.full(sums.shape, math.nan), where=counts > 0)
    return found


def student_t(values_n: Floats, bounds: tuple[Any, Any] = (0.0, 1.0)) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean, standard deviation and the ends of Student's interval of the mean, along the last axis, (...).

    nan where n is too small. The interval ends at the bounds of what is measured, which takes nothing from its
    coverage.
    """
    n = values_n.shape[-1]
    low, high = statistics.student_t(values_n)
    mean = values_n.mean(-1) if n else np.full(values_n.shape[:-1], math.nan)
    sd = values_n.std(-1, ddof=1) if n > 1 else np.full_like(mean, math.nan)
    return mean, sd, np.maximum(bounds[0], low), np.minimum(bounds[1], high)


def _with_trials(members: pa.Table, results: Results) -> pd.DataFrame:
    """The members with the row of `trials` that speaks for each: its COMPLETE attempt, else its latest."""
    trials = results.read_columns("trials", OF_A_TRIAL)
    trials = trials.append_column("complete", pc.equal(trials["state"], "COMPLETE").fill_null(False))
    trials = last_of_each(trials.sort_by([("complete", "ascending"), ("attempt", "ascending")]), ["trial_id"])
    there = trials["trial_id"].cast(pa.string()).combine_chunks()
    place = pc.index_in(members["trial_id"].cast(pa.string()).combine_chunks(), value_set=there)
    for name, column in zip(trials.column_names, trials.take(place).columns, strict=True):
        members = members if name == "trial_id" else members.append_column(name, column)
    frame, arms = _frame(members.drop_columns("arm")), members["arm"].combine_chunks()
    frame["arm"] = _objects(strict_json.mapping(arm) for arm in arms.dictionary.to_pylist())[arms.indices.to_numpy()]
    frame["complete"] = frame["complete"].fillna(False).astype(bool)
    return frame


def _objects(values: Iterable[Any]) -> NDArray[Any]:
    listed = list(values)
    found = np.empty(len(listed), object)
    found[:] = listed
    return found


def _frame(rows: pa.Table) -> pd.DataFrame:
    """Rows with plain columns: names that repeat are stored as dictionaries."""
    plain = [pa.field(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in rows.schema]
    frame: pd.DataFrame = rows.cast(pa.schema(plain)).to_pandas()
    return frame
