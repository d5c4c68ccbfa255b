"""Which run of a study a user means."""

from pathlib import Path

import pytest

from bridgelab.catalog import members_of, name_of, runs_in, studies_in
from bridgelab.errors import BridgelabError, LabError, UnknownNameError
from bridgelab.lab import Lab
from bridgelab.publication import publish_members
from bridgelab.study import ResolvedStudy, Selection, resolve

OWN = """
from bridgelab import Study

def study():
    return Study(name="mine", question="?", grid={"bridge.hidden_dim": [16, 32]})
"""


@pytest.fixture
def planned(lab: Lab) -> list[ResolvedStudy]:
    """Four runs of one study, the last one on the plane."""
    selections = [
        Selection(n_replicates=3),
        Selection(preset="smoke", overrides={"bridge.beta_swd": 2}),
        Selection(recipe="paper", n_base=1),
        Selection(pair="plane-plane", preset="smoke"),
    ]
    runs = [resolve("label_efficiency", selection) for selection in selections]
    for run in runs:
        publish_members(lab, run)
    return runs


def chosen(lab: Lab, selection: Selection | None = None) -> str:
    found: str = members_of(lab, "label_efficiency", selection)["study_id"][0].as_py()
    return found


def test_without_options_it_is_the_latest_run(lab: Lab, planned: list[ResolvedStudy]) -> None:
    assert chosen(lab) == chosen(lab, Selection()) == planned[3].study_id
    publish_members(lab, planned[0])
    assert chosen(lab) == planned[0].study_id


@pytest.mark.parametrize(
    ("selection", "which"),
    [
        (Selection(preset="desk"), 2),
        (Selection(recipe="default"), 3),
        (Selection(preset="desk", recipe="default"), 0),
        (Selection(pair="digits-digits", preset="smoke"), 1),
        (Selection(overrides={"bridge.beta_swd": 2.0}), 1),
        (Selection(n_base=1), 2),
        (Selection(preset="desk", overrides={"bridge.beta_cls": 3}), 0),
        (Selection(overrides={"decode": "sample"}), 2),
    ],
)
def test_an_option_is_what_a_run_has_to_agree_with(lab: Lab, planned, selection: Selection, which: int) -> None:
    assert chosen(lab, selection) == planned[which].study_id


def test_a_run_that_nobody_made_is_an_error_with_its_command(lab: Lab, planned: list[ResolvedStudy]) -> None:
    command = "bridgelab sweep label_efficiency --preset smoke --recipe paper --set bridge.beta_swd=0.5"
    with pytest.raises(LabError, match=f"no such run of 'label_efficiency'; run `{command}` first"):
        chosen(lab, Selection(preset="smoke", recipe="paper", overrides={"bridge.beta_swd": 0.5}))


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection(overrides={"bridge.beta_swdd": 2}), r"did you mean 'bridge\.beta_swd'"),
        (Selection(overrides={"bridge.n_steps": "abc"}), "valid integer"),
        (Selection(preset="smok"), "no run of 'label_efficiency' with --preset 'smok'; did you mean 'smoke'"),
        (Selection(recipe="papre"), "did you mean 'paper'"),
        (Selection(n_replicates=-3), "--seeds -3"),
    ],
)
def test_what_no_run_can_be_is_named(lab: Lab, planned, selection: Selection, said: str) -> None:
    with pytest.raises(BridgelabError, match=said):
        chosen(lab, selection)


def test_every_run_is_listed_the_latest_of_a_study_first(lab: Lab, planned: list[ResolvedStudy]) -> None:
    assert runs_in(lab) == [("label_efficiency", run.study_id) for run in reversed(planned)]


def test_members_are_in_the_order_of_arms_and_as_many_as_asked_for(lab: Lab, planned: list[ResolvedStudy]) -> None:
    members = members_of(lab, "label_efficiency", Selection(n_replicates=2), planned[0].study_id).to_pylist()
    expected = [(m.arm.name, m.replicate) for m in planned[0].members if m.replicate < 2]
    assert [(row["arm_name"], row["replicate"]) for row in members] == expected


def test_a_smaller_plan_takes_no_replicate_away(lab: Lab) -> None:
    for n in (3, 2):
        publish_members(lab, resolve("label_efficiency", Selection(n_replicates=n)))
    assert members_of(lab, "label_efficiency").num_rows == 6 * 3


def test_a_study_of_the_users_own_is_known_by_name_and_by_path(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "my_file.py"
    path.write_text(OWN)
    publish_members(lab, resolve(str(path)))
    path.rename(tmp_path / "moved.py")
    assert studies_in(lab) == ["mine"]
    assert name_of(lab, "mine") == name_of(lab, str(tmp_path / "moved.py")) == "mine"
    with pytest.raises(UnknownNameError, match="did you mean 'mine'"):
        name_of(lab, "minne")
