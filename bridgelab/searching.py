"""The generations of a search on Ray: ask, train to a rung, let the better half go on, tell.

What is asked is stored before it starts, and what is known at a rung as soon as a pack is there: wherever
this is cut short, the next sweep goes on from the rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import replace

from .board import Board, Met
from .feed import Batch
from .history import History
from .lab import Lab
from .lease import BEAT_S
from .metrics import METRIC_VERSION
from .planning import PackPlan, packs_of, states_of
from .results import PASSING, Results
from .search import (
    Generation,
    Proposal,
    best,
    bracket_of,
    ended,
    next_generation,
)
from .specs import Entry, Leg
from .study import ResolvedStudy
from .tuning import Work


def confirmation_of(history: History) -> ResolvedStudy | None:
    """The study that confirms what a search has found; None while it still has to look."""
    search, generations = history.search, history.generations()
    complete = ended(generations, len(search.rungs))
    if len(complete) < max(search.search.n_generations, len(generations)):
        return None
    return search.confirmation(best(search, complete, search.search.n_confirmed))


def legs(work: Work, history: History, board: Board) -> Generator[Batch, None, ResolvedStudy]:
    """What has to run, leg after leg and generation after generation; returns what confirms the search at its end."""
    search, n_rungs = history.search, len(history.search.rungs)
    while (confirmation := confirmation_of(history)) is None:
        generations = history.generations()
        brackets = [bracket_of(generation, n_rungs) for generation in generations]
        number = next((g for g, bracket in enumerate(brackets) if bracket.waiting), None)
        if number is None:
            history.publish(next_generation(search, generations), rung=0, part="asked")
            continue
        work.progress.phase(f"generation {number + 1} of {search.search.n_generations}")
        yield from _leg(work, history, search.leg(number, brackets[number].rung), brackets[number].waiting, board)
        if not bracket_of(history.generations()[number], n_rungs).waiting:
            work.lab.remove(search.leg(number, 0).folder)
    return confirmation


def _leg(work: Work, history: History, leg: Leg, waiting: Generation, board: Board) -> Iterator[Batch]:
    """What brings those who wait to the next rung; at the end, how they did is published."""
    elsewhere, adoptable = work.elsewhere()
    entries = [Entry(p.trial, attempt=0, trained=False) for p in waiting]
    if leg.is_last:
        waiting = _without_known(history, leg, waiting, board)
        entries = states_of(work.lab, {p.trial.trial_id: p.trial for p in waiting}, history.retry)[1]
    mine = [entry for entry in entries if entry.spec.trial_id not in elsewhere]
    if packs := packs_of(work.lab, mine, work.pack, work.n_side_by_side, work.device, leg):
        board.check_new(packs)
        yield Batch(packs, adoptable)
        if leg.is_last:
            _without_known(history, leg, waiting, board)
    elif entries:
        work.progress.phase(f"waiting for {len(entries)} trials of another sweep")
        time.sleep(BEAT_S)


def publish_meeting(history: History, pack: PackPlan, met: Met) -> None:
    """Publishes how the members of a pack did at the rung that its leg goes to."""
    assert pack.leg is not None
    generation, rung = history.generations()[pack.leg.generation], pack.leg.rung
    there = [_with(p, rung, *met[p.trial.trial_id]) for p in generation if p.trial.trial_id in met]
    history.publish(there, rung + 1, part=pack.pack_id)


def _without_known(history: History, leg: Leg, waiting: Generation, board: Board) -> Generation:
    """Publishes how those did in the end whose trials the lab has, or cannot evaluate; returns the others."""
    attempts, scores = Results(history.lab).latest_attempts(), _final_scores(history.lab, waiting)
    known = []
    for proposal in waiting:
        trial_id = proposal.trial.trial_id
        row = attempts.get(trial_id)
        again = history.retry and trial_id not in board.done  # what this sweep ran again and failed again stays so
        if row is not None and row["state"] == "FAIL" and not (again and row["failure_class"] in PASSING):
            known.append(_with(proposal, leg.rung, math.nan, row["failure_class"]))
        elif trial_id in scores:
            known.append(_with(proposal, leg.rung, scores[trial_id], None))
        elif trial_id in board.unevaluated:
            known.append(_with(proposal, leg.rung, math.nan, board.unevaluated[trial_id][0]))
    if known:
        history.publish(known, leg.rung + 1, part=f"ended-{len(known)}-{known[0].number}")
    there = {p.number for p in known}
    return tuple(p for p in waiting if p.number not in there)


def _final_scores(lab: Lab, waiting: Generation) -> dict[str, float]:
    """trial_id -> transfer accuracy on all of validation, the mean of both directions."""
    proposals = {p.trial.trial_id: p for p in waiting}
    directions = ("transfer_accuracy_ab", "transfer_accuracy_ba")
    wanted = {"trial_id": proposals, "split": ["validation"], "metric_version": [METRIC_VERSION]}
    found: dict[str, dict[str, float]] = {}
    for row in Results(lab).read("metrics", where=wanted).to_pylist():
        trial = proposals[row["trial_id"]].trial
        if row["decode"] == trial.settings.decode and row["judge_id"] == trial.judge_id:
            found.setdefault(row["trial_id"], {})[row["metric"]] = row["value"]
    return {i: sum(m[d] for d in directions) / 2 for i, m in found.items() if m.keys() >= set(directions)}


def _with(proposal: Proposal, rung: int, value: float, failure: str | None) -> Proposal:
    return replace(proposal, values=(*proposal.values[:rung], value), failure=failure)
