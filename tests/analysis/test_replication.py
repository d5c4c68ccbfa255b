"""The paper beside ours: which numbers may be compared, over what the interval goes, and what a verdict needs."""

import numpy as np
import pytest

import analysis
from analysis import paper, statistics
from analysis.replication import _verdict, item_means, replicate
from bridgelab.results import SCHEMAS, Results

CLASS_COLUMNS = ("true_label", "original", "source", "transferred", "reconstructed", "shared")


@pytest.fixture
def run(lab, fill, monkeypatch: pytest.MonkeyPatch):
    """A run of digits that the paper is said to speak of, whose arm with 10 labels has predictions of 20 items."""
    monkeypatch.setattr(paper, "DIGITS", "digits-digits")
    resolved = fill("label_efficiency", lambda arm, replicate, metric: [0.3, 0.4, 0.3, 0.2][replicate])
    rows = []
    for member in resolved.members:
        if member.arm.name != "n_labels=10":
            continue
        for item in range(20):
            row = dict.fromkeys(SCHEMAS["predictions"].names) | dict.fromkeys(CLASS_COLUMNS, 3)
            row |= {"trial_id": member.trial.trial_id, "attempt": 0, "judge_id": member.trial.judge_id, "item": item}
            wrong = item >= 10 or (item >= 4 and member.replicate % 2)
            row |= {"direction": "ab", "split": "test", "decode": "mean", "transferred": 7 if wrong else 3}
            rows.append(row)
    Results(lab).write("predictions", resolved.study_id, rows)
    return analysis.read_run(lab, "label_efficiency")


def test_item_means_say_how_often_each_item_was_right(run) -> None:
    arm_index = int(run.members.loc[run.members["arm_name"] == "n_labels=10", "arm_index"].iloc[0])
    means = item_means(run, arm_index, "transfer_accuracy", "transfer_accuracy_ab")
    assert means.tolist() == [1.0] * 4 + [0.5] * 6 + [0.0] * 10


def test_the_interval_goes_over_replicates_and_items(run) -> None:
    found = replicate(run).set_index("arm_name").loc["n_labels=10"]
    items = np.array([1.0] * 4 + [0.5] * 6 + [0.0] * 10)
    low, high = statistics.over_items(np.array([0.3, 0.4, 0.3, 0.2]), items)
    assert (found["n"], found["m"], found["paper"]) == (4, 20, 0.339)
    assert found["ci_low"] == pytest.approx(low)
    assert found["ci_high"] == pytest.approx(high)
    alone = statistics.student_t(np.array([0.3, 0.4, 0.3, 0.2]))
    assert found["ci_high"] - found["ci_low"] > alone[1] - alone[0]
    assert found["paper_error"] == pytest.approx((0.339 * 0.661 / 1000) ** 0.5)


def test_the_table_and_the_report_show_the_verdicts(run) -> None:
    shown = analysis.render(run, "md")
    assert "against the paper" in shown
    assert "inconclusive" in shown
    assert "The paper and ours" in analysis.render_report([run])


@pytest.mark.parametrize(
    ("narrow", "wide", "said"),
    [
        ((0.965, 0.985), (0.963, 0.987), "replicated"),
        ((0.955, 0.985), (0.953, 0.987), "inconclusive"),
        ((0.90, 0.94), (0.89, 0.95), "lower"),
        ((0.90, 0.955), (0.89, 0.965), "inconclusive"),
        ((0.9, 1.1), (float("nan"), float("nan")), "inconclusive: predictions of test items are missing"),
    ],
)
def test_a_verdict_is_by_the_margin_that_was_fixed(narrow, wide, said: str) -> None:
    assert _verdict(np.array([0.9, 0.91, 0.92]), narrow, wide, 0.98) == said


def test_one_replicate_is_inconclusive() -> None:
    nowhere = (float("nan"), float("nan"))
    assert _verdict(np.array([0.98]), nowhere, nowhere, 0.98) == "inconclusive: one replicate"


def test_higher_needs_the_whole_interval_beyond_the_margin() -> None:
    assert _verdict(np.array([0.6, 0.61]), (0.57, 0.63), (0.56, 0.64), 0.524) == "higher"
    assert _verdict(np.array([0.6, 0.61]), (0.55, 0.63), (0.54, 0.64), 0.524) == "inconclusive"


def test_an_arm_that_fell_apart_gets_no_verdict() -> None:
    values = np.array([0.98, 0.97, 0.98, 0.1])
    assert _verdict(values, (0.5, 1.0), (0.4, 1.0), 0.98) == "no verdict: replicates fall into two groups"


@pytest.mark.parametrize(
    ("study", "pair", "arm", "metric", "number"),
    [
        ("transfer_pairs", "mnist-fashion_mnist", "bridge", "transfer_accuracy_ab", 0.945),
        ("transfer_pairs", "mnist-fashion_mnist", "bridge", "transfer_accuracy_ba", 0.890),
        ("transfer_pairs", "mnist-sc09", "bridge", "transfer_accuracy_ba", 0.982),
        ("transfer_pairs", "mnist-fsdd", "bridge", "transfer_accuracy_ab", None),
        ("baselines", "mnist-fashion_mnist", "Procrustes", "transfer_accuracy_ab", None),
        ("reconstruction", "mnist-fashion_mnist", "bridge", "bridge_reconstruction_accuracy_b", 0.903),
        ("reconstruction", "digits-digits", "bridge", "bridge_reconstruction_accuracy_a", None),
        ("label_efficiency", "mnist-fashion_mnist", "n_labels=all", "transfer_accuracy_ab", 0.945),
        ("label_efficiency", "mnist-mnist", "n_labels=all", "transfer_accuracy_ab", None),
        ("label_efficiency", "mnist-mnist", "n_labels=all", "transfer_accuracy_ba", None),
    ],
)
def test_a_published_number_stands_only_where_it_is_of_the_same_thing(study, pair, arm, metric, number) -> None:
    assert paper.published(study, pair, arm, {"n_labels": "all"}, metric) == number


def test_other_data_than_the_papers_is_said_to_be() -> None:
    assert paper.other_data("mnist-mnist", 7_000) == "trained on 7,000 images a side where the paper has 60,000"
    of_one_side = "trained on 7,000 images of mnist where the paper has 60,000"
    assert paper.other_data("mnist-fashion_mnist", 7_000) == of_one_side
    assert paper.other_data("mnist-fashion_mnist", 52_500) is None
    assert paper.other_data("digits-digits", 1_259) is None
