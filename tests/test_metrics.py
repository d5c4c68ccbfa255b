"""Accuracies, on predictions that can be counted by hand."""

import dataclasses
import math

import numpy as np
import pytest

from bridgelab.metrics import DIRECTIONS, METRICS, Found, Predictions, View, accuracies, locality, rows


def predictions() -> Predictions:
    def classes(*values: int) -> np.ndarray:
        return np.array(values, np.uint8)

    return Predictions(
        true=classes(0, 1, 2, 3),
        original=classes(0, 1, 2, 2),
        source=classes(0, 1, 1, 2),
        transferred=classes(0, 1, 1, 3),
        reconstructed=classes(0, 0, 0, 2),
        shared=classes(0, 1, 2, 0),
    )


def arrays(p: Predictions) -> list[tuple[str, np.ndarray]]:
    return [(name, values) for name, values in vars(p).items() if isinstance(values, np.ndarray)]


def test_each_accuracy_compares_what_its_name_says() -> None:
    assert accuracies("ab", predictions()) == {
        "transfer_accuracy_ab": 3 / 4,
        "transfer_accuracy_true_ab": 3 / 4,
        "bridge_reconstruction_accuracy_a": 2 / 4,
        "base_reconstruction_accuracy_a": 3 / 4,
        "shared_classifier_accuracy_a": 3 / 4,
    }


def test_a_base_model_that_cannot_encode_has_no_reconstruction_of_its_own() -> None:
    drawn = accuracies("ab", dataclasses.replace(predictions(), is_encoded=False))
    assert math.isnan(drawn["base_reconstruction_accuracy_a"])
    assert {n for n, v in drawn.items() if v != accuracies("ab", predictions())[n]} == {
        "base_reconstruction_accuracy_a"
    }


def test_the_two_directions_give_every_metric_once() -> None:
    found = [name for direction in DIRECTIONS for name in accuracies(direction, predictions())]
    assert sorted(found) == sorted(name for name in METRICS if "accuracy" in name)


def test_rows_say_on_how_many_items_and_under_which_judge() -> None:
    views = [View("test", "sample", direction) for direction in DIRECTIONS]
    found = rows("t", 2, "j", Found(dict.fromkeys(views, predictions()), {("test", "sample"): {"locality_ab": 0.5}}))
    assert len(found) == 11
    columns = ("trial_id", "attempt", "judge_id", "split", "decode", "n_eval")
    assert {tuple(row[name] for name in columns) for row in found} == {("t", 2, "j", "test", "sample", 4)}


def test_a_measure_of_a_direction_is_on_the_items_of_its_own_side() -> None:
    few = dataclasses.replace(predictions(), **{name: values[:3] for name, values in arrays(predictions())})
    views = {View("test", "mean", "ab"): predictions(), View("test", "mean", "ba"): few}
    measures = {"locality_ab": 0.5, "fid_ba": 1.0, "path_jump_within_ab": 2.0, "shared_distance": 3.0}
    found = {row["metric"]: row["n_eval"] for row in rows("t", 1, "j", Found(views, {("test", "mean"): measures}))}
    assert [found[name] for name in measures] == [4, 3, 4, 3]  # the shared space is compared on as many of both


def test_transfer_is_measured_against_the_judge_of_the_source_and_not_the_label() -> None:
    p = predictions()
    wrong_source = Predictions(p.true, p.original, p.transferred, p.transferred, p.reconstructed, p.shared)
    assert accuracies("ba", wrong_source)["transfer_accuracy_ba"] == pytest.approx(1.0)


def test_locality_is_1_for_a_turn_and_0_for_a_shuffle() -> None:
    rng = np.random.default_rng(0)
    z_ND = rng.normal(size=(500, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert locality(z_ND, 2 * z_ND @ turn + 5) == pytest.approx(1.0)
    assert abs(locality(z_ND, rng.permutation(z_ND))) < 0.1
