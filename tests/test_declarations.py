"""What people declare of results stands in every table that it touches."""

from pathlib import Path

import pytest
from some_rows import rows_of
from typer.testing import CliRunner

import analysis
from bridgelab import declarations
from bridgelab.cli import app
from bridgelab.errors import BridgelabError, InvalidValueError, LabError, UnknownNameError
from bridgelab.lab import Lab
from bridgelab.publication import publish_members
from bridgelab.results import Results
from bridgelab.study import Selection, resolve

IDS = ("aaaa1111", "aaaa2222", "bbbb3333")


@pytest.fixture
def three(lab: Lab) -> Lab:
    Results(lab).write("trials", "all", [rows_of("trials", 1)[0] | {"trial_id": i} for i in IDS])
    return lab


def test_a_trial_is_left_out_with_a_reason_and_may_come_back(three: Lab) -> None:
    assert declarations.exclude(three, "bbbb", "its base model was cut short") == "bbbb3333"
    assert declarations.excluded(three)["bbbb3333"]["reason"] == "its base model was cut short"
    declarations.exclude(three, "bbbb3333", "it was not", take_back=True)
    assert declarations.excluded(three) == {}
    assert Results(three).read("exclusions").num_rows == 2


@pytest.mark.parametrize(
    ("trial", "reason", "said"),
    [
        ("aaaa", "why", "has 2 trials 'aaaa'"),
        ("cccc", "why", "has no trial 'cccc'"),
        ("bbbb", "  ", "--reason: say why"),
    ],
)
def test_what_is_left_out_is_one_trial_with_a_reason(three: Lab, trial: str, reason: str, said: str) -> None:
    with pytest.raises(BridgelabError, match=said):
        declarations.exclude(three, trial, reason)
    assert declarations.excluded(three) == {}


def test_what_was_not_declared_cannot_be_taken_back(three: Lab) -> None:
    with pytest.raises(InvalidValueError, match="bbbb3333 is not excluded"):
        declarations.exclude(three, "bbbb3333", "why", take_back=True)


def test_a_plan_is_frozen_once_and_says_what_was_known(lab: Lab) -> None:
    study = resolve("component_ablation", Selection(pair="plane-plane", preset="smoke"))
    known = study.members[0].trial.trial_id
    Results(lab).write("trials", "one", [rows_of("trials", 1)[0] | {"trial_id": known, "state": "COMPLETE"}])
    assert declarations.freeze(lab, study)["n_known"] == 1
    found = declarations.frozen(lab, study.study_id)
    assert found is not None
    assert (found["n_replicates"], found["n_trials"]) == (2, 12)
    with pytest.raises(InvalidValueError, match="a plan is frozen once"):
        declarations.freeze(lab, study)


def write_csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "theirs.csv"
    path.write_text(text)
    return path


def test_numbers_from_elsewhere_stand_in_the_table_with_their_source(lab: Lab, tmp_path: Path) -> None:
    path = write_csv(
        tmp_path, "arm,metric,mean,ci_low,ci_high,n,source\nTheirs,transfer_accuracy_ab,0.9,0.88,0.92,5,x 2024\n"
    )
    assert declarations.bring_in(lab, "component_ablation", "plane-plane", path) == 1
    publish_members(lab, resolve("component_ablation", Selection(pair="plane-plane", preset="smoke")))
    text = analysis.render(analysis.read_run(lab, "component_ablation"))
    assert "brought in from elsewhere" in text
    assert "| Theirs | transfer a→b | 5 | 0.900 [0.880, 0.920] | x 2024 |" in text


def test_numbers_from_elsewhere_are_of_a_pair_that_there_is(lab: Lab, tmp_path: Path) -> None:
    path = write_csv(tmp_path, "arm,metric,mean\nTheirs,transfer_accuracy_ab,0.9\n")
    with pytest.raises(UnknownNameError, match="did you mean 'mnist'"):
        declarations.bring_in(lab, "heads", "mnits-mnist", path)
    with pytest.raises(InvalidValueError, match="write SOURCE-TARGET"):
        declarations.bring_in(lab, "heads", "mnist", path)
    assert Results(lab).read("imports").num_rows == 0
    assert declarations.bring_in(lab, "heads", "mnist-mnist", path) == 1


def test_numbers_from_elsewhere_may_be_of_the_pair_of_a_run(lab: Lab, tmp_path: Path) -> None:
    Results(lab).write("members", "one", [rows_of("members", 1)[0] | {"study": "heads", "pair": "mine-theirs"}])
    path = write_csv(tmp_path, "arm,metric,mean\nTheirs,transfer_accuracy_ab,0.9\n")
    assert declarations.bring_in(lab, "heads", "mine-theirs", path) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arm,metric\nx,y\n", "has no column 'mean'"),
        ("arm,metric,mean,notes\n", "no column in .* 'notes'|'notes'"),
        ("arm,metric,mean\n", "has no row below its head"),
        ("arm,metric,mean\nx,transfer_accuracy_ab,high\n", "line 2: mean is 'high'"),
        ("arm,metric,mean\nx,transfer_accuracy,0.5\n", "'transfer_accuracy'"),
        ("arm,metric,mean\n,transfer_accuracy_ab,0.5\n", "line 2: give an arm a name"),
        ("arm,metric,mean\nx,transfer_accuracy_ab,\n", "line 2: mean is missing"),
    ],
)
def test_a_csv_that_cannot_be_read_names_line_and_column(lab: Lab, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BridgelabError, match=said):
        declarations.bring_in(lab, "component_ablation", "plane-plane", write_csv(tmp_path, text))
    assert Results(lab).read("imports").num_rows == 0


def test_the_commands_declare(three: Lab, tmp_path: Path) -> None:
    path = write_csv(tmp_path, "arm,metric,mean\nTheirs,transfer_accuracy_ab,0.9\n")
    where, run = ["--lab", three.location], CliRunner().invoke
    assert "left out of every table" in run(app, ["exclude", "bbbb", "--reason", "a test", *where]).stdout
    plan = ["freeze", "component_ablation", "--pair", "plane-plane", "--preset", "smoke", *where]
    assert "frozen with 2 replicates" in run(app, plan).stdout
    brought = ["import", str(path), "--study", "component_ablation", "--pair", "plane-plane", *where]
    assert "1 numbers" in run(app, brought).stdout
    with pytest.raises(LabError):
        run(app, ["exclude", "cccc", "--reason", "a test", *where], catch_exceptions=False)
