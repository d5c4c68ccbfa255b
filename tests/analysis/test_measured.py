"""What stands for a member of a run among all rows of `metrics`."""

import math
from typing import Any

import pandas as pd
import pytest

from analysis.measured import values_of
from bridgelab.lab import Lab
from bridgelab.metrics import METRIC_VERSION
from bridgelab.results import Results

MEMBER = {"arm_index": 0, "replicate": 0, "trial_id": "x", "judge_id": "j", "decode": "mean"}


def row(value: float | None, **other: Any) -> dict[str, Any]:
    common = {"trial_id": "x", "judge_id": "j", "attempt": 0, "metric": "m", "split": "test", "decode": "mean"}
    return {**common, "n_eval": 5, "metric_version": METRIC_VERSION, "value": value, **other}


def found(lab: Lab, rows: list[dict[str, Any]], *members: dict[str, Any]) -> list[tuple[Any, ...]]:
    """(arm_index, replicate, metric, value, n_eval, other) of each row."""
    Results(lab).write("metrics", "a", rows)
    values = values_of(pd.DataFrame([MEMBER | member for member in members or ({},)]), Results(lab))
    assert list(values) == ["arm_index", "replicate", "trial_id", "metric", "value", "n_eval", "other"]
    return list(values.drop(columns="trial_id").itertuples(index=False, name=None))


def test_of_attempts_the_latest_one_that_has_a_value_counts(lab: Lab) -> None:
    rows = [row(0.3, attempt=2), row(0.2, attempt=1, n_eval=7), row(None, attempt=3), row(math.nan, attempt=4)]
    assert found(lab, rows)[0][3:5] == (0.3, 5)


def test_only_the_present_version_on_test_under_the_members_own_judges_counts(lab: Lab) -> None:
    others = [{"judge_id": "another"}, {"split": "validation"}, {"metric_version": METRIC_VERSION + 1, "attempt": 1}]
    assert [one[3] for one in found(lab, [row(0.5), *(row(0.9, **other) for other in others)])] == [0.5]


@pytest.mark.parametrize(("decode", "own", "other"), [("mean", 0.1, 0.2), ("sample", 0.2, 0.1), (None, 0.3, 0.3)])
def test_the_value_is_that_of_the_members_decoding_beside_the_other_one(
    lab: Lab, decode: str | None, own: float, other: float
) -> None:
    rows = [row(0.1), row(0.2, decode="sample"), row(0.3, decode=None)]
    assert found(lab, rows, {"decode": decode}) == [(0, 0, "m", own, 5, other)]


def test_there_may_be_no_other_decoding_and_no_value_at_all(lab: Lab) -> None:
    (one,) = found(lab, [row(0.1), row(0.2, trial_id="y", decode="sample")], {}, {"trial_id": "y", "replicate": 1})
    assert one[:5] == (0, 0, "m", 0.1, 5)
    assert math.isnan(one[5])
    assert values_of(pd.DataFrame([MEMBER]).iloc[:0], Results(lab)).empty
    assert values_of(pd.DataFrame([MEMBER | {"trial_id": "z"}]), Results(lab)).empty


def test_members_may_share_a_trial_under_one_judge_or_two(lab: Lab) -> None:
    rows = [row(0.1), row(0.2, judge_id="k"), row(0.4, metric="l"), row(0.3, decode="sample")]
    members = ({}, {"arm_index": 1, "decode": "sample"}, {"arm_index": 2, "judge_id": "k"})
    assert [one[:4] for one in found(lab, rows, *members)] == [
        (0, 0, "m", 0.1),
        (0, 0, "l", 0.4),
        (1, 0, "m", 0.3),
        (2, 0, "m", 0.2),
    ]
