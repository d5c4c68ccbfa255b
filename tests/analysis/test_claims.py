"""The paper's claims: which differences make one hold, fail, or stay open."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

import analysis
from analysis.claims import FAILS, HOLDS, NOT_RUN, OPEN, _more, judge_claims
from bridgelab.metrics import PATHS

NOISE = np.array([0.004, -0.003, 0.001, 0.002, -0.004, 0.0, 0.003, -0.003])


@pytest.fixture
def judged(lab, fill) -> Callable[..., dict[str, str]]:
    """judged("heads", {"linear": 0.9, ...}): verdicts by claim, where arms have these accuracies but for noise."""

    def judged(study: str, accuracies: dict[str, float], noise: float = 1.0, **metrics: dict[str, float]):
        def value(arm: str, replicate: int, metric: str) -> float:
            of_metric = metrics.get(metric, accuracies)
            place = list(accuracies).index(arm) if arm in accuracies else 0
            return of_metric.get(arm, 0.5) + noise * float(np.roll(NOISE, place)[replicate])

        fill(study, value, n_replicates=8, pair="plane-plane" if study == "synthetic" else None)
        run = analysis.read_run(lab, study)
        run = run if study == "synthetic" else dataclasses.replace(run, pair="mnist-mnist")
        return judge_claims([run]).set_index("claim")["verdict"].to_dict()

    return judged


def test_gated_heads_have_to_be_ahead_by_more_than_the_margin(judged) -> None:
    others = {"residual": 0.9, "batch norm": 0.9, "gated f": 0.9}
    assert judged("heads", {"gated": 0.9, "linear": 0.8, **others})["C1"] == HOLDS


def test_heads_that_differ_by_less_are_not_ahead_by_a_large_margin(judged) -> None:
    found = judged("heads", {"gated": 0.9, "linear": 0.895, "residual": 0.9, "batch norm": 0.905, "gated f": 0.96})
    assert found["C1"] == FAILS
    assert found["C2"] == HOLDS
    assert found["C7"] == FAILS  # an f that is more than linear gains


def test_much_noise_leaves_a_claim_open(judged) -> None:
    even = dict.fromkeys(("gated", "linear", "residual", "batch norm", "gated f"), 0.9)
    assert judged("heads", even, noise=20.0)["C2"] == OPEN


def test_accuracy_has_to_rise_at_every_step(judged) -> None:
    counts = ("0", "10", "50", "100", "500", "all")
    rising = {f"n_labels={n}": 0.1 + 0.15 * i for i, n in enumerate(counts)}
    assert judged("label_efficiency", rising)["C4"] == HOLDS


def test_a_fall_on_the_way_up_is_seen(judged) -> None:
    falling = {"n_labels=0": 0.1, "n_labels=10": 0.3, "n_labels=50": 0.2, "n_labels=100": 0.8, "n_labels=500": 0.9}
    assert judged("label_efficiency", {**falling, "n_labels=all": 0.95})["C4"] == FAILS


def test_without_labels_the_gain_has_to_be_swds(judged) -> None:
    assert judged("no_labels", {"without SWD": 0.1, "with SWD": 0.3, "ten times SWD": 0.3})["C3"] == HOLDS


def test_without_labels_chance_is_no_gain(judged) -> None:
    assert judged("no_labels", {"without SWD": 0.1, "with SWD": 0.1, "ten times SWD": 0.1})["C3"] == FAILS


def test_conditioning_first_and_swd_for_nothing(judged) -> None:
    arms = {"vanilla": 0.15, "conditional": 0.97, "full": 0.97, "no conditioning": 0.2}
    found = judged("component_ablation", {**arms, "no classifier": 0.1, "no gated head": 0.97})
    assert (found["C5"], found["C6"]) == (HOLDS, FAILS)


def test_a_replicate_that_one_arm_lacks_is_left_out_and_shifts_no_pair(lab, fill) -> None:
    gains = {"vanilla": np.zeros(8), "conditional": 0.1 * np.arange(8), "full": 0.19 * np.arange(8)}
    missing = (("vanilla", 0), ("full", 7))
    fill("component_ablation", lambda arm, i, metric: gains.get(arm, gains["full"])[i], failed=missing, n_replicates=8)
    run = dataclasses.replace(analysis.read_run(lab, "component_ablation"), pair="mnist-mnist")
    evidence = judge_claims([run]).set_index("claim").loc["C5", "evidence"]
    assert "more than SWD by +0.035 [" in evidence  # 0.01 of each of the replicates 1 to 6


@pytest.mark.parametrize(("jump", "verdict"), [(2.0, HOLDS), (1.3, FAILS)])
def test_paths_have_to_jump_between_classes_more_than_within(lab, fill, jump: float, verdict: str) -> None:
    kinds = {
        "path_jump_within": 1.3,
        "path_jump_between": jump,
        "path_distance_between": 1.1,
        "chord_distance_between": 1.2,
    }

    def value(arm: str, replicate: int, metric: str) -> float:
        kind = metric.rpartition("_")[0]
        return kinds.get(kind, 0.9) + float(np.roll(NOISE, list(kinds).index(kind) if kind in kinds else 0)[replicate])

    fill("transfer_pairs", value, n_replicates=8, more=PATHS)
    run = dataclasses.replace(analysis.read_run(lab, "transfer_pairs"), pair="mnist-fashion_mnist")
    assert judge_claims([run]).set_index("claim")["verdict"]["C8"] == verdict


def test_a_claim_whose_measure_is_missing_is_not_judged(judged) -> None:
    ladder = ("vanilla", "conditional", "conditional + SWD", "all terms")
    assert judged("synthetic", dict.fromkeys(ladder, 0.5))["C10"] == NOT_RUN  # no landing was measured


def test_what_was_not_run_says_how_to(lab, fill) -> None:
    found = judge_claims([]).set_index("claim")
    assert set(found["verdict"]) == {NOT_RUN}
    assert found.loc["C6", "evidence"] == "bridgelab sweep component_ablation --pair mnist-mnist"


def test_another_pair_or_recipe_says_nothing_of_a_claim(lab, fill) -> None:
    fill("heads", lambda arm, replicate, metric: 0.9)
    run = analysis.read_run(lab, "heads")
    assert set(judge_claims([run, dataclasses.replace(run, pair="mnist-mnist", recipe="paper")])["verdict"]) == {
        NOT_RUN
    }


def test_few_replicates_hold_nothing() -> None:
    assert _more("", np.array([0.5, 0.51, 0.52])).verdict == OPEN
    assert _more("", np.array([0.5, 0.51, 0.52, 0.5, 0.51, 0.52])).verdict == HOLDS


def test_a_report_of_several_runs_begins_with_what_they_say_of_the_paper(lab, fill) -> None:
    arms = {"vanilla": 0.15, "conditional": 0.97, "full": 0.97, "no conditioning": 0.2}
    fill("component_ablation", lambda arm, replicate, metric: arms.get(arm, 0.9) + NOISE[replicate], n_replicates=8)
    run = dataclasses.replace(analysis.read_run(lab, "component_ablation"), pair="mnist-mnist")
    report = analysis.render_report([run, run])
    assert report.index("Its claims") < report.index("Which component of the bridge")
    assert "conditioning contributes most" in report
    assert "Its claims" not in analysis.render_report([run])
    assert "| C5" in analysis.render_whole([run])
