"""What the driver does with a report: it publishes what a worker made, and counts nothing twice."""

import pytest

from bridgelab.board import Board, Silent
from bridgelab.lab import Lab
from bridgelab.planning import PackPlan, plan
from bridgelab.publication import parts_of
from bridgelab.results import Results
from bridgelab.specs import Entry
from bridgelab.study import Selection
from bridgelab.trial import Runtime, run_pack

SMOKE = Selection(pair="plane-plane", preset="smoke", n_replicates=1)


def test_the_rows_of_a_pack_are_published_as_its_worker_made_them(lab: Lab, around) -> None:
    pack = plan("component_ablation", lab=lab, selection=SMOKE, pack=2).packs[0]
    board, rows = Board(lab, Silent()), run_pack(Runtime(pack.pack_id), pack.entries, around).rows
    board.expect([pack])
    board.take(pack.pack_id, {"steps": pack.n_steps, "parts": parts_of(rows), "unevaluated": {}})
    for table, found in rows.items():
        assert Results(lab).read(table).to_pylist() == found.to_pylist()
    assert board.done == {entry.spec.trial_id for entry in pack.entries}
    again = plan("component_ablation", lab=lab, selection=SMOKE)
    assert again.count("cached") == 2


def test_a_trial_that_could_not_be_evaluated_anew_is_not_done(lab: Lab, make_trial) -> None:
    pack, board = PackPlan((Entry(make_trial(0), 0, True), Entry(make_trial(1), 0, True))), Board(lab, Silent())
    bad = make_trial(0).trial_id
    board.expect([pack])
    board.take(pack.pack_id, {"parts": {}, "unevaluated": {bad: ("error", "its judge is gone")}})
    assert board.done == {make_trial(1).trial_id}
    assert board.unevaluated == {bad: ("error", "its judge is gone")}


def test_a_trial_that_is_evaluated_after_all_is_no_failure(lab: Lab, make_trial) -> None:
    pack, board = PackPlan((Entry(make_trial(0), 0, True), Entry(make_trial(1), 0, True))), Board(lab, Silent())
    ids = [entry.spec.trial_id for entry in pack.entries]
    board.expect([pack])
    board.take(pack.pack_id, {"parts": {}, "unevaluated": dict.fromkeys(ids, ("oom", "no room"))})
    board.take(pack.pack_id, {"parts": {}, "unevaluated": {ids[1]: ("oom", "no room")}})
    assert board.unevaluated == {ids[1]: ("oom", "no room")}


def test_workers_that_die_while_they_evaluate_leave_a_trial_unevaluated(lab: Lab, make_trial) -> None:
    pack, board = PackPlan((Entry(make_trial(0), 0, True),)), Board(lab, Silent())
    board.expect([pack])
    board.lose(pack.pack_id)
    assert (board.done, {i: kind for i, (kind, _) in board.unevaluated.items()}) == (
        set(),
        {make_trial(0).trial_id: "lost"},
    )


def test_a_report_counts_no_other_pack(lab: Lab, make_trial, monkeypatch: pytest.MonkeyPatch) -> None:
    packs, board = [PackPlan((Entry(make_trial(i), 0, False),)) for i in range(4)], Board(lab, Silent())
    board.expect(packs)
    counted: list[PackPlan] = []
    monkeypatch.setattr(PackPlan, "n_steps", property(counted.append))
    for step in range(3):
        board.take(packs[0].pack_id, {"steps": step})
    assert counted == []
