"""The plane of Fig. 2: two ellipses whose classes lie across each other."""

import numpy as np
import pytest

from bridgelab.domains import SPLITS, get_domain
from bridgelab.domains.plane import ELLIPSES

PLANE = get_domain("plane")


@pytest.mark.parametrize("side", ["a", "b"])
def test_every_point_lies_in_its_ellipse(side) -> None:
    ellipse = ELLIPSES[side]
    for part in PLANE.load(side).values():
        scaled = (part.x - np.array(ellipse.centre)) / np.array(ellipse.semi_axes)
        assert (np.square(scaled).sum(1) <= 1 + 1e-5).all()


@pytest.mark.parametrize("side", ["a", "b"])
def test_the_rule_gives_the_labels(side) -> None:
    for part in PLANE.load(side).values():
        assert (PLANE.rule(side, part.x) == part.labels).all()


def test_the_classes_lie_above_and_below_on_one_side_and_left_and_right_on_the_other() -> None:
    a, b = PLANE.load("a")["train"], PLANE.load("b")["train"]
    assert a.x[a.labels == 1, 1].min() >= a.x[a.labels == 0, 1].max()
    assert b.x[b.labels == 1, 0].min() >= b.x[b.labels == 0, 0].max()


def test_the_splits_are_drawn_apart_and_are_always_the_same() -> None:
    first, again = PLANE.load("a"), PLANE.load("a")
    for split in SPLITS:
        assert np.array_equal(first[split].x, again[split].x)
        assert len(first[split]) == PLANE.split_sizes[split]
    assert not np.isin(first["test"].x[:, 0], first["train"].x[:, 0]).any()


def test_the_sides_are_different_data() -> None:
    assert PLANE.data_id("a") != PLANE.data_id("b")


def test_every_point_of_a_side_lies_where_its_side_is_and_not_where_the_other_is() -> None:
    for side, other in (("a", "b"), ("b", "a")):
        x = PLANE.load(side)["test"].x
        assert PLANE.landed(side, x).all()
        assert PLANE.landed(other, x).mean() < 0.2
