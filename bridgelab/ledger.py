"""What a lab knows of a study: trials by state, failures by class, what runs now, the time left."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from .catalog import members_of
from .lab import Lab
from .lease import BEAT_S, Beat, Watch, read_beat
from .planning import available_cpus, manifests
from .results import Results
from .study import Selection

LOOK_S = 2.5 * BEAT_S
STATES = ("COMPLETE", "RUNNING", "WAITING", "FAIL")
"""Optuna's names. RUNNING: in a pack whose lease is held by somebody who lives."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """A run of a study, or all that a lab has been asked for."""

    study: str | None
    study_id: str | None
    counts: Mapping[str, int]
    "trials by state"
    failures: Mapping[str, int]
    "failed trials by class"
    packs: tuple[Mapping[str, Any], ...]
    "packs that have begun: their manifests, steps, how often they were adopted, and whether they are live"
    seconds_left: float | None
    "by the mean time of this run's finished trials on this machine's cores; None while there is none"

    def as_json(self) -> dict[str, Any]:
        """A status as a program reads it."""
        return dataclasses.asdict(self)


def status(
    lab: str | Lab, study: str | None = None, *, selection: Selection | None = None, study_id: str | None = None
) -> Status:
    """The state of a study's latest run that agrees with the selection, or of the whole lab.

    Raises LabError where the lab has no such run.
    """
    lab = Lab.of(lab)
    results = Results(lab)
    members = results.read("members") if study is None else members_of(lab, study, selection, study_id)
    wanted = dict.fromkeys(members["trial_id"].to_pylist())
    attempts, packs = results.latest_attempts(), _packs(lab)
    in_packs = {trial_id for pack in packs if pack["live"] for trial_id in pack["trials"]}
    counts = dict.fromkeys(STATES, 0)
    failures: collections.Counter[str] = collections.Counter()
    for trial_id in wanted:
        row = attempts.get(trial_id)
        if trial_id in in_packs and (row is None or row["state"] == "FAIL"):
            counts["RUNNING"] += 1
        elif row is None:
            counts["WAITING"] += 1
        else:
            counts[row["state"]] += 1
            if row["state"] == "FAIL":
                failures[row["failure_class"]] += 1
    begun = tuple(pack for pack in packs if wanted.keys() & set(pack["trials"]))
    return Status(
        study=study,
        study_id=None if study is None else members["study_id"][0].as_py(),
        counts=counts,
        failures=dict(failures),
        packs=begun,
        seconds_left=_seconds_left(results, wanted, counts["RUNNING"] + counts["WAITING"] - _done(begun)),
    )


def _packs(lab: Lab) -> tuple[dict[str, Any], ...]:
    """The packs that have begun. Looks for a moment, to see whose lease moves."""
    watch = Watch(lab)
    states = watch.settle(timeout_s=LOOK_S)
    found = []
    for manifest in manifests(lab):
        beat = read_beat(lab, manifest["pack_id"]) or Beat(owner="")
        about = {"step": beat.step, "n_steps": beat.n_steps, "adopted": beat.adopted}
        found.append({**manifest, **about, "live": states.get(manifest["pack_id"]) == "live"})
    return tuple(found)


def _done(packs: Iterable[Mapping[str, Any]]) -> float:
    """What running packs have done already, in trials."""
    live = [pack for pack in packs if pack["live"] and pack["n_steps"]]
    return float(sum(len(pack["trials"]) * pack["step"] / pack["n_steps"] for pack in live))


def _seconds_left(results: Results, wanted: Iterable[str], n_left: float) -> float | None:
    if n_left <= 0:
        return 0.0
    trials = results.read("trials", where=pc.field("trial_id").isin(list(wanted)) & (pc.field("state") == "COMPLETE"))
    mean = pc.mean(pc.add(trials["train_s"], trials["evaluate_s"])).as_py()
    return None if mean is None else n_left * mean / available_cpus()
