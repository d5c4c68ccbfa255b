"""Leases: one holder at a time, found out by a counter that moves."""

import time

import pytest

from bridgelab import lease
from bridgelab.lab import Lab
from bridgelab.lease import Lease, LostLeaseError, Watch, read_beat, release


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    monkeypatch.setattr(lease, "STALE_S", 0.4)


def take(lab: Lab, sweep: str, adoptable=()):
    return Lease.take(lab, "p", {"trials": ["t"]}, sweep, adoptable)


def test_a_pack_has_one_holder(lab: Lab) -> None:
    with take(lab, "one"):
        assert take(lab, "two") is None


def test_a_holder_that_lives_is_seen_to_live(lab: Lab) -> None:
    with take(lab, "one"):
        assert Watch(lab).settle() == {"p": "live"}


def test_a_holder_that_died_is_seen_to_be_gone_and_its_pack_is_taken_over(lab: Lab) -> None:
    take(lab, "one")
    watch = Watch(lab)
    assert watch.look() == {"p": "unknown"}
    assert watch.settle() == {"p": "stale"}
    with take(lab, "two", adoptable={"p"}):
        assert read_beat(lab, "p").adopted == 1


def test_a_worker_of_the_same_sweep_takes_its_pack_again_at_once(lab: Lab) -> None:
    take(lab, "one")
    assert take(lab, "one") is not None


def test_a_pack_that_was_let_go_is_free_at_once(lab: Lab) -> None:
    take(lab, "one")
    release(lab, "one")
    assert Watch(lab).look() == {"p": "free"}
    assert take(lab, "two") is not None


def test_letting_go_leaves_the_packs_of_others(lab: Lab) -> None:
    take(lab, "one")
    release(lab, "two")
    assert read_beat(lab, "p") is not None


def test_a_holder_that_comes_back_publishes_nothing_more(lab: Lab) -> None:
    with take(lab, "one") as zombie:
        zombie.at(1, 10)
        take(lab, "two", adoptable={"p"})
        with pytest.raises(LostLeaseError):
            zombie.check()
        time.sleep(0.2)
        with pytest.raises(LostLeaseError):
            zombie.at(2, 10)


def test_a_holder_that_slept_looks_before_it_goes_on(lab: Lab) -> None:
    asleep = take(lab, "one")  # no thread of it runs, as in a process that is stopped
    take(lab, "two", adoptable={"p"})
    asleep.at(1, 10)
    time.sleep(0.25)
    with pytest.raises(LostLeaseError):
        asleep.at(2, 10)


def test_a_lease_says_how_far_its_pack_is(lab: Lab) -> None:
    with take(lab, "one") as mine:
        mine.at(320, 1200)
        time.sleep(0.2)
        beat = read_beat(lab, "p")
    assert (beat.step, beat.n_steps) == (320, 1200)


def test_a_lease_that_is_not_one_is_nobodys(lab: Lab) -> None:
    lab.publish("packs/p/lease.json", b'{"owner": 3, "extra": 1}')
    assert read_beat(lab, "p") is None
