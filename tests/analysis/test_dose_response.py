"""Where accuracy rises with a number: the trend, and the first value that is enough."""

import numpy as np
import pytest
from scipy import stats

import analysis
from analysis.dose_response import by_place, varies_a_number

LEVELS = {"n_labels=0": 0.1, "n_labels=10": 0.3, "n_labels=50": 0.6, "n_labels=100": 0.85, "n_labels=500": 0.93}


def rising(arm: str, replicate: int, metric: str) -> float:
    return LEVELS.get(arm, 0.96) + 0.01 * replicate


def test_the_axis_is_in_the_order_of_its_numbers_and_all_comes_last(lab, fill) -> None:
    fill("label_efficiency", rising)
    run = analysis.read_run(lab, "label_efficiency")
    values, table = by_place(run, "transfer_accuracy_ab")
    assert values == [0, 10, 50, 100, 500, "all"]
    assert table[0] == pytest.approx([0.1, 0.3, 0.6, 0.85, 0.93, 0.96])
    assert varies_a_number(run)


def test_the_trend_is_pages(lab, fill) -> None:
    fill("label_efficiency", rising)
    run = analysis.read_run(lab, "label_efficiency")
    _, table = by_place(run, "transfer_accuracy_ab")
    found = analysis.trend(run)
    assert found["rises_p"] == pytest.approx(stats.page_trend_test(table).pvalue)
    assert found["falls_p"] > 0.99


def test_the_first_value_that_is_enough_has_an_interval_and_may_not_be_reached(lab, fill) -> None:
    fill("label_efficiency", lambda arm, i, m: rising(arm, 0, m) + (0.12 * (i % 2) if arm == "n_labels=100" else 0))
    found = analysis.first_reaching(analysis.read_run(lab, "label_efficiency"), targets=(0.5, 0.9, 0.99))
    assert list(found["value"]) == [50, 100, None]
    assert list(zip(found["low"], found["high"], strict=True)) == [(50, 50), (100, 500), (None, None)]


def test_a_value_is_enough_only_where_every_later_one_is_too(lab, fill) -> None:
    fill("label_efficiency", lambda arm, i, m: {"n_labels=10": 0.95, "n_labels=50": 0.2}.get(arm, rising(arm, i, m)))
    found = analysis.first_reaching(analysis.read_run(lab, "label_efficiency"), targets=(0.9,))
    assert found["value"].iloc[0] == 500


def test_one_replicate_has_no_trend(lab, fill) -> None:
    fill("label_efficiency", rising, n_replicates=1)
    run = analysis.read_run(lab, "label_efficiency")
    assert np.isnan(analysis.trend(run)["rises_p"])
    found = analysis.first_reaching(run, targets=(0.5,)).iloc[0]
    assert (found["value"], found["low"], found["high"]) == (50, None, None)
    rows = [row for row in analysis.render_report([run]).split("<tr>") if row.startswith("<td>0.50</td>")]
    assert [row.count("<td>-</td>") for row in rows] == [2]
