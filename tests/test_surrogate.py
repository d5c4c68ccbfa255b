"""What a Gaussian process expects of arms is nearer to the truth than what each of them had."""

import numpy as np

from bridgelab.config import Categorical, Float, Int
from bridgelab.surrogate import expected, place


def test_ranges_become_0_to_1_and_choices_coordinates() -> None:
    space = {
        "rate": Float(0.01, 1.0, log=True),
        "width": Int(0, 10),
        "heads": Categorical(["gated", "linear"]),
    }
    assert place({"rate": 0.1, "width": 5, "heads": "linear"}, space) == [0.5, 0.5, 0.0, 1.0]


def test_a_lucky_arm_far_from_the_good_ones_is_not_expected_to_be_the_best() -> None:
    places = np.linspace(0, 1, 25)[:, None]
    truth = 0.04 - (places[:, 0] - 0.25) ** 2
    gains = truth + np.random.default_rng(0).normal(0, 0.01, 25)
    gains[20] = 0.08
    assert int(np.argmax(gains)) == 20
    found = np.array(expected(places, gains, places))
    assert truth[np.argmax(found)] > 0.03
    assert np.abs(found - truth).mean() < np.abs(gains - truth).mean()


def test_the_same_gains_give_the_same_expectations() -> None:
    places, gains = np.linspace(0, 1, 10)[:, None], np.zeros(10)
    assert expected(places, gains, places[:2]) == expected(places, gains, places[:2])
