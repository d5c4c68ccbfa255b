"""What a sweep would do: what the lab has, what is missing, in which packs, in what time. Changes nothing."""

from __future__ import annotations

import collections
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import Side, Study, content_id
from .domains import Split
from .duration import expected_seconds
from .errors import InvalidValueError, UnknownNameError
from .history import History
from .lab import Lab
from .lease import read_manifest
from .metrics import FRECHET
from .pack_size import BY_WIDTH, pack_size
from .results import Results
from .search import REFERENCE, ResolvedSearch, best, ended
from .specs import BaseModelJob, Entry, Leg, ModelSpec, TrialSpec
from .study import ResolvedStudy, Selection, resolve


@dataclass(frozen=True)
class PackPlan:
    """Trials of equal shape, trained together as one Ray Tune trial."""

    entries: tuple[Entry, ...]
    leg: Leg | None = None
    "of a bracket: the steps that are trained; None: all of them"

    @property
    def pack_id(self) -> str:
        """Its members and their attempts; where they are only evaluated, under which judges."""
        judges = [e.spec.judge_id for e in self.entries if e.trained]
        entries = [[e.spec.trial_id, e.attempt, e.trained] for e in self.entries]
        leg = {} if self.leg is None else {"leg": self.leg}
        return content_id("pack", {"entries": entries} | ({"judges": judges} if judges else {}) | leg)

    @property
    def n_steps(self) -> int:
        """Trial-steps: what progress is counted in."""
        return sum(self.n_steps_of(entry) for entry in self.entries if not entry.trained)

    def n_steps_of(self, entry: Entry) -> int:
        """The steps that a member takes in this pack."""
        return entry.spec.n_steps if self.leg is None else self.leg.stop - self.leg.start


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sweep before it runs."""

    study: ResolvedStudy
    states: Mapping[str, str]
    "trial_id -> cached, unfinished, new or failed; failed ones run again only on request"
    judges: tuple[ModelSpec, ...]
    "judges to train"
    jobs: tuple[BaseModelJob, ...]
    "base models to train, latents to encode"
    packs: tuple[PackPlan, ...]
    seconds: float
    "expected, on n_workers CPU cores"
    n_workers: int
    n_elsewhere: int
    "trials that another sweep trains just now"

    def count(self, state: str) -> int:
        """How many trials are in a state."""
        return sum(found == state for found in self.states.values())

    @property
    def n_to_run(self) -> int:
        return sum(len(pack.entries) for pack in self.packs)

    @property
    def n_models(self) -> int:
        """Base models and judges to train."""
        return len(self.judges) + sum(job.spec.is_trained for job in self.jobs)

    @property
    def split_sizes(self) -> dict[str, dict[Split, int]]:
        """Samples by domain and split."""
        return {domain.name: dict(domain.split_sizes) for domain in self.study.pair}


def plan(
    study: str | Study | ResolvedStudy,
    *,
    lab: str | Lab = "./lab",
    selection: Selection | None = None,
    data: str | Path | None = None,
    pack: int | None = None,
    n_workers: int | None = None,
    device: str = "cpu",
    retry: bool = False,
    elsewhere: frozenset[str] = frozenset(),
    left_out: frozenset[str] = frozenset(),
) -> Plan:
    """What a sweep of a study would do with a lab; trains nothing and writes nothing to it.

    Data that are missing are downloaded first, as by `resolve`. `pack` is the number of trials in a pack
    (None: by shape and device), `n_workers` that of packs side by side, `retry` runs failed trials again.
    Trials that are trained `elsewhere`, or are `left_out`, are in none of its packs. An unfinished pack
    stays as it was put together, since its checkpoint is of just these members. Raises UnknownNameError
    and InvalidValueError for what cannot be planned, LabError for a lab that cannot be read.
    """
    if pack is not None and (not isinstance(pack, int) or pack < 1):
        raise InvalidValueError(f"--pack {pack}: give a whole number, 1 or more, or auto (in Python, None)")
    if device not in BY_WIDTH:
        raise UnknownNameError("device", device, BY_WIDTH)
    lab = Lab.of(lab)
    resolved = study if isinstance(study, ResolvedStudy) else resolve(study, selection, data)
    workers = n_workers or available_cpus()
    trials = {member.trial.trial_id: member.trial for member in resolved.members}
    states, entries = states_of(lab, trials, retry, resolved.measures_fid)
    n_elsewhere = sum(entry.spec.trial_id in elsewhere for entry in entries)
    entries = [entry for entry in entries if entry.spec.trial_id not in elsewhere | left_out]
    packs = packs_of(lab, entries, pack, workers, device)
    judges, jobs = missing_models(lab, [entry.spec for entry in entries])
    return Plan(
        study=resolved,
        states=states,
        judges=judges,
        jobs=jobs,
        packs=packs,
        seconds=expected_seconds(lab, judges, jobs, [pack.entries for pack in packs], workers),
        n_workers=workers,
        n_elsewhere=n_elsewhere,
    )


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """A search before it runs, or goes on."""

    search: ResolvedSearch
    n_ended: int
    "generations that are complete"
    counts: Mapping[str, int]
    "trials, those of the confirmation among them: new, cached, unfinished or failed"
    confirmation: Plan | None
    "of what was found; None while the search still has to look"
    seconds: float
    n_workers: int


def plan_search(
    search: ResolvedSearch,
    *,
    lab: str | Lab = "./lab",
    pack: int | None = None,
    device: str = "cpu",
    retry: bool = False,
) -> SearchPlan:
    """What a sweep of a search would do with a lab; trains nothing and writes nothing."""
    lab, s, n_rungs = Lab.of(lab), search.search, len(search.rungs)
    generations = History(lab, search, retry=retry).generations()
    complete = ended(generations, n_rungs)
    n_left = max(s.n_generations, len(generations)) - len(complete)
    confirmed = (1 + s.n_confirmed) * search.start.n_replicates
    n_asked = sum(map(len, generations)) - sum(map(len, complete))
    new = n_left * (s.bracket + 1) - n_asked
    if n_left == 0:
        confirmation = plan(
            search.confirmation(best(search, complete, s.n_confirmed)), lab=lab, pack=pack, device=device, retry=retry
        )
        counts = {state: confirmation.count(state) for state in ("cached", "unfinished", "new", "failed")}
        seconds = confirmation.seconds
    else:
        confirmation = None
        counts = {"cached": 0, "unfinished": n_asked, "new": new + confirmed, "failed": 0}
        seconds = _search_seconds(lab, search, n_left, confirmed)
    counts["cached"] += sum(map(len, complete))
    return SearchPlan(
        search=search,
        n_ended=len(complete),
        counts=counts,
        confirmation=confirmation,
        seconds=seconds,
        n_workers=available_cpus(),
    )


def _search_seconds(lab: Lab, search: ResolvedSearch, n_left: int, n_confirmed: int) -> float:
    """As if every trial were the reference, and each leg waited for its longest pack."""
    workers, n_steps = available_cpus(), search.rungs[-1]
    reference = search.proposal(0, REFERENCE, {}).trial
    judges, jobs = missing_models(lab, search.some_trials)
    alive, shares = search.search.bracket, []
    for start, stop in zip((0, *search.rungs), search.rungs, strict=False):
        shares.append(math.ceil((alive + 1) / workers) * workers * (stop - start) / n_steps)
        alive = math.ceil(alive / 2)
    n_trials = math.ceil(n_left * sum(shares)) + n_confirmed
    entries = [Entry(reference, attempt=0, trained=False)] * math.ceil(n_trials / workers)
    return expected_seconds(lab, judges, jobs, [entries] * workers, workers)


def available_cpus() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def states_of(
    lab: Lab, trials: Mapping[str, TrialSpec], retry: bool, fid: bool = False
) -> tuple[dict[str, str], list[Entry]]:
    """The state of each trial, and an entry for each one that has to run; with `fid`, where that is not known too."""
    results = Results(lab)
    attempts, evaluated = results.latest_attempts(), results.evaluated()
    evaluated = evaluated & results.evaluated(FRECHET) if fid else evaluated
    in_packs = {trial_id for manifest in manifests(lab) for trial_id in manifest["trials"]}
    states: dict[str, str] = {}
    entries: list[Entry] = []
    for trial_id, spec in trials.items():
        row = attempts.get(trial_id)
        if row is None:
            states[trial_id] = "unfinished" if trial_id in in_packs else "new"
            entries.append(Entry(spec, attempt=0, trained=False, fid=fid))
        elif row["state"] == "COMPLETE":
            done = (trial_id, spec.judge_id) in evaluated
            states[trial_id] = "cached" if done else "unfinished"
            if not done:
                # Another judge than the one it was evaluated under: its bridge is sent across again.
                kept = lab.exists(f"bridges/{trial_id}.safetensors")
                entries.append(Entry(spec, attempt=row["attempt"] + (not kept), trained=kept, fid=fid))
        else:
            states[trial_id] = "failed"
            if retry:
                entries.append(Entry(spec, attempt=row["attempt"] + 1, trained=False, fid=fid))
    return states, entries


def manifests(lab: Lab) -> list[dict[str, Any]]:
    """The packs that began and did not end, each with its pack_id."""
    found = {name: read_manifest(lab, name) for name in lab.names("packs")}
    return [{**manifest, "pack_id": name} for name, manifest in found.items() if manifest is not None]


def packs_of(
    lab: Lab, entries: Iterable[Entry], size: int | None, n_workers: int, device: str, leg: Leg | None = None
) -> tuple[PackPlan, ...]:
    """Entries in packs: those that began and did not end as they are, then the others by shape, the longest first.

    `size`: how many in one (None: by the shape).
    """
    entries = list(entries)
    adopted = _adopted(lab, entries, leg)
    in_adopted = {entry.spec.trial_id for one in adopted for entry in one.entries}
    fresh = [entry for entry in entries if entry.spec.trial_id not in in_adopted]
    return adopted + _fresh(lab, fresh, size, n_workers, device, leg)


def _adopted(lab: Lab, entries: Iterable[Entry], leg: Leg | None) -> tuple[PackPlan, ...]:
    """Packs that began and did not end, if all their trials are wanted."""
    wanted = {entry.spec.trial_id: entry for entry in entries if not entry.trained}
    packs = []
    for manifest in manifests(lab):
        if wanted.keys() >= set(manifest["trials"]):
            pack = PackPlan(tuple(wanted[trial_id] for trial_id in manifest["trials"]), leg)
            # A pack of an older version may hold members that are packed apart now.
            is_one_shape = len({entry.spec.shape for entry in pack.entries}) == 1
            if is_one_shape and pack.pack_id == manifest["pack_id"]:
                packs.append(pack)
                wanted = {k: v for k, v in wanted.items() if k not in set(manifest["trials"])}
    return tuple(packs)


def _fresh(
    lab: Lab, entries: Iterable[Entry], size: int | None, n_workers: int, device: str, leg: Leg | None
) -> tuple[PackPlan, ...]:
    groups: dict[tuple[str, bool], list[Entry]] = collections.defaultdict(list)
    for entry in entries:
        groups[entry.spec.shape, entry.trained].append(entry)
    packs = []
    for group in groups.values():
        most = size or pack_size(lab, group[0].spec, device).members
        n_packs = -(-len(group) // most)
        if size is None:
            n_packs = min(len(group), -(-n_packs // n_workers) * n_workers)  # all workers end together
        packs += [PackPlan(tuple(group[i::n_packs]), leg) for i in range(n_packs)]
    return tuple(sorted(packs, key=lambda pack: -pack.n_steps))


def missing_models(lab: Lab, specs: Iterable[TrialSpec]) -> tuple[tuple[ModelSpec, ...], tuple[BaseModelJob, ...]]:
    """Judges and base models that the lab lacks and some trial needs."""
    sides: Iterator[tuple[Side, ModelSpec, ModelSpec]] = (
        one for s in specs for one in (("a", s.base_a, s.judge_a), ("b", s.base_b, s.judge_b))
    )
    return missing_jobs(lab, (BaseModelJob(base, judge, side) for side, base, judge in sides))


def missing_jobs(lab: Lab, wanted: Iterable[BaseModelJob]) -> tuple[tuple[ModelSpec, ...], tuple[BaseModelJob, ...]]:
    """Of some base models, those that the lab lacks, or whose latents it lacks, and the judges that it lacks."""
    wanted = list(wanted)
    judges = {job.judge: None for job in wanted}
    jobs = {job.spec.latents_id: job for job in wanted}
    models, latents = set(lab.names("models")), set(lab.names("latents"))
    missing = [
        job
        for job in jobs.values()
        if job.spec.latents_id not in latents or (job.spec.is_trained and job.spec.model_id not in models)
    ]
    return tuple(j for j in judges if j.kind != "rule" and j.model_id not in models), tuple(missing)


def search_as_json(found: SearchPlan) -> dict[str, Any]:
    """The plan of a search as a program reads it."""
    s, start = found.search.search, found.search.start
    return {
        "study": s.name,
        "study_id": found.search.search_id,
        "pair": start.pair_name,
        "preset": start.preset,
        "recipe": start.recipe,
        "generations": s.n_generations,
        "ended": found.n_ended,
        "bracket": s.bracket,
        "rungs": list(found.search.rungs),
        "replicates": start.n_replicates,
        "trials": sum(found.counts.values()),
        **found.counts,
        "packs": len(found.confirmation.packs) if found.confirmation else None,
        "seconds": round(found.seconds, 1),
    }


def as_json(found: Plan) -> dict[str, Any]:
    """A plan as a program reads it."""
    resolved = found.study
    return {
        "study": resolved.study.name,
        "study_id": resolved.study_id,
        "pair": resolved.pair_name,
        "preset": resolved.preset,
        "recipe": resolved.recipe,
        "arms": len(resolved.arms),
        "replicates": resolved.n_replicates,
        "trials": len(found.states),
        **{state: found.count(state) for state in ("cached", "unfinished", "new", "failed")},
        "base_models": found.n_models,
        "packs": len(found.packs),
        "seconds": round(found.seconds, 1),
        "splits": found.split_sizes,
    }
