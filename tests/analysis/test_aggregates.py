"""The aggregates of rliable, against its own numbers and scipy's."""

import numpy as np
import pytest
from scipy import stats

import analysis
from analysis import statistics

A = [
    [0.703, 0.836],
    [0.822, 0.649],
    [0.67, 0.647],
    [0.757, 0.694],
    [0.775, 0.515],
    [0.857, 0.69],
    [0.768, 0.686],
    [0.662, 0.746],
]
B = [
    [0.749, 0.626],
    [0.632, 0.732],
    [0.546, 0.468],
    [0.697, 0.57],
    [0.42, 0.552],
    [0.594, 0.507],
    [0.471, 0.654],
    [0.758, 0.622],
]
BY_RLIABLE_1_2 = {"iqm of A": 0.71425, "iqm of B": 0.5995, "A improves on B": 0.828125}
"""Computed by rliable 1.2.0 in an environment of its own: it does not import beside pandas 3."""


def test_aggregates_are_those_of_rliable(lab, fill) -> None:
    scores = {"vanilla": A, "full": B}
    fill(
        "component_ablation",
        lambda arm, i, metric: scores.get(arm, B)[i][int(metric.endswith("ba"))],
        n_replicates=8,
    )
    found = analysis.aggregate(analysis.read_run(lab, "component_ablation")).set_index("arm_name")
    assert found.loc["vanilla", "iqm"] == pytest.approx(BY_RLIABLE_1_2["iqm of A"])
    assert found.loc["full", "iqm"] == pytest.approx(BY_RLIABLE_1_2["iqm of B"])
    assert found.loc["vanilla", "improvement"] == pytest.approx(BY_RLIABLE_1_2["A improves on B"])


def test_the_interquartile_mean_is_the_trimmed_mean() -> None:
    values = np.random.default_rng(0).normal(size=17)
    assert statistics.iqm(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_the_probability_of_improvement_is_mann_whitneys() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 5, 8).astype(float), rng.integers(0, 5, 9).astype(float)
    assert statistics.probability_of_improvement(a, b) == pytest.approx(stats.mannwhitneyu(a, b).statistic / 72)


def test_an_arm_that_always_wins_is_said_to(lab, fill) -> None:
    fill("component_ablation", lambda arm, i, metric: (0.9 if arm == "vanilla" else 0.5) + 0.01 * i)
    found = analysis.aggregate(analysis.read_run(lab, "component_ablation")).set_index("arm_name")
    assert found.loc["vanilla", "improvement"] == found.loc["vanilla", "improvement_low"] == 1.0
    assert found.loc["vanilla", "iqm"] == pytest.approx(0.915)
    assert np.isnan(found.loc["full", "improvement"])
    assert found.loc["full", "iqm_low"] < found.loc["full", "iqm"] < found.loc["full", "iqm_high"]


def test_the_bootstrap_is_scipys() -> None:
    values = np.random.default_rng(2).normal(size=12)
    low, high = statistics.percentile(lambda v: v.mean(-1), [values], n_resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=3, n_resamples=20_000).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_an_improvement_is_bootstrapped_as_by_resampling_the_scores(lab, fill) -> None:
    scores = {"vanilla": A, "full": B}
    fill(
        "component_ablation",
        lambda arm, i, metric: round(scores.get(arm, B)[i][int(metric.endswith("ba"))], 1),  # with ties
        n_replicates=8,
    )
    found = analysis.aggregate(analysis.read_run(lab, "component_ablation")).set_index("arm_name")

    def improvement(a_RnT: np.ndarray, b_RnT: np.ndarray) -> np.ndarray:
        return statistics.probability_of_improvement(a_RnT.swapaxes(1, 2), b_RnT.swapaxes(1, 2)).mean(-1)

    low, high = statistics.percentile(improvement, [np.round(A, 1), np.round(B, 1)])
    assert (found.loc["vanilla", "improvement_low"], found.loc["vanilla", "improvement_high"]) == (low, high)
