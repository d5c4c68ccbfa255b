"""Figures: the positions are tested as numbers, the drawing for what it shows."""

import math

import pytest

import analysis
from analysis import figures


def rising(arm: str, replicate: int, metric: str) -> float:
    return 0.5 + 0.1 * replicate


def test_a_study_of_label_counts_is_a_curve_and_an_ablation_is_not(lab, fill) -> None:
    fill("label_efficiency", rising)
    fill("component_ablation", rising)
    assert figures.varies_a_number(analysis.read_run(lab, "label_efficiency"))
    assert not figures.varies_a_number(analysis.read_run(lab, "component_ablation"))


def test_counts_stand_at_their_logarithm_with_zero_a_step_before(lab, fill) -> None:
    fill("label_efficiency", rising)
    axis = figures.positions(analysis.read_run(lab, "label_efficiency"))
    expected = [0, *(math.log10(n) for n in (10, 50, 100, 500, 1259))]
    assert axis["position"].to_list() == pytest.approx(expected)
    assert axis["label"].to_list() == ["0", "10", "50", "100", "500", "all (1,259)"]


@pytest.mark.parametrize("study", ["label_efficiency", "component_ablation"])
def test_every_replicate_is_a_dot_in_both_directions(lab, fill, study: str) -> None:
    resolved = fill(study, rising)
    fig = analysis.figure(analysis.read_run(lab, study))
    dots = [trace for trace in fig.data if "one replicate" in (trace.name or "")]
    assert [len(trace.x) for trace in dots] == [len(resolved.members)] * 2
    shown = {custom[1] for custom in dots[0].customdata}
    assert shown == {member.trial.trial_id for member in resolved.members}


def test_the_band_of_a_curve_is_its_interval(lab, fill) -> None:
    fill("label_efficiency", rising)
    run = analysis.read_run(lab, "label_efficiency")
    summary = analysis.summarize(run)
    first = summary[summary["metric"] == "transfer_accuracy_ab"].iloc[0]
    band = next(trace for trace in figures.curve(run).data if trace.fill == "toself")
    assert (band.y[0], band.y[-1]) == pytest.approx((first["ci_high"], first["ci_low"]))


def test_a_run_with_a_single_replicate_can_be_drawn(lab, fill) -> None:
    fill("label_efficiency", rising, n_replicates=1)
    assert analysis.figure(analysis.read_run(lab, "label_efficiency")).data
