"""Two runs of one study: what was changed, and what differs by more than noise."""

import pytest

import analysis
from bridgelab.errors import InvalidValueError

SPREAD = (0.003, -0.001, 0.002, 0.0, -0.002, 0.001, -0.003, 0.004)


@pytest.fixture
def two(lab, fill):
    """The paper recipe is 0.05 better in 'full', and in no other arm."""
    first = fill("component_ablation", lambda arm, i, m: 0.5 + 0.04 * i, n_replicates=8)
    gain = {"full": 0.05}
    second = fill(
        "component_ablation",
        lambda arm, i, m: 0.5 + 0.04 * i + gain.get(arm, 0) + SPREAD[i] * (1 if arm == "full" else -1),
        n_replicates=8,
        recipe="paper",
    )
    return tuple(analysis.read_run(lab, "component_ablation", study_id=s.study_id) for s in (first, second))


def test_arms_are_compared_in_pairs(two) -> None:
    found = analysis.compare_runs(*two).set_index("arm_name")
    assert found.loc["full", "difference"] == pytest.approx(0.05 + sum(SPREAD) / 8)
    assert found["verdict"].to_dict()["full"] == "higher"
    assert found.loc["vanilla", "verdict"] == "none shown"


def test_settings_that_differ_are_named(two) -> None:
    changed = {key: (a, b) for key, a, b in analysis.changes(*two)}
    assert changed["recipe"] == ("default", "paper")
    assert changed["base.bridge.beta_cls"][1] == 0.05
    assert "arms of one run only" not in changed


def test_a_report_of_both_begins_with_what_was_changed(two) -> None:
    html = analysis.render_report(two)
    assert "Two runs of component_ablation" in html
    assert html.index("What was changed") < html.index("What differs") < html.index('id="study-0"')


def test_two_studies_are_not_two_runs(lab, fill, two) -> None:
    fill("heads", lambda arm, i, m: 0.5)
    with pytest.raises(InvalidValueError, match="component_ablation and heads are two studies"):
        analysis.compare_runs(two[0], analysis.read_run(lab, "heads"))
