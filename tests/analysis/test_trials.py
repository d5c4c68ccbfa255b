"""Single trials: found by the beginning of their ids, shown with all that is known of them, told apart."""

import json

import pytest
from typer.testing import CliRunner

import analysis
from bridgelab.cli import app
from bridgelab.config import canonical_json
from bridgelab.errors import LabError
from bridgelab.results import Results


@pytest.fixture
def run(lab, fill):
    """A study whose trials have their configurations, as workers write them."""
    resolved = fill("component_ablation", lambda arm, replicate, metric: 0.5 + 0.1 * replicate, n_replicates=2)
    rows = Results(lab).read("trials").to_pylist()
    configs = {m.trial.trial_id: canonical_json(m.trial) for m in resolved.members}
    extra = {"domain_a": "digits", "domain_b": "digits"}
    Results(lab).write(
        "trials", "again", [{**r, **extra, "attempt": 1, "config": configs[r["trial_id"]]} for r in rows]
    )
    return analysis.read_run(lab, "component_ablation")


def test_a_study_lists_its_trials(run) -> None:
    found = analysis.list_trials(run)
    assert len(found) == 12
    assert found["transfer_accuracy_ab"].tolist() == [0.5, 0.6] * 6
    assert found["arm_name"].iloc[0] == "vanilla"


def test_a_trial_shows_its_settings_and_metrics(run, lab) -> None:
    trial_id = analysis.list_trials(run)["trial_id"].iloc[0]
    shown = analysis.show_trial(analysis.read_trial(lab, trial_id[:10]))
    assert trial_id in shown
    assert "bridge.beta_swd" in shown
    assert "transfer_accuracy_ab" in shown


def test_two_trials_differ_in_what_their_arms_do(run, lab) -> None:
    trials = analysis.list_trials(run).set_index(["arm_name", "replicate"])["trial_id"]
    a, b = (analysis.read_trial(lab, trials[arm, 0]) for arm in ("full", "no gated head"))
    assert [row[0] for row in analysis.compare_trials(a, b)] == ["bridge.heads"]
    again = analysis.read_trial(lab, trials["full", 1])
    keys = [row[0] for row in analysis.compare_trials(a, again)]
    assert keys[:4] == ["label_seed", "bridge_seed", "base_a.seed", "base_b.seed"]
    assert analysis.compare_trials(a, a) == []


def test_what_is_not_a_number_is_null_in_json_and_no_difference_of_a_trial_from_itself(lab, fill) -> None:
    missing = "base_reconstruction_accuracy_b"
    resolved = fill("heads", lambda arm, i, metric: float("nan") if metric == missing else 0.5, n_replicates=1)
    trial = resolved.members[0].trial
    row = next(r for r in Results(lab).read("trials").to_pylist() if r["trial_id"] == trial.trial_id)
    about = {"domain_a": "digits", "domain_b": "digits", "attempt": 1, "config": canonical_json(trial)}
    Results(lab).write("trials", "again", [row | about])
    found = analysis.read_trial(lab, trial.trial_id)
    assert analysis.compare_trials(found, found) == []
    words = ["show", trial.trial_id, "--json", "--lab", lab.location]
    text = CliRunner().invoke(app, words, catch_exceptions=False).output
    assert "NaN" not in text
    assert json.loads(text)["metrics"][f"{missing} (mean)"] is None


def test_an_id_that_nobody_has_is_named(run, lab) -> None:
    with pytest.raises(LabError, match="has no trial 'zzzz'; `bridgelab show STUDY`"):
        analysis.read_trial(lab, "zzzz")


def test_the_commands_show_and_diff(run, lab) -> None:
    def told(*words: str) -> str:
        return CliRunner().invoke(app, [*words, "--lab", lab.location], catch_exceptions=False).output

    trials = json.loads(told("show", "component_ablation", "--json"))
    first, second = (t["trial_id"] for t in trials[:2])
    assert first in told("show", "component_ablation")
    assert json.loads(told("show", first, "--json"))["config"]["settings"]["n_labels"] == "all"
    assert "label_seed" in told("diff", first, second)
    assert told("diff", first, first).strip() == "they are the same"
