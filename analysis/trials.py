"""Single trials: which a run has, what is known of one, and how two differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from bridgelab import strict_json
from bridgelab.errors import LabError
from bridgelab.lab import Lab
from bridgelab.results import Results, begins_as

from . import tables
from .summary import Run


def list_trials(run: Run) -> pd.DataFrame:
    """The trials of a run: arm_name, replicate, trial_id, state, failure_class and the study's primary metric."""
    metric = str(run.definition["study"]["primary_metric"])
    values = run.values[run.values["metric"] == metric].set_index(["arm_index", "replicate"])["value"]
    members = run.members.sort_values(["arm_index", "replicate"])
    places = pd.MultiIndex.from_frame(members[["arm_index", "replicate"]])
    columns = members[["arm_name", "replicate", "trial_id", "state", "failure_class"]].reset_index(drop=True)
    columns["arm_name"] = columns["arm_name"].astype(str)
    return columns.assign(**{metric: values.reindex(places).to_numpy()})


def read_trial(lab: str | Lab, trial_id: str) -> dict[str, Any]:
    """What a lab knows of a trial: its row of `trials`, config as JSON values, and its metrics on test.

    The beginning of an id is enough where no other trial has it. Raises LabError for none, and for several.
    """
    results = Results(Lab.of(lab))
    found = begins_as(trial_id, results.read_columns("trials", ["trial_id"])["trial_id"].to_pylist())
    if len(found) != 1:
        what = "no trial" if not found else f"{len(found)} trials"
        raise LabError(f"{Lab.of(lab).location} has {what} '{trial_id}'; `bridgelab show STUDY` lists those of a study")
    rows = results.read("trials", where={"trial_id": found}).to_pylist()
    if not rows:
        raise LabError(
            f"{Lab.of(lab).location} has no whole row of trial {found[0]}: its part is damaged; run it again"
        )
    row = max(rows, key=lambda r: (r["state"] == "COMPLETE", r["attempt"]))
    metrics = results.read("metrics", where={"trial_id": found, "split": ["test"]}).to_pylist()
    values = {(m["decode"], m["metric"]): m["value"] for m in sorted(metrics, key=lambda m: m["attempt"])}
    try:
        config = strict_json.mapping(row["config"])
        for name in ("settings", "base_a", "base_b"):
            config[name].keys()
    except (AttributeError, KeyError, TypeError, ValueError):
        raise LabError(f"{Lab.of(lab).location} does not say how trial {found[0]} was set; run it again") from None
    return {**row, "config": config, "metrics": values}


def show_trial(trial: Mapping[str, Any]) -> str:
    """A trial for people: what it is, what it came to, and its settings."""
    about = ("trial_id", "state", "failure_class", "steps", "train_s", "device", "pack_size", "host", "finished_at")
    lines = [f"{name:<14} {_shown(trial[name])}" for name in about if trial.get(name) is not None]
    lines += [f"{'base models':<14} {trial['domain_a']} {trial['base_a']}, {trial['domain_b']} {trial['base_b']}"]
    lines += ["", *tables.aligned([["metric", "from means", "from samples"], *_metric_rows(trial)]), ""]
    return "\n".join([*lines, *(f"{key:<32} {_shown(value)}" for key, value in settings_of(trial).items())])


def compare_trials(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Everything in which two trials differ: (key, of a, of b), settings and seeds first, then metrics."""
    both = [{**settings_of(one), **_seeds(one), **_named_metrics(one)} for one in (a, b)]
    keys = dict.fromkeys([*both[0], *both[1]])
    pairs = ((key, both[0].get(key), both[1].get(key)) for key in keys)
    return [(key, of_a, of_b) for key, of_a, of_b in pairs if of_a != of_b and not (_is_nan(of_a) and _is_nan(of_b))]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def settings_of(trial: Mapping[str, Any]) -> dict[str, Any]:
    """A trial's settings by dotted key, as in --set."""
    return dict(_flat("", trial["config"]["settings"]))


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value


def _seeds(trial: Mapping[str, Any]) -> dict[str, Any]:
    config = trial["config"]
    seeds = {"label_seed": config["label_seed"], "bridge_seed": config["bridge_seed"]}
    models = {name: config[name]["seed"] for name in ("base_a", "base_b")}
    return seeds | {f"{name}.seed": seed for name, seed in models.items()}


def _named_metrics(trial: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{metric} ({decode})": round(value, 4) for (decode, metric), value in trial["metrics"].items()}


def _metric_rows(trial: Mapping[str, Any]) -> list[list[str]]:
    names = dict.fromkeys(metric for _, metric in trial["metrics"])
    return [[name, *(tables.number(trial["metrics"].get((how, name))) for how in ("mean", "sample"))] for name in names]


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4g}"
    return str(value)
