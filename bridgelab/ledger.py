"""What a lab knows of a study: trials by state, failures by class, what runs now, the time left."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import strict_json
from .catalog import members_of
from .errors import LabError
from .lab import Lab
from .lease import BEAT_S, Beat, Watch, read_beat
from .planning import available_cpus, manifests
from .results import Results
from .search import REFERENCE
from .study import Selection

LOOK_S = 2.5 * BEAT_S
STATES = ("COMPLETE", "RUNNING", "WAITING", "FAIL")
"""Optuna's names. RUNNING: in a pack whose lease is held by somebody who lives."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """A run of a study, or all that a lab has been asked for."""

    study: str | None
    study_id: str | None
    pair: str | None
    preset: str | None
    recipe: str | None
    counts: Mapping[str, int]
    "trials by state; of a search that looks, arms on their way to a rung are RUNNING"
    failures: Mapping[str, int]
    "failed trials by class"
    packs: tuple[Mapping[str, Any], ...]
    "packs that have begun: their manifests, steps, how often they were adopted, and whether they are live"
    searches: tuple[Mapping[str, Any], ...]
    "searches, the latest at the end: generations begun and left, whether a reference failed, arms asked, those that "
    "came to the end of training, and those that failed on the way"
    making: tuple[Mapping[str, Any], ...]
    "sweeps that make base models and judges: for which study, models, done, latents drawn just now from GANs, seconds "
    "since the last sign of it"
    seconds_left: float | None
    "by the mean time of this run's finished trials on this machine's cores; None while there is none"

    @property
    def is_over(self) -> bool:
        """Whether nothing of a study is left to run: of a search neither a generation nor what confirms it."""
        looks = any(not one["stuck"] and (one["left"] or self.study_id is None) for one in self.searches[-1:])
        return not (self.counts["RUNNING"] or self.counts["WAITING"] or self.making or looks)

    def as_json(self) -> dict[str, Any]:
        """A status as a program reads it."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class View:
    """A lab at one moment, which takes a while to see; every run's status can be told from it."""

    lab: Lab
    packs: tuple[Mapping[str, Any], ...]
    attempts: Mapping[str, Mapping[str, Any]]
    proposals: tuple[Mapping[str, Any], ...]
    making: tuple[Mapping[str, Any], ...]


def look(lab: str | Lab) -> View:
    """A lab as it is now."""
    lab = Lab.of(lab)
    results, packs = Results(lab), _packs(lab)
    proposals = tuple(results.read("proposals").to_pylist())
    return View(lab, packs, results.latest_attempts(), proposals, tuple(_making(lab)))


def status(
    lab: str | Lab | View, study: str | None = None, *, selection: Selection | None = None, study_id: str | None = None
) -> Status:
    """The state of a study's latest run that agrees with the selection, or of the whole lab.

    Raises LabError where the lab has no such run.
    """
    view = lab if isinstance(lab, View) else look(lab)
    results, attempts, packs = Results(view.lab), view.attempts, view.packs
    making = tuple(one for one in view.making if study_id is None and study in (None, one["study"]))
    proposals = [row for row in view.proposals if study in (None, row["study"])]
    try:
        members = _every_member(results) if study is None else members_of(view.lab, study, selection, study_id)
    except LabError:
        if not making and not proposals:
            raise
        members = _every_member(results).slice(0, 0)  # its models come first, then its run
    wanted = dict.fromkeys(members["trial_id"].to_pylist())
    asked = {row["trial_id"] for row in proposals if study_id is None} - wanted.keys()
    in_packs = {trial_id for pack in packs if pack["live"] for trial_id in pack["trials"]}
    counts = dict.fromkeys(STATES, 0) | {"RUNNING": len(asked & in_packs)}
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
    begun = tuple(pack for pack in packs if (wanted.keys() | asked) & set(pack["trials"]))
    of_a_run = ("study_id", "pair", "preset", "recipe")
    run = {} if study is None or not len(members) else members.select(of_a_run).slice(0, 1).to_pylist()[0]
    return Status(
        study=study,
        **(dict.fromkeys(of_a_run) | run),
        counts=counts,
        failures=dict(failures),
        packs=begun,
        searches=tuple(_searches(proposals)),
        making=making,
        seconds_left=_seconds_left(results, wanted, counts["RUNNING"] + counts["WAITING"] - _done(begun)),
    )


def _every_member(results: Results) -> pa.Table:
    return results.read_columns("members", ["trial_id"])


def _searches(proposals: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    by_search = collections.defaultdict(list)
    for row in sorted(proposals, key=lambda row: row["decided_at"]):
        by_search[row["study_id"]].append(row)
    for search_id, own in sorted(by_search.items(), key=lambda one: one[1][-1]["decided_at"]):
        definition = strict_json.loads(own[-1]["definition"])
        n_steps, n_generations = definition["base"]["bridge"]["n_steps"], definition["search"]["n_generations"]
        n_begun = 1 + max(row["generation"] for row in own)
        references = [row for row in own if row["number"] == REFERENCE]
        n_ended = sum(row["step"] == n_steps for row in references)
        yield {
            "study": own[-1]["study"],
            "study_id": search_id,
            "generations": n_begun,
            "left": max(n_generations, n_begun) - n_ended,
            "stuck": any(row["failure_class"] is not None for row in references),
            "asked": sum(row["rung"] == 0 for row in own),
            "ended": sum(row["step"] == n_steps and row["failure_class"] is None for row in own),
            "failed": sum(row["failure_class"] is not None for row in own),
        }


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


def _making(lab: Lab) -> Iterator[dict[str, Any]]:
    """The sweeps whose models are being made, or were when they were killed."""
    there = set(lab.names("models"))
    for name in lab.names("training"):
        if not name.endswith(".sweep"):
            continue
        try:
            wanted = lab.read_json(f"training/{name}")
            models = list(map(str, wanted["models"]))
            draws = [path for i in wanted.get("drawn", ()) if lab.exists(path := f"training/{i}.draws")]
            signs = [f"training/{name}", *(f"training/{model}.checkpoint" for model in models), *draws]
            n_draws = sum(int(lab.read_json(path)["n_draws"]) for path in draws)
            age_s = min(lab.age_s(path) for path in signs if lab.exists(path))
            about = {"study": str(wanted["study"]), "study_id": str(wanted["study_id"])}
        except (LabError, AttributeError, KeyError, TypeError, ValueError):
            continue  # its models are made, or it is no mark of ours
        yield {**about, "models": models, "done": len(there.intersection(models)), "draws": n_draws, "age_s": age_s}


def _done(packs: Iterable[Mapping[str, Any]]) -> float:
    """What running packs have done already, in trials."""
    live = [pack for pack in packs if pack["live"] and pack["n_steps"]]
    return float(sum(len(pack["trials"]) * pack["step"] / pack["n_steps"] for pack in live))


def _seconds_left(results: Results, wanted: Iterable[str], n_left: float) -> float | None:
    if n_left <= 0:
        return 0.0
    finished = {"trial_id": list(wanted), "state": ["COMPLETE"]}
    trials = results.read_columns("trials", ["train_s", "evaluate_s"], where=finished)
    mean = pc.mean(pc.add(trials["train_s"], trials["evaluate_s"])).as_py()
    return None if mean is None else n_left * mean / available_cpus()
