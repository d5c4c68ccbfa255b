"""Ids: what they depend on, and what they do not."""

import dataclasses
from dataclasses import field

import pytest
from pydantic.dataclasses import dataclass as validated

from bridgelab.config import (
    BridgeConfig,
    ClassifierConfig,
    Settings,
    Study,
    VAEConfig,
    canonical,
    content_id,
    stream_seed,
)
from bridgelab.errors import InvalidValueError
from bridgelab.planning import PackPlan
from bridgelab.specs import Entry, ModelSpec
from bridgelab.study import Selection, resolve


def test_three_ids_are_frozen() -> None:
    """If one of these changes, every result that anybody has is orphaned: raise a stage's version instead."""
    vae = ModelSpec(kind="vae", domain="digits", data_id="some data", config=VAEConfig(), seed=3)
    resolved = resolve("label_efficiency", Selection(preset="desk"))
    assert vae.model_id == "2a7be32d93f87d23b882"
    assert resolved.members[-1].trial.trial_id == "0511ffd97631aac9dfd3"
    assert resolved.study_id == "11f52d6dcfe0f83cb988"


def test_equal_configurations_have_equal_ids_whatever_their_order() -> None:
    assert content_id("bridge", {"a": 1, "b": 2.0}) == content_id("bridge", {"b": 2.0, "a": 1})


def test_a_field_added_later_changes_no_id_at_its_neutral_value() -> None:
    @validated(frozen=True, kw_only=True)
    class Later(BridgeConfig):
        dropout: float = field(default=0.0, metadata={"neutral": 0.0})

    assert content_id("bridge", {"bridge": Later()}) == content_id("bridge", {"bridge": BridgeConfig()})
    assert canonical(Later(dropout=0.5)) != canonical(BridgeConfig())


def test_a_field_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="hidden"):
        BridgeConfig(hidden=3)  # type: ignore[call-arg]


def test_a_stage_version_is_part_of_its_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec(kind="classifier", domain="digits", data_id="x", config=ClassifierConfig(), seed=0)
    before = spec.model_id
    monkeypatch.setitem(__import__("bridgelab.config").config.STAGE_VERSIONS, "base_model", 99)
    assert dataclasses.replace(spec).model_id != before


def test_the_judge_has_no_part_in_a_trial_id(make_trial) -> None:
    trial = make_trial()
    other_judge = dataclasses.replace(trial.judge_a, seed=1)
    judged_otherwise = dataclasses.replace(trial, judge_a=other_judge)
    assert judged_otherwise.trial_id == trial.trial_id
    assert judged_otherwise.judge_id != trial.judge_id


def test_seeds_are_part_of_the_trial_id_and_not_of_the_arm_id() -> None:
    resolved = resolve("component_ablation", Selection(pair="plane-plane", preset="smoke", n_replicates=2))
    first, second = (m for m in resolved.members if m.arm.name == "full")
    assert first.arm.arm_id == second.arm.arm_id
    assert first.trial.trial_id != second.trial.trial_id


def test_the_number_of_replicates_is_no_part_of_the_study_id() -> None:
    ids = {resolve("label_efficiency", Selection(n_replicates=n)).study_id for n in (2, 8)}
    assert len(ids) == 1


def test_2_and_2_point_0_are_one_override() -> None:
    ids = {resolve("label_efficiency", Selection(overrides={"bridge.beta_swd": n})).study_id for n in (2, 2.0)}
    assert len(ids) == 1


def test_pair_preset_recipe_overrides_and_base_seeds_are_part_of_the_study_id() -> None:
    selections = [
        Selection(),
        Selection(pair="plane-plane"),
        Selection(preset="smoke"),
        Selection(recipe="paper"),
        Selection(overrides={"bridge.beta_swd": 2.0}),
        Selection(n_base=2),
    ]
    assert len({resolve("label_efficiency", s).study_id for s in selections}) == len(selections)


def test_the_pack_id_follows_its_trials_and_attempts(make_trial) -> None:
    first, second = Entry(make_trial(0), 0, False), Entry(make_trial(1), 0, False)
    ids = {PackPlan((first,)).pack_id, PackPlan((first, second)).pack_id}
    ids.add(PackPlan((dataclasses.replace(first, attempt=1),)).pack_id)
    assert len(ids) == 3


def test_packs_that_evaluate_under_two_judges_are_two_packs(make_trial) -> None:
    trial = make_trial(0)
    judged_otherwise = dataclasses.replace(trial, judge_a=dataclasses.replace(trial.judge_a, seed=1))
    evaluated = {PackPlan((Entry(t, 0, True),)).pack_id for t in (trial, judged_otherwise)}
    trained = {PackPlan((Entry(t, 0, False),)).pack_id for t in (trial, judged_otherwise)}
    assert (len(evaluated), len(trained)) == (2, 1)


def test_streams_of_different_names_have_different_seeds() -> None:
    assert len({stream_seed("bridge", i, name) for i in range(4) for name in ("batch_a", "batch_b")}) == 8


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().bridge.beta_kl = 1.0  # type: ignore[misc]
    assert BridgeConfig() == BridgeConfig()


def test_a_study_with_both_a_grid_and_arms_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="either grid or arms"):
        Study(name="x", question="?", grid={"n_labels": [0]}, arms={"a": {}})
