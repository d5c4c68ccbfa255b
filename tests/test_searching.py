"""What a search runs next, leg after leg, in one process: it ends, whatever its trials come to."""

import functools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

import bridgelab.trial as trial_module
from bridgelab.board import Board, Silent
from bridgelab.config import Float, Search
from bridgelab.errors import LabError
from bridgelab.evaluate import TrainedBridge
from bridgelab.history import History
from bridgelab.housekeeping import compact
from bridgelab.lab import Lab
from bridgelab.metrics import Found
from bridgelab.planning import PackPlan
from bridgelab.publication import parts_of
from bridgelab.search import REFERENCE, Generation, ResolvedSearch, next_generation, resolve_search
from bridgelab.searching import legs, publish_meeting
from bridgelab.study import ResolvedStudy, Selection
from bridgelab.trainable import is_done
from bridgelab.trial import Runtime, Surroundings, run_leg, run_pack

PLANE = Selection(pair="plane-plane", preset="smoke", n_replicates=1, overrides={"bridge.n_steps": 96})
SEARCH = Search(
    name="mine",
    question="Which weight?",
    space={"bridge.beta_kl": Float(0.01, 1.0, log=True)},
    n_generations=1,
    bracket=4,
    rungs=(0.3, 0.6),
    n_confirmed=1,
)

Train = Callable[[Board, PackPlan], None]


@pytest.fixture
def search() -> ResolvedSearch:
    return resolve_search(SEARCH, PLANE)


def search_through(
    lab: Lab, search: ResolvedSearch, train: Train, *, retry: bool = False
) -> tuple[ResolvedStudy, Generation]:
    """Runs what a search asks for; returns what confirms it, and its first generation."""
    history = History(lab, search, retry=retry)
    board = Board(lab, Silent(), functools.partial(publish_meeting, history))
    work = SimpleNamespace(lab=lab, pack=2, n_side_by_side=1, device="cpu", progress=Silent())
    work.elsewhere = lambda: (frozenset(), set())
    batches = legs(work, history, board)
    while True:
        try:
            batch = next(batches)
        except StopIteration as end:
            return end.value, history.generations()[0]
        board.expect(batch.packs)
        for pack in batch.packs:
            train(board, pack)


@pytest.fixture
def train(around: Surroundings) -> Train:
    """What a worker does with a pack, and what the board hears of it."""

    def report(board: Board, pack: PackPlan) -> None:
        if not pack.leg.is_last:
            board.take(pack.pack_id, {"met": run_leg(Runtime(pack.pack_id), pack.entries, around, pack.leg)})
            return
        found = run_pack(Runtime(pack.pack_id), pack.entries, around, pack.leg)
        unevaluated = {trial_id: (f.kind, f.text) for trial_id, f in found.unevaluated.items()}
        board.take(pack.pack_id, {"parts": parts_of(found.rows), "unevaluated": unevaluated})

    return report


def test_a_search_goes_on_without_trials_that_cannot_be_evaluated(
    lab: Lab, search: ResolvedSearch, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, reference = trial_module.evaluate, search.proposal(0, REFERENCE, {}).trial.trial_id

    def failing(bridges: list[TrainedBridge], n_classes: int) -> list[Found]:
        if {bridge.spec.trial_id for bridge in bridges} != {reference}:
            raise RuntimeError("no such class")
        return evaluate(bridges, n_classes)

    monkeypatch.setattr(trial_module, "evaluate", failing)
    confirmation, generation = search_through(lab, search, train)
    ends = [(len(p.values), p.failure) for p in generation]
    assert ends[0] == (3, None)
    assert sorted(ends[1:], reverse=True) == [(3, "error"), (2, None), (1, None), (1, None)]
    assert [arm.name for arm in confirmation.arms] == ["reference"]


@pytest.mark.parametrize("rung", [0, 1, 2])
def test_what_was_lost_is_run_again_on_request_and_comes_to_what_it_would_have_been(
    lab: Lab, search: ResolvedSearch, train: Train, rung: int
) -> None:
    def lose(board: Board, pack: PackPlan) -> None:
        board.lose(pack.pack_id) if pack.leg.rung == rung else train(board, pack)

    undisturbed = search_through(lab, search, train)
    for table in ("proposals", "trials", "metrics", "predictions"):
        lab.remove(f"results/{table}")
    for _ in range(2):  # what is lost again waits for the next request
        with pytest.raises(LabError, match=r"failed \(lost\).*--retry"):
            search_through(lab, search, lose)
        with pytest.raises(LabError, match=r"failed \(lost\).*--retry"):
            search_through(lab, search, lose, retry=True)
        compact(lab)
    confirmation, generation = search_through(lab, search, train, retry=True)
    assert (confirmation.study_id, generation) == (undisturbed[0].study_id, undisturbed[1])
    compact(lab)
    assert search_through(lab, search, train)[1] == generation


def test_an_arm_of_an_early_generation_is_run_again_too(lab: Lab, train: Train) -> None:
    search = resolve_search(replace(SEARCH, n_generations=2), PLANE)
    bad = next_generation(search, [])[2].trial.trial_id

    def lose(board: Board, pack: PackPlan) -> None:
        if any(entry.spec.trial_id == bad for entry in pack.entries):
            board.lose(pack.pack_id)
        else:
            train(board, pack)

    search_through(lab, search, lose)
    asked = [p.parameters for p in History(lab, search).generations()[1]]
    assert History(lab, search).generations()[0][2].failure == "lost"
    _, generation = search_through(lab, search, train, retry=True)
    assert [p.failure for p in generation] == [None] * 5
    assert [p.parameters for p in History(lab, search).generations()[1]] == asked


def test_a_worker_does_not_take_what_was_lost_for_done(lab: Lab, search: ResolvedSearch, train: Train) -> None:
    packs = []

    def lose(board: Board, pack: PackPlan) -> None:
        packs.append(pack)
        train(board, pack) if len(packs) > 1 else board.lose(pack.pack_id)

    with pytest.raises(LabError, match="lost"):
        search_through(lab, search, lose)
    assert [is_done(lab, pack) for pack in packs] == [False, True, True]


def test_a_pack_of_a_leg_that_leaves_no_result_ends_the_search(lab: Lab, search: ResolvedSearch) -> None:
    with pytest.raises(LabError, match="left no result"):
        search_through(lab, search, lambda board, pack: None)
