"""Tables: the contract of the JSON, and text that people can use."""

import csv
import io
import json

import pytest

import analysis
from analysis import paper, sections, tables
from bridgelab.errors import InvalidValueError
from bridgelab.metrics import METRICS

TRANSFER = "transfer_accuracy_ab"
COLUMNS = {
    "study", "study_id", "pair", "preset", "recipe", "arm", "metric", "n", "n_base", "n_eval", "mean", "ci_low",
    "ci_high", "paper",
}  # fmt: skip


def by_replicate(arm: str, replicate: int, metric: str) -> float:
    return 0.5 + 0.1 * replicate


def test_the_json_has_a_row_an_arm_and_metric_with_every_column(lab, fill) -> None:
    fill("component_ablation", by_replicate)
    rows = json.loads(analysis.render(analysis.read_run(lab, "component_ablation"), "json"))
    assert all(row.keys() >= COLUMNS for row in rows)
    assert len({(json.dumps(row["arm"]), row["metric"]) for row in rows}) == len(rows) == 6 * len(METRICS)
    vanilla = next(row for row in rows if row["name"] == "vanilla")
    assert vanilla["arm"]["bridge.conditional"] is False


def test_a_distance_stands_beside_its_floor_and_its_base_models(lab, fill) -> None:
    fill("transfer_pairs", lambda arm, replicate, metric: 7.0 if metric == "fid_floor_ab" else 0.5)
    run = analysis.read_run(lab, "transfer_pairs")
    assert "FID on the judge's features, penultimate FID a→b: real against real 7.0000" in tables.footnote(run)


def test_what_a_gan_cannot_do_has_no_number(lab, fill) -> None:
    missing = "base_reconstruction_accuracy_b"
    fill("component_ablation", lambda arm, replicate, metric: float("nan") if metric == missing else 0.5)
    rows = json.loads(analysis.render(analysis.read_run(lab, "component_ablation"), "json"))
    of_missing = [row for row in rows if row["metric"] == missing]
    assert {(row["n"], row["mean"], row["ci_low"], row["ci_high"]) for row in of_missing} == {(0, None, None, None)}


def test_label_counts_are_integers_or_all(lab, fill) -> None:
    fill("label_efficiency", by_replicate)
    rows = json.loads(analysis.render(analysis.read_run(lab, "label_efficiency"), "json"))
    assert {json.dumps(row["arm"]["n_labels"]) for row in rows} == {"0", "10", "50", "100", "500", '"all"'}


def test_a_single_replicate_has_no_interval_and_the_json_stays_json(lab, fill) -> None:
    fill("label_efficiency", by_replicate, n_replicates=1)
    text = analysis.render(analysis.read_run(lab, "label_efficiency"), "json")
    assert "NaN" not in text
    assert json.loads(text)[0]["ci_low"] is None


def test_the_data_frame_holds_the_rows_of_the_json(lab, fill) -> None:
    fill("label_efficiency", by_replicate)
    run = analysis.read_run(lab, "label_efficiency")
    assert analysis.table(run).to_dict("records") == json.loads(analysis.render(run, "json"))


def test_the_csv_has_a_column_for_what_varies(lab, fill) -> None:
    fill("label_efficiency", by_replicate)
    rows = list(csv.DictReader(io.StringIO(analysis.render(analysis.read_run(lab, "label_efficiency"), "csv"))))
    assert len(rows) == 6 * len(METRICS)
    assert rows[0]["n_labels"] == "0"
    assert float(rows[0]["mean"]) == pytest.approx(0.65)


def test_the_markdown_of_an_ablation_reads_both_ways(lab, fill) -> None:
    fill("component_ablation", by_replicate)
    text = analysis.render(analysis.read_run(lab, "component_ablation"), "md")
    ladder, left_out = text.split("leaving one component out")
    assert [name in ladder for name in ("vanilla", "conditional", "full")] == [True] * 3
    for component in ("conditioning", "SWD", "classifier", "gated head"):
        assert f"without {component}" in left_out


def test_a_table_names_the_command_that_makes_it_again(lab, fill) -> None:
    resolved = fill("component_ablation", by_replicate, overrides={"bridge.beta_kl": 0.5})
    text = analysis.render(analysis.read_run(lab, "component_ablation"), "md")
    assert f"again by `{resolved.command}`" in text
    assert "--set bridge.beta_kl=0.5" in resolved.command


def test_a_count_of_failures_is_shown(lab, fill) -> None:
    fill("label_efficiency", by_replicate, failed=(("n_labels=0", 0),))
    text = analysis.render(analysis.read_run(lab, "label_efficiency"), "md")
    assert "3/4" in text
    assert "trials failed, are left out or are still to run" in text


def test_a_table_says_on_how_many_items_each_way_where_the_sides_differ(lab, fill) -> None:
    fill("transfer_pairs", by_replicate, n_back=3_000)
    run = analysis.read_run(lab, "transfer_pairs")
    assert "on 359 (a→b) and 3,000 (b→a) test items" in tables.footnote(run)
    assert "<dt>test items</dt><dd>359 (a→b) and 3,000 (b→a)</dd>" in sections.strip(run, 0)


def test_every_row_of_the_markdown_has_as_many_cells(lab, fill) -> None:
    fill("component_ablation", by_replicate)
    text = analysis.render(analysis.read_run(lab, "component_ablation"), "md")
    for part in text.split("against full"):
        assert len({line.count("|") for line in part.splitlines() if line.startswith("|")}) == 1


def test_the_latex_escapes_what_latex_reads_otherwise(lab, fill) -> None:
    fill("label_efficiency", by_replicate)
    body = [r for r in analysis.render(analysis.read_run(lab, "label_efficiency"), "tex").splitlines() if "&" in r]
    assert r"n\_labels" in body[0]
    assert all(row.endswith(r"\\") for row in body)


def test_an_unknown_format_is_refused(lab, fill) -> None:
    fill("label_efficiency", by_replicate)
    with pytest.raises(InvalidValueError, match="md, tex, csv, json"):
        analysis.render(analysis.read_run(lab, "label_efficiency"), "html")


def test_the_papers_numbers_stand_only_beside_the_papers_pair() -> None:
    for pair, expected in (("mnist-mnist", 0.339), ("digits-digits", None)):
        assert paper.published("label_efficiency", pair, "n_labels=10", {"n_labels": 10}, TRANSFER) == expected
    assert paper.published("component_ablation", "mnist-mnist", "vanilla", {}, TRANSFER) == 0.149
    assert paper.published("label_efficiency", "mnist-mnist", "x", {"n_labels": 50}, TRANSFER) is None


def test_tables_of_other_data_say_that_the_papers_numbers_do_not_compare(lab, fill) -> None:
    fill("label_efficiency", by_replicate)
    run = analysis.read_run(lab, "label_efficiency")
    assert all(row["paper"] is None for row in json.loads(analysis.render(run, "json")))
    assert "0.339" in paper.context("label_efficiency")
    assert tables.caption(run).startswith("label_efficiency · digits-digits")


def test_json_is_indented_as_by_python(lab, fill) -> None:
    fill("component_ablation", lambda arm, i, metric: 0.5 + 0.1 * i, failed=(("vanilla", 0), ("vanilla", 1)))
    text = analysis.render(analysis.read_run(lab, "component_ablation"), "json")
    assert text == json.dumps(json.loads(text), indent=2)
