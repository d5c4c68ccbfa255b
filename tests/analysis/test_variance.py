"""Crossed seeds: the split of variance against a published one, by hand, and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

import analysis
from analysis import statistics
from analysis.variance import design
from bridgelab.replicates import Crossed

CROSSED = Crossed(base=4, label=2, bridge=2)


def of_base_only(arm: str, replicate: int, metric: str) -> float:
    return 0.5 + 0.1 * CROSSED.seeds(replicate).base


def test_what_varies_with_the_base_models_alone_is_theirs(lab, fill) -> None:
    fill("component_ablation", of_base_only, n_replicates=CROSSED)
    run = analysis.read_run(lab, "component_ablation")
    assert design(run) == CROSSED
    found = analysis.split_variance(run)
    full = found[found["arm_name"] == "full"].set_index("source")
    assert full.loc["base", "variance"] == pytest.approx(np.var([0.5, 0.6, 0.7, 0.8], ddof=1))
    assert full.loc["base", "share"] == pytest.approx(1.0)
    assert full.loc[["label", "bridge", "rest"], "variance"].to_numpy() == pytest.approx(0.0, abs=1e-12)


def test_a_source_with_few_levels_gets_no_interval(lab, fill) -> None:
    fill("component_ablation", lambda a, i, m: of_base_only(a, i, m) + 0.01 * (i % 3), n_replicates=CROSSED)
    found = analysis.split_variance(analysis.read_run(lab, "component_ablation"))
    by_source = found[found["arm_name"] == "full"].set_index("source")
    assert math.isnan(by_source.loc["label", "ci_low"])
    assert by_source.loc["base", "ci_low"] < by_source.loc["base", "variance"] < by_source.loc["base", "ci_high"]


def test_an_ordinary_study_has_no_split(lab, fill) -> None:
    fill("component_ablation", of_base_only)
    assert analysis.split_variance(analysis.read_run(lab, "component_ablation")).empty


def test_the_interval_of_a_component_covers_it_as_often_as_it_says() -> None:
    rng, covered, n_studies = np.random.default_rng(3), 0, 1_000
    for _ in range(n_studies):
        table = rng.normal(0, 1, 4)[:, None] + rng.normal(0, 1, (4, 4))
        means = table.mean(1)
        error_ms = ((table - means[:, None]) ** 2).sum() / 12
        _, low, high = statistics.variance_of(4 * ((means - table.mean()) ** 2).sum(), 3, 4, error_ms, 12)
        covered += low <= 1 <= high
    assert 0.93 <= covered / n_studies <= 0.98


def test_the_component_of_one_factor_is_that_of_the_analysis_of_variance() -> None:
    groups = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [7.0, 8.0, 9.0], [1.0, 1.0, 4.0]])
    between = 3 * ((groups.mean(1) - groups.mean()) ** 2).sum()
    within = ((groups - groups.mean(1)[:, None]) ** 2).sum() / 8
    assert stats.f_oneway(*groups).statistic == pytest.approx(between / 3 / within)
    found, _, _ = statistics.variance_of(between, 3, 3, within, 8)
    assert found == pytest.approx((between / 3 - within) / 3)
