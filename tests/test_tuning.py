"""What Tune asks for packs: batch after batch, nothing more after an error, and less of each the more there are."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.tune.utils.object_cache import _ObjectCache

from bridgelab import tuning
from bridgelab.board import Board, Silent
from bridgelab.errors import LabError
from bridgelab.feed import Batch, Feed, scheduler
from bridgelab.lab import Lab
from bridgelab.lease import Watch
from bridgelab.planning import PackPlan
from bridgelab.publication import publish_rows
from bridgelab.results import Results
from bridgelab.specs import Entry
from bridgelab.trainable import is_done
from bridgelab.trial import Runtime, run_pack
from bridgelab.tuning import Work


@pytest.fixture
def packs(make_trial) -> list[PackPlan]:
    return [PackPlan((Entry(make_trial(i), attempt=0, trained=False),)) for i in range(3)]


def feed_of(lab: Lab, batches: Iterator[Batch]) -> tuple[Feed, Board, list[Batch]]:
    filled: list[Batch] = []
    board = Board(lab, Silent())
    return Feed(batches, board, filled.append), board, filled


def test_the_next_batch_is_asked_for_when_the_one_beforeis_done(lab: Lab, packs: list[PackPlan]) -> None:
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


@pytest.mark.parametrize(("n_kept", "kept"), [(2, [True, True, False]), (0, [True, False, False])])
def test_workers_that_wait_for_a_batch_are_kept(n_kept: int, kept: list[bool]) -> None:
    workers, needs = _ObjectCache(), "a core"
    in_turn, controller = scheduler(n_kept), SimpleNamespace(_actor_cache=workers)
    for _ in range(3):
        in_turn.on_trial_add(controller, SimpleNamespace(placement_group_factory=needs))
    assert [workers.cache_object(needs, worker) for worker in range(3)] == kept
    assert list(workers.flush_cached_objects()) == []


@pytest.fixture
def work(lab: Lab) -> Work:
    """Packs for the GPUs of a cluster."""
    return Work(lab, "a-sweep", Path(), Watch(lab), {}, "cuda", "head:6379", None, 1, 30.0, Silent())


@pytest.mark.parametrize(("gpus", "seconds"), [(1, 0.5), (8, 0.5), (64, 1.28), (512, 10.24)])
def test_all_packs_together_report_no_oftener_than_the_driver_can_hear(
    work: Work, monkeypatch: pytest.MonkeyPatch, gpus: int, seconds: float
) -> None:
    monkeypatch.setattr(tuning, "n_slots", lambda device, address: gpus)
    assert work.report_every_s == seconds


def test_packs_find_a_place_on_nodes_of_every_kind(work: Work, packs: list[PackPlan], lab: Lab) -> None:
    nodes = [{"cpu": 2, "gpu": 1}, {"cpu": 1, "gpu": 4}, {"cpu": 64, "gpu": 0}]  # few cores, many GPUs, none
    feed, _, _ = feed_of(lab, iter([Batch(tuple(packs * 7), set())]))
    assert not feed.has_ended()
    for number in range(len(packs) * 7):  # whichever node is free, and however fast: it can take the next pack
        fits = [all(node[kind] >= asked for kind, asked in work.resources.items()) for node in nodes]
        assert fits == [True, True, False]
        assert feed.start(str(number)) is not None
        feed.end(str(number))
    assert feed.has_ended()


def test_a_pack_reads_the_rows_of_others_only_where_its_own_files_are_there(
    lab: Lab, around, packs: list[PackPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = packs[:2]
    publish_rows(lab, theirs, run_pack(Runtime(theirs.pack_id), theirs.entries, around).rows)
    with monkeypatch.context() as patched:
        patched.setattr(Results, "read_part", lambda *given: pytest.fail("it read a part"))
        assert not is_done(lab, ours)
    assert is_done(lab, theirs)
    lab.remove(f"bridges/{theirs.entries[0].spec.trial_id}.safetensors")
    assert is_done(lab, theirs)  # by its part: a trial that failed leaves no bridge
