"""Which samples carry a label: evenly, nested, and drawn apart for each side."""

import itertools

import numpy as np
import pytest

from bridgelab.bridge.pool import in_terms_of_a, pool
from bridgelab.config import UNLABELLED
from bridgelab.latents import Latents

LABELS = np.repeat(np.arange(10), 30)[np.random.default_rng(0).permutation(300)]
NOISE = np.random.default_rng(1).normal(size=(300, 10)).astype(np.float32)
LATENTS = Latents(8 * np.eye(10, dtype=np.float32)[LABELS] + NOISE, 0 * NOISE, LABELS)


def labelled(make_trial, side="a", replicate=0, **values):
    return pool(make_trial(replicate, **values), side, LATENTS).labelled


@pytest.mark.parametrize("n", [0, 10, 100, 300])
def test_labels_are_spread_evenly_over_the_classes(make_trial, n: int) -> None:
    counts = np.bincount(LABELS[labelled(make_trial, n_labels=n)], minlength=10)
    assert (counts == n // 10).all()


def test_a_count_that_does_not_divide_is_spread_as_evenly_as_it_can_be(make_trial) -> None:
    counts = np.bincount(LABELS[labelled(make_trial, n_labels=13)], minlength=10)
    assert (counts.min(), counts.max(), counts.sum()) == (1, 2, 13)


def test_label_sets_of_a_replicate_are_nested(make_trial) -> None:
    sets = [set(labelled(make_trial, n_labels=n)) for n in (0, 7, 10, 50, 100, 299, "all")]
    for smaller, larger in itertools.pairwise(sets):
        assert smaller < larger


def test_all_labels_are_all_samples(make_trial) -> None:
    assert np.array_equal(labelled(make_trial, n_labels="all"), np.arange(300))


def test_both_sides_draw_independently_unless_told_otherwise(make_trial) -> None:
    apart = [set(labelled(make_trial, side, n_labels=100)) for side in "ab"]
    same = [set(labelled(make_trial, side, n_labels=100, labelled="same")) for side in "ab"]
    assert apart[0] != apart[1]
    assert same[0] == same[1]


def test_replicates_draw_independently(make_trial) -> None:
    assert set(labelled(make_trial, n_labels=100)) != set(labelled(make_trial, replicate=1, n_labels=100))


def test_disjoint_pools_share_no_sample_and_leave_none_out(make_trial) -> None:
    a, b = (pool(make_trial(overlap="disjoint", n_labels=50), side, LATENTS) for side in ("a", "b"))
    assert sorted([*a.seen, *b.seen]) == list(range(300))
    assert set(a.labelled) <= set(a.seen)
    assert set(b.labelled) <= set(b.seen)


def spread(make_trial, **values):
    return pool(make_trial(label_spreading=True, **values), "a", LATENTS)


def test_a_label_goes_on_to_the_samples_near_it(make_trial) -> None:
    found = spread(make_trial, n_labels=10)
    assert np.array_equal(found.labels, LABELS)
    assert np.array_equal(found.labelled, found.seen)


def test_a_sample_that_is_not_seen_gets_no_label(make_trial) -> None:
    found = spread(make_trial, n_labels=50, overlap="disjoint")
    assert set(found.labelled) <= set(found.seen)
    assert np.array_equal(np.flatnonzero(found.labels != UNLABELLED), found.seen)


@pytest.mark.parametrize("n", [0, "all"])
def test_without_a_label_or_without_need_nothing_is_spread(make_trial, n) -> None:
    found = spread(make_trial, n_labels=n)
    assert np.array_equal(found.labelled, labelled(make_trial, n_labels=n))
    assert ((found.labels == LABELS) | (found.labels == UNLABELLED)).all()


def test_an_item_without_a_label_keeps_none_under_a_class_map() -> None:
    found = in_terms_of_a(np.array([0, UNLABELLED, 2]), "b", (1, 2, 0))
    assert found.tolist() == [2, UNLABELLED, 1]
