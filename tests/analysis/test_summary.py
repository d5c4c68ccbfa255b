"""n, mean and interval of each arm, against numbers worked by hand and by scipy."""

import math

import numpy as np
import pytest
from scipy import stats

import analysis
from analysis.summary import student_t
from bridgelab.errors import LabError
from bridgelab.metrics import METRICS
from bridgelab.study import Selection


def by_replicate(arm: str, replicate: int, metric: str) -> float:
    return 0.5 + 0.1 * replicate


def test_the_interval_is_students_t() -> None:
    values = np.array([0.91, 0.95, 0.93, 0.97, 0.92])
    mean, sd, low, high = student_t(values)
    expected = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected)
    assert (mean, sd) == pytest.approx((0.936, math.sqrt(0.00232 / 4)), abs=1e-9)


def test_one_value_has_a_mean_and_no_interval_and_none_has_neither() -> None:
    assert student_t(np.array([0.5]))[0] == 0.5
    assert math.isnan(student_t(np.array([0.5]))[2])
    assert math.isnan(student_t(np.array([]))[0])


def test_the_interval_covers_the_mean_of_normal_replicates_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        _, _, low, high = student_t(0.5 + 0.05 * rng.normal(size=8))
        covered += low <= 0.5 <= high
    assert 0.93 < covered / 2000 < 0.97


def test_the_interval_of_an_accuracy_ends_at_0_and_1() -> None:
    _, _, low, high = student_t(np.array([0.1, 0.9]))
    assert (low, high) == (0.0, 1.0)


def test_a_summary_has_every_arm_and_metric_in_order(lab, fill) -> None:
    fill("label_efficiency", by_replicate)
    found = analysis.summarize(analysis.read_run(lab, "label_efficiency"))
    assert len(found) == 6 * len(METRICS)
    assert list(found["arm_name"].unique()) == [f"n_labels={n}" for n in (0, 10, 50, 100, 500, "all")]
    assert found["mean"].to_numpy() == pytest.approx(0.65)
    assert set(found["n"]) == {4}
    assert set(found["n_eval"]) == {359}


def test_n_base_counts_pairs_of_base_models(lab, fill) -> None:
    fill("label_efficiency", by_replicate, n_replicates=6, n_base=2)
    found = analysis.summarize(analysis.read_run(lab, "label_efficiency"))
    assert (set(found["n"]), set(found["n_base"])) == ({6}, {2})


def test_over_enough_base_models_there_is_an_interval_of_its_own(lab, fill) -> None:
    """Replicates i and i + 4 share base models; only those of one base model differ from the others."""
    fill("label_efficiency", lambda arm, i, metric: 0.5 + 0.1 * (i % 4 == 0) + 0.001 * i, n_replicates=8, n_base=4)
    run = analysis.read_run(lab, "label_efficiency")
    row = analysis.summarize(run).iloc[0]
    by_base = [0.5 + 0.1 * (i == 0) + 0.001 * (i + 2) for i in range(4)]
    assert (row["base_low"], row["base_high"]) == pytest.approx(
        stats.t.interval(0.95, 3, loc=np.mean(by_base), scale=stats.sem(by_base))
    )
    assert row["base_high"] - row["base_low"] > row["ci_high"] - row["ci_low"]
    assert "replicates share 4 pairs of base models, and intervals speak of these; over base models" in analysis.render(
        run
    )


def test_a_failed_trial_is_counted_and_not_averaged(lab, fill) -> None:
    fill("label_efficiency", by_replicate, failed=(("n_labels=0", 3),))
    found = analysis.summarize(analysis.read_run(lab, "label_efficiency")).iloc[0]
    assert (found["n"], found["n_planned"]) == (3, 4)
    assert found["mean"] == pytest.approx(0.6)


def test_the_latest_run_is_read_and_others_by_their_id(lab, fill) -> None:
    first = fill("label_efficiency", by_replicate)
    second = fill("label_efficiency", by_replicate, recipe="paper")
    assert analysis.read_run(lab, "label_efficiency").study_id == second.study_id
    chosen = analysis.read_run(lab, "label_efficiency", study_id=first.study_id)
    assert (chosen.study_id, chosen.recipe) == (first.study_id, "default")


def test_a_smaller_run_takes_no_replicate_away(lab, fill) -> None:
    fill("label_efficiency", by_replicate, n_replicates=4)
    fill("label_efficiency", by_replicate, n_replicates=2)
    assert analysis.read_run(lab, "label_efficiency").members["replicate"].nunique() == 4
    fewer = analysis.read_run(lab, "label_efficiency", selection=Selection(n_replicates=3))
    assert fewer.members["replicate"].nunique() == 3


def test_a_lab_without_the_run_says_what_to_do(lab) -> None:
    with pytest.raises(LabError, match="bridgelab sweep label_efficiency"):
        analysis.read_run(lab, "label_efficiency")


def test_cells_of_any_number_of_values_are_each_as_by_itself(lab, fill) -> None:
    rng = np.random.default_rng(0)
    drawn = {}

    def value(arm: str, replicate: int, metric: str) -> float:
        return drawn.setdefault((arm, replicate, metric), float(np.round(rng.beta(8, 2), 3)))

    failed = [("n_labels=0", i) for i in range(12)] + [("n_labels=10", i) for i in range(4)] + [("n_labels=all", 7)]
    fill("label_efficiency", value, n_replicates=12, n_base=5, failed=tuple(failed))
    run = analysis.read_run(lab, "label_efficiency")
    found = analysis.summarize(run)
    assert set(found["n"]) == {0, 8, 11, 12}
    for row in found.to_dict("records"):
        of_cell = run.values[(run.values["arm_index"] == row["arm_index"]) & (run.values["metric"] == row["metric"])]
        values = of_cell["value"]
        assert values.tolist() == [v for (a, _, m), v in drawn.items() if (a, m) == (row["arm_name"], row["metric"])]
        expected = (values.mean(), values.std(), values.median(), of_cell["other"].mean())
        np.testing.assert_array_equal([row[k] for k in ("mean", "sd", "median", "mean_other_decode")], expected)
        assert row["n_base"] == len(set(of_cell["replicate"] % 5))
        by_base = values.groupby(of_cell["replicate"] % 5).mean().to_numpy()
        between = student_t(by_base)[2:] if 4 <= len(by_base) < len(values) else (math.nan, math.nan)
        np.testing.assert_array_almost_equal((row["base_low"], row["base_high"]), between, decimal=12)
