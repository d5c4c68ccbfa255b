"""What Tune asks for packs: batch after batch, and nothing more after an error."""

from collections.abc import Iterator

import pytest

from bridgelab.board import Board, Silent
from bridgelab.errors import LabError
from bridgelab.lab import Lab
from bridgelab.planning import PackPlan
from bridgelab.specs import Entry
from bridgelab.tuning import Batch, _Feed


@pytest.fixture
def packs(make_trial) -> list[PackPlan]:
    return [PackPlan((Entry(make_trial(i), attempt=0, trained=False),)) for i in range(3)]


def feed_of(lab: Lab, batches: Iterator[Batch]) -> tuple[_Feed, Board, list[Batch]]:
    filled: list[Batch] = []
    board = Board(lab, Silent())
    return _Feed(batches, board, filled.append), board, filled


def test_the_next_batch_is_asked_for_when_the_one_before_is_done(lab: Lab, packs: list[PackPlan]) -> None:
    feed, _, filled = feed_of(lab, iter([Batch(tuple(packs[:2]), set()), Batch((packs[2],), set())]))
    assert not feed.has_ended()
    assert [feed.start("t0"), feed.start("t1"), feed.start("t2")] == [
        {"pack": packs[0].pack_id},
        {"pack": packs[1].pack_id},
        None,
    ]
    feed.end("t0")
    assert not feed.has_ended()
    assert len(filled) == 1  # t1 still runs
    feed.end("t1")
    assert not feed.has_ended()
    assert feed.start("t2") == {"pack": packs[2].pack_id}
    feed.end("t2")
    assert feed.has_ended()
    assert feed.error is None


def test_what_the_batches_raise_ends_the_feed_and_is_kept(lab: Lab, packs: list[PackPlan]) -> None:
    def batches() -> Iterator[Batch]:
        yield Batch((packs[0],), set())
        raise LabError("the lab is gone")

    feed, _, _ = feed_of(lab, batches())
    assert not feed.has_ended()
    feed.start("t0")
    feed.end("t0")
    assert feed.has_ended()
    assert isinstance(feed.error, LabError)


def test_after_an_error_of_the_lab_no_batch_is_asked_for(lab: Lab, packs: list[PackPlan]) -> None:
    feed, board, filled = feed_of(lab, iter([Batch((packs[0],), set())]))
    board.lab_error = "it cannot be written"
    assert feed.has_ended()
    assert filled == []


def test_progress_counts_all_batches(lab: Lab, packs: list[PackPlan]) -> None:
    told = []

    class Heard(Silent):
        def steps(self, done: int, total: int, trials_done: int, trials: int) -> None:
            told.append((done, total, trials))

    board, n_steps = Board(lab, Heard()), packs[0].n_steps
    board.expect(packs[:2])
    board.take(packs[0].pack_id, {"steps": n_steps})
    board.expect(packs[2:])
    assert told == [(0, 2 * n_steps, 2), (n_steps, 2 * n_steps, 2), (2 * n_steps, 3 * n_steps, 3)]
