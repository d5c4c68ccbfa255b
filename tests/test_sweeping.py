"""What a sweep says that it did."""

from bridgelab.board import Board, Silent
from bridgelab.display import failure_lines, plan_line
from bridgelab.lab import Lab
from bridgelab.planning import PackPlan, plan
from bridgelab.publication import parts_of, publish_rows
from bridgelab.specs import Entry
from bridgelab.study import Selection
from bridgelab.sweeping import Outcome, outcome_of
from bridgelab.trial import Runtime, Surroundings, run_pack

SMOKE = Selection(pair="plane-plane", preset="smoke", n_replicates=1)


def publish(lab: Lab, pack: PackPlan, around: Surroundings) -> None:
    publish_rows(lab, pack, run_pack(Runtime(pack.pack_id), pack.entries, around).rows)


def told(outcome: Outcome) -> tuple[str, int]:
    return plan_line(outcome), len(list(failure_lines(outcome, "again")))


def test_a_trial_that_ran_and_failed_is_not_taken_from_those_that_were_there(lab: Lab, around) -> None:
    first, second = plan("component_ablation", lab=lab, selection=SMOKE, pack=3, n_workers=1).packs
    publish(lab, first, around)
    found, board = plan("component_ablation", lab=lab, selection=SMOKE, pack=3, n_workers=1), Board(lab, Silent())
    board.expect(found.packs)
    board.lose(second.pack_id)
    outcome = outcome_of(lab, found, board, 0.0)
    assert (outcome.n_run, outcome.n_cached, len(outcome.failed)) == (3, 3, 3)
    assert told(outcome) == ("3 of 6 trials run; 3 were there already", 4)
    again = plan("component_ablation", lab=lab, selection=SMOKE)
    assert plan_line(outcome_of(lab, again, Board(lab, Silent()), 0.0)) == "nothing to run: 3 of 6 trials are there"


def test_of_a_search_what_ran_was_not_there_before(lab: Lab, around, make_trial) -> None:
    (pack,) = plan("component_ablation", lab=lab, selection=SMOKE, n_workers=1).packs
    searched = PackPlan((Entry(make_trial(7), 0, False), Entry(make_trial(8), 0, True)))
    board = Board(lab, Silent())
    board.expect([searched, pack])
    board.take(searched.pack_id, {"parts": {}, "unevaluated": {make_trial(8).trial_id: ("error", "no judge")}})
    board.take(pack.pack_id, {"parts": parts_of(run_pack(Runtime("p"), pack.entries, around).rows), "unevaluated": {}})
    after = plan("component_ablation", lab=lab, selection=SMOKE)
    outcome = outcome_of(lab, after, board, 0.0)
    assert (outcome.n_run, outcome.n_cached, outcome.n_searched, outcome.failed) == (6, 0, 1, {})
    assert told(outcome) == ("1 trials of the search and 6 of 6 trials run", 0)
