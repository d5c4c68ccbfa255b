"""A run for other tools: one flat Parquet file, an Optuna study, arrays as rliable takes them."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridgelab.errors import InvalidValueError

from .proposals import distributions, is_in, proposals_of
from .summary import Run

if TYPE_CHECKING:
    import optuna

FLAT, STORAGE, SCORES = "trials.parquet", "optuna.db", "rliable.npz"
TASKS = ("transfer_accuracy_ab", "transfer_accuracy_ba")
"""What rliable calls tasks."""


def export(run: Run, folder: str | Path) -> dict[str, Path]:
    """Writes the three files into a folder, all of them or none, and returns their paths by name.

    Raises InvalidValueError for a folder that cannot be written, or that has an Optuna study already.
    """
    folder = Path(folder)
    paths = {name: folder / name for name in (FLAT, STORAGE, SCORES)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if paths[STORAGE].exists():
            raise InvalidValueError(f"{paths[STORAGE]} is there already; give -o another folder")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as unfinished:
            made = {name: Path(unfinished) / name for name in paths}
            flat(run).to_parquet(made[FLAT], index=False)
            _write_scores(run, made[SCORES])
            _write_optuna(run, f"sqlite:///{made[STORAGE]}")
            for name, path in made.items():
                path.replace(paths[name])
    except OSError as error:
        raise InvalidValueError(f"cannot write to {folder}: {error.strerror}; give -o another folder") from None
    return paths


def flat(run: Run) -> pd.DataFrame:
    """A row a trial: study, arm (a column for each key that varies), replicate, state, times, every metric on test."""
    members = run.members.sort_values(["arm_index", "replicate"]).reset_index(drop=True)
    arms = pd.DataFrame([{key: str(value) for key, value in arm.items()} for arm in members["arm"]])
    about = ["arm_name", "replicate", "trial_id", "state", "failure_class", "steps", "train_s", "evaluate_s", "device"]
    front = members[about].assign(arm_name=members["arm_name"].astype(str))
    front.insert(0, "study_id", run.study_id)
    front.insert(0, "study", run.study)
    wide = run.values.pivot_table(index=["arm_index", "replicate"], columns="metric", values="value", observed=True)
    places = pd.MultiIndex.from_frame(members[["arm_index", "replicate"]])
    return pd.concat([front, arms, wide.reindex(places).reset_index(drop=True)], axis=1)


def scores(run: Run) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """By arm the array (replicates, tasks) of its scores; replicates without a value are left out."""
    names = run.members.drop_duplicates("arm_index").set_index("arm_index")["arm_name"].astype(str)
    rows = run.values[run.values["metric"].isin(TASKS)]
    wide = rows.pivot_table(index=["arm_index", "replicate"], columns="metric", values="value", observed=True)
    found = wide.reindex(columns=list(TASKS)).dropna().groupby(level="arm_index")
    by_arm = {index: of_arm.to_numpy(np.float64) for index, of_arm in found}
    none = np.empty((0, len(TASKS)))
    return {names[index]: by_arm.get(index, none) for index in np.unique(run.values["arm_index"])}


def _write_scores(run: Run, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for arm, values in scores(run).items():  # np.savez takes an arm named 'file' for its own argument
            with file.open(f"{arm}.npy", "w") as member:
                np.lib.format.write_array(member, values, allow_pickle=False)


def _write_optuna(run: Run, storage: str) -> None:
    """An Optuna study: of a search its proposals, and of a grid its trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    proposals = proposals_of(run)
    study = optuna.create_study(storage=storage, study_name=f"{run.study}-{run.study_id}", direction="maximize")
    study.set_user_attr("command", str(run.definition.get("command")))
    study.add_trials(list(_proposed(proposals) if proposals else _of_grid(run)))


def _of_grid(run: Run) -> Iterator[optuna.trial.FrozenTrial]:
    import optuna

    table, metric = flat(run), str(run.definition["study"]["primary_metric"])
    spaces = {key: tuple(dict.fromkeys(table[key])) for key in run.varied}
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        key: optuna.distributions.CategoricalDistribution(values) for key, values in spaces.items()
    }
    for row in table.to_dict("records"):
        value = float(row.get(metric, np.nan))
        complete = row["state"] == "COMPLETE" and np.isfinite(value)
        attrs = {k: row[k] for k in ("arm_name", "replicate", "trial_id")}
        yield optuna.trial.create_trial(
            params={key: row[key] for key in run.varied},
            distributions=distributions,
            value=value if complete else None,
            state=optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.FAIL,
            user_attrs=attrs,
        )


def _proposed(rows: list[dict[str, Any]]) -> Iterator[optuna.trial.FrozenTrial]:
    """Each proposed arm with its values at the rungs; who left before the end is PRUNED, and has no final value.

    A reference outside the space is left out: Optuna has no word for it.
    """
    import optuna

    definition = json.loads(rows[0]["definition"])
    space = distributions(definition)
    by_arm: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: (r["generation"], r["number"], r["rung"])):
        by_arm.setdefault((row["generation"], row["number"]), []).append(row)
    for met in by_arm.values():
        asked, params = met[0], json.loads(met[0]["parameters"])
        if not all(is_in(value, space[key]) for key, value in params.items()):
            continue
        values = {r["step"]: r["value"] for r in met if r["value"] is not None and np.isfinite(r["value"])}
        final = values.get(definition["base"]["bridge"]["n_steps"])
        ended = optuna.trial.TrialState.PRUNED if final is None else optuna.trial.TrialState.COMPLETE
        failed = met[-1]["failure_class"] is not None
        yield optuna.trial.create_trial(
            params=params,
            distributions={key: space[key] for key in params},
            intermediate_values=values,
            value=final,
            state=optuna.trial.TrialState.FAIL if failed else ended,
            user_attrs={"generation": asked["generation"], "trial_id": asked["trial_id"]},
        )
