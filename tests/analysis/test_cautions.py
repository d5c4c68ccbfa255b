"""What a report says before its numbers: how far they can be trusted, in plain words."""

from dataclasses import replace

import analysis
from analysis.sections import cautions
from bridgelab import declarations
from bridgelab.replicates import Crossed
from bridgelab.results import Results


def flat(arm: str, replicate: int, metric: str) -> float:
    return 0.5 + 0.01 * replicate


def test_too_few_pairs_are_named_with_how_many_would_do(lab, fill) -> None:
    fill("component_ablation", flat, n_replicates=4)
    (said,) = cautions(analysis.read_run(lab, "component_ablation"))
    assert said.startswith("Underpowered: with 4 pairs the least p after Holm over 5 arms is 0.625")
    assert said.endswith("--seeds 8 is enough.")


def test_a_study_that_grew_says_so_in_table_and_report(lab, fill) -> None:
    fill("component_ablation", flat, n_replicates=8)
    assert cautions(analysis.read_run(lab, "component_ablation")) == []
    fill("component_ablation", flat, n_replicates=10)
    run = analysis.read_run(lab, "component_ablation")
    assert run.looks == (8, 10)
    assert any(line.startswith("The study grew: 8, then 10 replicates") for line in cautions(run))
    assert "a study that grew: 8, then 10 replicates" in analysis.render(run)


def test_a_frozen_plan_is_kept_or_not(lab, fill) -> None:
    resolved = fill("component_ablation", flat, n_replicates=8)
    declarations.freeze(lab, replace(resolved, n_replicates=8))
    (said,) = cautions(analysis.read_run(lab, "component_ablation"))
    assert "when 48 of its 48 trials had results already: 8 replicates. Kept." in said
    fill("component_ablation", flat, n_replicates=10)
    assert any("Not kept: 10 replicates." in line for line in cautions(analysis.read_run(lab, "component_ablation")))


def test_a_trial_that_is_left_out_counts_nowhere_and_is_named(lab, fill) -> None:
    resolved = fill("component_ablation", flat, n_replicates=8)
    member = next(m for m in resolved.members if (m.arm.name, m.replicate) == ("vanilla", 7))
    declarations.exclude(lab, member.trial.trial_id, "its labels were wrong")
    run = analysis.read_run(lab, "component_ablation")
    vanilla = analysis.summarize(run).set_index(["arm_name", "metric"]).loc[("vanilla", "transfer_accuracy_ab")]
    assert (vanilla["n"], vanilla["n_planned"]) == (7, 8)
    text = analysis.render(run)
    assert "| vanilla     | 7/8 |" in text
    assert f"left out: {member.trial.trial_id} (vanilla, replicate 7), declared on" in text
    assert any("its labels were wrong" in line for line in cautions(run))


def test_crossed_seeds_warn_of_intervals_over_them(lab, fill) -> None:
    fill("component_ablation", flat, n_replicates=Crossed(4, 2, 2))
    run = analysis.read_run(lab, "component_ablation")
    assert any(line.startswith("Seeds are crossed") for line in cautions(run))
    assert "Where the spread comes from" in analysis.render_report([run])


def test_an_index_lists_each_study_once_with_its_report(lab, fill) -> None:
    fill("component_ablation", flat)
    fill("heads", lambda arm, replicate, metric: 0.7)
    fill("heads", lambda arm, replicate, metric: 0.8, recipe="paper")
    html = analysis.render_index(lab)
    assert html.count('href="./heads.html"') == html.count('href="./component_ablation.html"') == 1
    assert "0.800" in html
    assert "0.700" not in html


def test_groups_of_replicates_have_a_median_and_no_interval(lab, fill) -> None:
    fill("component_ablation", lambda arm, i, m: 0.1 if (arm, i) == ("vanilla", 3) else 0.9 + 0.001 * i, n_replicates=8)
    text = analysis.render(analysis.read_run(lab, "component_ablation"))
    assert "0.903 (two groups)" in text
    assert "the median stands for replicates that have no mean" in text


def test_skewed_replicates_have_the_studentized_interval_marked(lab, fill) -> None:
    values = (0.99, 0.99, 0.989, 0.99, 0.991, 0.99, 0.988, 0.95)
    fill("component_ablation", lambda arm, i, m: values[i], n_replicates=8)
    run = analysis.read_run(lab, "component_ablation")
    row = analysis.summarize(run).iloc[0]
    assert row["interval"] == "studentized"
    assert row["interval_low"] < row["ci_low"]
    assert "]*" in analysis.render(run)


def test_arms_of_more_than_one_kind_of_device_are_named_in_table_and_report(lab, fill) -> None:
    fill("component_ablation", flat, n_replicates=8)
    trials = Results(lab).read("trials").to_pylist()
    arm_of = {row["trial_id"]: row["arm_name"] for row in Results(lab).read("members").to_pylist()}
    of_vanilla = [row for row in trials if arm_of[row["trial_id"]] == "vanilla"]
    Results(lab).write("trials", "again", [row | {"attempt": 1, "device": "cuda"} for row in of_vanilla[:3]])
    run = analysis.read_run(lab, "component_ablation")
    said = "evices are mixed, and pairs across them share no random draws: vanilla (5 on cpu, 3 on cuda)"
    assert said in analysis.render(run)
    assert f"D{said}." in cautions(run)
