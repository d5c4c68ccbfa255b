"""A lab with rows whose summary can be worked out by hand."""

import itertools
from collections.abc import Callable
from typing import Any

from bridgelab.config import DECODES, canonical_json
from bridgelab.lab import Lab
from bridgelab.metrics import FRECHET, METRICS
from bridgelab.publication import publish_members
from bridgelab.results import SCHEMAS, Results, now
from bridgelab.study import ResolvedStudy, Selection, resolve

N_ITEMS = 359
Value = Callable[[str, int, str], float]


def fill_lab(
    lab: Lab,
    study: str,
    value: Value,
    *,
    failed: tuple[tuple[str, int], ...] = (),
    failure: str = "nan",
    more: tuple[str, ...] = (),
    n_back: int = N_ITEMS,
    **selection: Any,
) -> ResolvedStudy:
    """Members of a study, and a COMPLETE trial with `value(arm, replicate, metric)` for each but the failed ones.

    Of METRICS, and of `more` that not every trial has; `n_back` test items from b to a.
    """
    resolved = resolve(study, Selection(**{"n_replicates": 4, **selection}))
    publish_members(lab, resolved)
    trials, metrics = [], []
    for member in resolved.members:
        bad = (member.arm.name, member.replicate) in failed
        trials.append(_trial_row(member.trial, failure if bad else None))
        names = (*METRICS, *(FRECHET if resolved.measures_fid else ()), *more)
        for metric, decode in () if bad else itertools.product(names, DECODES):
            number = value(member.arm.name, member.replicate, metric)
            other = 0.0 if decode == member.arm.settings.decode else 0.01
            n_eval = n_back if metric.endswith("_ba") else N_ITEMS
            metrics.append(_metric_row(member.trial, metric, decode, number - other, n_eval))
    Results(lab).write("metrics", resolved.study_id, metrics)
    Results(lab).write("trials", resolved.study_id, trials)
    return resolved


def _trial_row(trial: Any, failure: str | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SCHEMAS["trials"].names)
    row |= {"trial_id": trial.trial_id, "attempt": 0, "state": "FAIL" if failure else "COMPLETE", "n_train": 1259}
    row |= {"config": canonical_json(trial)}
    row |= {"base_a": trial.base_a.model_id, "base_b": trial.base_b.model_id, "base_a_sha256": trial.base_a.model_id}
    row |= {"versions": '{"torch": "2.14.1"}', "device": "cpu", "train_s": 1.0, "evaluate_s": 0.5, "finished_at": now()}
    return row | ({"failure_class": failure, "failure_text": "the loss was not finite at step 3"} if failure else {})


def _metric_row(trial: Any, metric: str, decode: str, value: float, n_eval: int) -> dict[str, Any]:
    common = {"trial_id": trial.trial_id, "attempt": 0, "judge_id": trial.judge_id, "metric_version": 1}
    return {**common, "metric": metric, "split": "test", "decode": decode, "value": value, "n_eval": n_eval}
