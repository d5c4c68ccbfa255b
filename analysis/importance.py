"""Which parameters a search's outcome hangs on, by fANOVA and PED-ANOVA, with an interval for each.

From searches only: a grid holds its other parameters fixed, so an importance over it would say what was
varied, not what matters. Every proposed arm counts with its gain over the reference at the first rung,
where all of a bracket are still there: later rungs have seen the better ones only.
"""

from __future__ import annotations

import functools
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .proposals import distributions, proposals_of
from .summary import Run

if TYPE_CHECKING:
    import optuna

REFERENCE = 0
FEWEST = 16
"""With fewer arms nothing is said."""
N_TREES = 16
N_RESAMPLES = 30


def proposals(run: Run) -> pd.DataFrame:
    """What a search proposed, a row an arm: generation, number, each parameter, gain (over the reference of its
    generation, at the first rung), rungs (how many it came to), final (validation accuracy at the end, or nan)."""
    return _proposals(run).copy()


@functools.lru_cache(maxsize=8)
def _proposals(run: Run) -> pd.DataFrame:
    met: dict[tuple[int, int], dict[int, dict[str, Any]]] = {}
    for row in proposals_of(run):
        met.setdefault((row["generation"], row["number"]), {})[row["rung"]] = row
    if not met:
        return pd.DataFrame()
    n_rungs = max(rung for of_arm in met.values() for rung in of_arm)
    found = []
    for (generation, number), of_arm in sorted(met.items()):
        value, reference = (_at(of.get(1)) for of in (of_arm, met.get((generation, REFERENCE), {})))
        if number != REFERENCE:
            about = {"generation": generation, "number": number, "gain": value - reference}
            about |= {"rungs": max(of_arm), "final": _at(of_arm.get(n_rungs)), "trial_id": of_arm[0]["trial_id"]}
            found.append(about | json.loads(of_arm[0]["parameters"]))
    return pd.DataFrame(found)


def _at(row: Mapping[str, Any] | None) -> float:
    return math.nan if row is None or row["value"] is None else float(row["value"])


def importance(run: Run, n_resamples: int = N_RESAMPLES) -> pd.DataFrame:
    """The share of the gain's variance that each searched parameter explains; empty for a grid, or too few arms.

    Columns: parameter, n (arms), and of fanova and ped_anova each the importance and the ends of a 95 %
    percentile interval over resampled arms (approximate): fanova, fanova_low, fanova_high, ped_anova, ...
    """
    return _importance(run, n_resamples).copy()


@functools.lru_cache(maxsize=8)
def _importance(run: Run, n_resamples: int) -> pd.DataFrame:
    arms = proposals(run)
    arms = arms[np.isfinite(arms["gain"])] if len(arms) else arms
    if len(arms) < FEWEST:
        return pd.DataFrame(columns=["parameter", "n"])
    space = distributions(json.loads(proposals_of(run)[0]["definition"]))
    rng = np.random.default_rng(0)
    resamples = [arms] + [arms.iloc[rng.integers(len(arms), size=len(arms))] for _ in range(n_resamples)]
    found = pd.DataFrame({"parameter": list(space), "n": len(arms)})
    for name in ("fanova", "ped_anova"):
        shares = np.array([_evaluated(name, sample, space) for sample in resamples])
        found[name] = shares[0]
        found[f"{name}_low"], found[f"{name}_high"] = np.nanquantile(shares[1:], [0.025, 0.975], axis=0)
    return found


def _evaluated(name: str, arms: pd.DataFrame, space: Mapping[str, Any]) -> Sequence[float]:
    """By parameter, in the order of the space; nan where Optuna finds nothing to explain."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    fanova = FanovaImportanceEvaluator(n_trees=N_TREES, seed=0)
    evaluator = fanova if name == "fanova" else PedAnovaImportanceEvaluator()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts of Optuna that are new
        try:
            found = optuna.importance.get_param_importances(_study(arms, space), evaluator=evaluator)
        except (RuntimeError, ValueError):
            return [math.nan] * len(space)
    return [found.get(key, math.nan) for key in space]


def _study(arms: pd.DataFrame, space: Mapping[str, Any]) -> optuna.Study:
    import optuna

    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={key: row[key] for key in space}, distributions=dict(space), value=row["gain"]
            )
            for row in arms.to_dict("records")
        ]
    )
    return study
