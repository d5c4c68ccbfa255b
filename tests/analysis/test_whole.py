"""The whole paper: every published number in a row, with ours where it may stand beside it."""

import dataclasses
import io

import numpy as np
import pyarrow.parquet as pq
import pytest

import analysis
from analysis import paper
from analysis.whole import published_cells, render_whole, whole_paper
from bridgelab.errors import LabError
from bridgelab.results import SCHEMAS


@pytest.fixture
def ablation(lab, fill) -> analysis.Run:
    fill("component_ablation", lambda arm, replicate, metric: 0.9 + 0.001 * replicate, n_replicates=8)
    return dataclasses.replace(analysis.read_run(lab, "component_ablation"), pair="mnist-mnist")


def test_every_number_of_the_five_tables_has_a_row() -> None:
    numbers = [cell.number for cell in published_cells() if cell.number is not None and cell.recipe == "default"]
    tables = (paper.TABLE_1, paper.TABLE_2, *paper.BASELINES.values(), paper.TABLE_3, paper.TABLE_4, paper.TABLE_5_FID)
    assert sorted(numbers) == sorted(number for table in tables for number in table.values())


def test_a_number_that_ours_can_stand_beside_has_it_with_n_and_verdict(ablation) -> None:
    found = whole_paper([ablation]).set_index(["study", "recipe", "arm_name"])
    row = found.loc["component_ablation", "default", "full"]
    compared = analysis.replicate(ablation).set_index("arm_name").loc["full"]
    assert (row["n"], row["paper"], row["mean"]) == (8, 0.980, compared["mean"])
    assert row["verdict"] == compared["verdict"]


def test_what_did_not_run_names_its_command(ablation) -> None:
    found = whole_paper([ablation]).set_index(["study", "recipe", "arm_name", "metric"])
    row = found.loc["component_ablation", "paper", "full", "transfer_accuracy_ab"]
    assert row["verdict"] == "not run: bridgelab sweep component_ablation --pair mnist-mnist --recipe paper"
    assert np.isnan(row["mean"])


def test_a_lab_that_cannot_be_read_is_none_without_runs(lab, fill) -> None:
    parts = [
        ("heads", "digits-digits", "default"),
        ("heads", "digits-digits", "paper"),
        ("heads", "plane-plane", "default"),
    ]
    fill("heads", lambda arm, replicate, metric: 0.5)
    assert [run.study for run in analysis.read_whole(lab, parts)] == ["heads"]
    future = SCHEMAS["members"].empty_table().replace_schema_metadata({"bridgelab_schema": "99"})
    pq.write_table(future, sink := io.BytesIO())
    lab.publish("results/members/part-future.parquet", sink.getvalue())
    with pytest.raises(LabError, match="upgrade bridgelab"):
        analysis.read_whole(lab, parts)


def test_counts_that_the_data_do_not_have_are_named_with_what_they_have(lab, fill) -> None:
    fill("label_efficiency", lambda arm, replicate, metric: 0.5, n_replicates=2)
    run = dataclasses.replace(analysis.read_run(lab, "label_efficiency"), pair="mnist-mnist")
    found = whole_paper([run]).set_index("arm_name")
    assert found.loc["n_labels=60000", "verdict"] == f"not run: {run.members['n_train'].max():,.0f} samples a side"
    assert np.isnan(found.loc["n_labels=all", "paper"])
    assert found.loc["n_labels=all", "mean"] == 0.5


def test_what_it_rests_on_stands_below(ablation) -> None:
    text = render_whole([ablation])
    assert "| 4     | conditional + SWD" in text
    (source,) = (line for line in text.splitlines() if line.startswith("- "))
    assert source.startswith("- `bridgelab sweep component_ablation")
    assert "| C5" in text


def test_the_papers_speech_is_under_a_wavegan() -> None:
    ways = ("transfer_accuracy_ab", "transfer_accuracy_ba")
    found = [paper.published("transfer_pairs", "mnist-sc09_wave", "bridge", {}, way) for way in ways]
    assert found == [0.670, 0.982]
    assert paper.other_data("mnist-sc09_wave", 60_000) is None
    assert "WaveGAN" in str(paper.other_data("mnist-sc09", 30_000))


def test_a_run_with_something_else_set_stands_for_a_part_only_where_no_other_does(lab, fill) -> None:
    parts = [("heads", "digits-digits", "default")]
    other = fill("heads", lambda arm, replicate, metric: 0.1, overrides={"bridge.beta_swd": 0.0})
    assert [run.study_id for run in analysis.read_whole(lab, parts)] == [other.study_id]
    plain = fill("heads", lambda arm, replicate, metric: 0.9)
    fill("heads", lambda arm, replicate, metric: 0.2, overrides={"bridge.beta_swd": 2.0})
    assert [run.study_id for run in analysis.read_whole(lab, parts)] == [plain.study_id]
