"""Arms are compared with the reference in pairs, corrected for the family, with a verdict that says what it knows."""

import math

import pytest
from scipy import stats

import analysis
from analysis import methods

SPREAD = (0.003, -0.001, 0.002, 0.0, -0.002, 0.001, -0.003, 0.004)


def better(arm: str, replicate: int, metric: str) -> float:
    """Replicates differ by far more than arms do: only pairs can tell."""
    gain = {"vanilla": 0.02, "conditional": -0.01, "full": 0.0}.get(arm, 0.001 * (-1) ** replicate)
    return 0.5 + 0.04 * replicate + gain + SPREAD[replicate] * (arm != "full")


def test_differences_are_taken_within_replicates(lab, fill) -> None:
    fill("component_ablation", better, n_replicates=8)
    found = analysis.compare(analysis.read_run(lab, "component_ablation")).set_index("arm_name")
    for arm, gain in (("vanilla", 0.02), ("conditional", -0.01)):
        expected = [gain + s for s in SPREAD]
        interval = stats.t.interval(0.95, 7, loc=sum(expected) / 8, scale=stats.sem(expected))
        assert found.loc[arm, "difference"] == pytest.approx(sum(expected) / 8)
        assert (found.loc[arm, "ci_low"], found.loc[arm, "ci_high"]) == pytest.approx(interval)
    assert found["verdict"].to_dict() == {
        "vanilla": "higher",
        "conditional": "lower",
        "no conditioning": "none shown",
        "no classifier": "none shown",
        "no gated head": "none shown",
    }
    assert found.loc["vanilla", "p"] == 2 / 256
    assert found.loc["vanilla", "p_holm"] == found.loc["vanilla", "smallest_p"] == 10 / 256


def test_a_table_of_many_pairs_says_that_flips_are_sampled(lab, fill) -> None:
    fill("component_ablation", lambda arm, i, metric: better(arm, i % 8, metric), n_replicates=17)
    run = analysis.read_run(lab, "component_ablation")
    assert "p: sampled sign-flip test, two-sided; Holm over 5 arms" in analysis.render(run)
    assert "by the sampled sign-flip test" in " ".join(methods.paragraph(run))
    assert analysis.compare(run)["smallest_p"].min() == pytest.approx(5 / 20_001)


def test_too_few_pairs_are_called_underpowered_whatever_they_show(lab, fill) -> None:
    fill("component_ablation", better, n_replicates=4)
    found = analysis.compare(analysis.read_run(lab, "component_ablation"))
    assert set(found["verdict"]) == {"underpowered"}


def test_an_arm_with_a_collapsed_replicate_gets_no_verdict(lab, fill) -> None:
    fill(
        "component_ablation", lambda arm, i, m: 0.1 if (arm, i) == ("vanilla", 3) else better(arm, 0, m), n_replicates=8
    )
    found = analysis.compare(analysis.read_run(lab, "component_ablation")).set_index("arm_name")
    assert found.loc["vanilla", "verdict"] == "no verdict: replicates fall into two groups"


def test_a_pair_that_lacks_a_side_is_left_out(lab, fill) -> None:
    fill("component_ablation", better, n_replicates=8, failed=(("vanilla", 2), ("full", 5)), failure="lost")
    found = analysis.compare(analysis.read_run(lab, "component_ablation")).set_index("arm_name")
    assert found["n"].to_dict()["vanilla"] == 6
    assert found["n"].to_dict()["conditional"] == 7


def test_a_replicate_that_diverged_ranks_worst_in_its_pair(lab, fill) -> None:
    fill("component_ablation", better, n_replicates=8, failed=(("vanilla", 2),))
    run = analysis.read_run(lab, "component_ablation")
    found = analysis.compare(run).set_index("arm_name").loc["vanilla"]
    assert (found["n"], found["n_nan"]) == (8, 1)
    others = [0.02 + spread for i, spread in enumerate(SPREAD) if i != 2]
    assert found["difference"] == pytest.approx((sum(others) - (0.5 + 0.04 * 2)) / 8)
    assert "1 replicate diverged" in analysis.render(run, "md")


def test_an_accuracy_of_zero_is_no_divergence(lab, fill) -> None:
    fill("component_ablation", lambda arm, i, metric: 0.0 if arm == "vanilla" else better(arm, i, metric))
    run = analysis.read_run(lab, "component_ablation")
    assert set(analysis.compare(run)["n_nan"]) == {0}
    assert "diverged" not in analysis.render(run, "md")


def test_an_arm_that_has_not_run_has_no_difference(lab, fill) -> None:
    fill("component_ablation", better, n_replicates=2, failed=(("vanilla", 0), ("vanilla", 1)), failure="lost")
    run = analysis.read_run(lab, "component_ablation")
    found = analysis.compare(run).set_index("arm_name")
    assert found.loc["vanilla", "n"] == 0
    assert math.isnan(found.loc["vanilla", "difference"])
    assert "| vanilla" in analysis.render(run, "md").split("against full")[1]


def test_before_any_pair_has_run_nothing_is_compared(lab, fill) -> None:
    fill("component_ablation", better, n_replicates=1, failed=(("full", 0),), failure="lost")
    assert "against full" not in analysis.render(analysis.read_run(lab, "component_ablation"), "md")
