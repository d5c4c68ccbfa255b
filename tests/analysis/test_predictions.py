"""What predictions say by class, against tables that can be worked out by hand."""

import numpy as np
import pytest

import analysis
from analysis import predictions
from bridgelab.results import Results

RENAMED = {0: 1, 1: 2, 2: 0}


@pytest.fixture
def run(lab, fill):
    """Vanilla turns every class into the next; full keeps 0 and 1, and calls half of class 2 a 0."""
    resolved = fill("component_ablation", lambda arm, replicate, metric: 0.5, n_replicates=2)
    rows = []
    for member in resolved.members:
        for item in range(12):
            source = item % 3
            kept = source if source < 2 or item % 2 else 0
            after = RENAMED[source] if member.arm.name == "vanilla" else kept
            rows.append(prediction(member, item, source, after))
            rows.append(prediction(member, item, source, source) | {"direction": "ba"})
            rows.append(prediction(member, item, 1, 0) | {"split": "validation"})
    Results(lab).write("predictions", "all", rows)
    return analysis.read_run(lab, "component_ablation")


def prediction(member, item, source, transferred):
    classes = dict.fromkeys(("true_label", "original", "reconstructed", "shared"), source)
    about = {"trial_id": member.trial.trial_id, "judge_id": member.trial.judge_id, "attempt": 0, "direction": "ab"}
    where = {"split": "test", "decode": member.arm.settings.decode, "item": item}
    return {**about, **where, **classes, "source": source, "transferred": transferred}


def of_arm(run, name, found):
    index = run.members.loc[run.members["arm_name"] == name, "arm_index"].iloc[0]
    return found[found["arm_index"] == index]


def test_a_confusion_matrix_holds_the_share_of_each_source_class(run) -> None:
    counts = of_arm(run, "full", analysis.confusion(run))
    assert predictions.matrix(counts, 3) == pytest.approx(np.array([[1, 0, 0], [0, 1, 0], [0.5, 0, 0.5]]))
    assert counts["count"].sum() == 2 * 12


def test_accuracy_by_class_is_that_of_the_diagonal(run) -> None:
    found = of_arm(run, "full", analysis.per_class(run)).set_index("source")
    assert found["mean"].to_dict() == {0: 1.0, 1: 1.0, 2: 0.5}
    assert set(found["n"]) == {2}


def test_a_permutation_of_classes_is_told_from_a_collapse(run) -> None:
    found = analysis.relabelled(run).groupby("arm_index")[["accuracy", "relabelled"]].mean()
    names = run.members.drop_duplicates("arm_index").set_index("arm_index")["arm_name"]
    by_name = found.rename(index=names.to_dict())
    assert tuple(by_name.loc["vanilla"]) == (0.0, 1.0)
    assert tuple(by_name.loc["full"]) == pytest.approx((10 / 12, 10 / 12))


def test_each_direction_has_its_own_predictions(run) -> None:
    assert set(analysis.relabelled(run, "transfer_accuracy_ba")["accuracy"]) == {1.0}
