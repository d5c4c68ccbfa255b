"""The aggregates of rliable, against its own numbers and scipy's."""

import numpy as np
import pytest
from scipy import stats

import analysis
from analysis import statistics


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
