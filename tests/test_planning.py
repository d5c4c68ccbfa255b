"""A plan says what a sweep would do, and does nothing."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bridgelab.bridge.pack import Pack
from bridgelab.config import VAEConfig, canonical_json
from bridgelab.duration import RAY_START_S, expected_seconds, makespan, trial_paces
from bridgelab.errors import InvalidValueError
from bridgelab.lab import Lab
from bridgelab.lease import Lease
from bridgelab.planning import as_json, plan
from bridgelab.power import can_show, detectable
from bridgelab.publication import manifest, publish_rows
from bridgelab.results import Results
from bridgelab.specs import Drawn, Entry, ModelSpec
from bridgelab.study import Selection, resolve
from bridgelab.trial import Runtime, run_pack
from bridgelab.wavegan_config import RejectionConfig, WaveGANConfig

CONFIGS = (VAEConfig(n_steps=100), VAEConfig(n_steps=300), VAEConfig(n_steps=300, hidden_dim=16))
SMOKE = Selection(pair="plane-plane", preset="smoke", n_replicates=2)


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    plan("label_efficiency", lab=str(tmp_path / "lab"))
    assert not (tmp_path / "lab").exists()


def test_the_default_sweep_is_planned_in_full(lab: Lab) -> None:
    found = as_json(plan("label_efficiency", lab=lab, n_workers=2))
    expected = {"trials": 48, "new": 48, "cached": 0, "unfinished": 0, "failed": 0, "packs": 2, "base_models": 17}
    assert {key: found[key] for key in expected} == expected
    assert found["splits"]["digits"]["test"] == 359
    assert 30 < found["seconds"] < 600


def test_every_trial_is_in_one_pack_and_packs_have_one_shape(lab: Lab) -> None:
    for size in (None, 1, 5):
        found = plan("component_ablation", lab=lab, selection=SMOKE, pack=size)
        ids = [entry.spec.trial_id for pack in found.packs for entry in pack.entries]
        assert sorted(ids) == sorted(found.states)
        assert all(len({e.spec.shape for e in pack.entries}) == 1 for pack in found.packs)
        assert size is None or all(len(pack.entries) <= size for pack in found.packs)


def test_trials_of_different_shapes_are_in_different_packs(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from bridgelab import Study\n"
        "def study():\n    return Study(name='mine', question='?', grid={'bridge.hidden_dim': [8, 16]})\n"
    )
    found = plan(str(tmp_path / "mine.py"), lab=lab, selection=SMOKE, n_workers=1)
    assert [len(pack.entries) for pack in found.packs] == [2, 2]


@pytest.mark.parametrize(("gpus", "packs"), [(8, 24), (64, 64), (512, 512), (3000, 1200)])
def test_every_gpu_has_a_pack_and_the_last_ones_end_together(lab: Lab, gpus: int, packs: int) -> None:
    many = Selection(pair="plane-plane", preset="smoke", n_replicates=200)
    found = plan("component_ablation", lab=lab, selection=many, n_workers=gpus, device="cuda")
    sizes = [len(pack.entries) for pack in found.packs]
    assert (len(sizes), sum(sizes)) == (packs, 1200)
    assert max(sizes) - min(sizes) <= 1
    rounds = -(-packs // gpus)
    assert makespan(sizes, gpus) <= rounds * max(sizes)


def test_a_pack_that_can_be_planned_can_be_trained(lab: Lab, make_member) -> None:
    found = plan("component_ablation", lab=lab, selection=SMOKE, n_workers=1)
    for pack in found.packs:
        gradients = Pack([make_member(entry.spec) for entry in pack.entries]).gradients()
        assert len(gradients) == len(pack.entries)


def test_a_pack_size_below_one_is_refused(lab: Lab) -> None:
    with pytest.raises(InvalidValueError, match="--pack 0"):
        plan("label_efficiency", lab=lab, pack=0)


def finish(lab: Lab, around, selection: Selection) -> None:
    """Runs a study of the plane without Ray."""
    for pack in plan("component_ablation", lab=lab, selection=selection).packs:
        publish_rows(lab, pack, run_pack(Runtime(pack.pack_id), pack.entries, around).rows)


def test_finished_trials_are_cached_and_more_replicates_are_new(lab: Lab, around) -> None:
    finish(lab, around, SMOKE)
    again = as_json(plan("component_ablation", lab=lab, selection=SMOKE))
    assert (again["cached"], again["new"], again["packs"], again["seconds"]) == (12, 0, 0, 0.0)
    more = Selection(pair="plane-plane", preset="smoke", n_replicates=3)
    extended = as_json(plan("component_ablation", lab=lab, selection=more))
    assert (extended["cached"], extended["new"]) == (12, 6)


def test_a_trial_of_another_study_is_cached_too(lab: Lab, around) -> None:
    finish(lab, around, SMOKE)
    found = plan("label_efficiency", lab=lab, selection=SMOKE)
    shared = {m.trial.trial_id for m in resolve("label_efficiency", SMOKE).members if m.arm.name == "n_labels=all"}
    assert {trial for trial, state in found.states.items() if state == "cached"} == shared


def test_trials_of_a_pack_that_began_and_did_not_end_are_unfinished(lab: Lab) -> None:
    first = plan("component_ablation", lab=lab, selection=SMOKE, n_workers=1).packs[0]
    Lease.take(lab, first.pack_id, manifest("component_ablation", first), "a-sweep")
    found = plan("component_ablation", lab=lab, selection=SMOKE)
    assert found.count("unfinished") == len(first.entries)
    assert found.n_to_run == len(found.states)


def test_failed_trials_wait_for_a_request(lab: Lab, around) -> None:
    doomed = Selection(pair="plane-plane", preset="smoke", n_replicates=1, overrides={"bridge.learning_rate": 1e30})
    finish(lab, around, doomed)
    waiting = plan("component_ablation", lab=lab, selection=doomed)
    assert (waiting.count("failed"), waiting.packs) == (6, ())
    retried = plan("component_ablation", lab=lab, selection=doomed, retry=True)
    assert [entry.attempt for pack in retried.packs for entry in pack.entries] == [1] * 6


def test_a_finished_trial_under_another_judge_is_only_evaluated(
    lab: Lab, around, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(lab, around, SMOKE)
    monkeypatch.setattr("bridgelab.results.METRIC_VERSION", 2)
    found = plan("component_ablation", lab=lab, selection=SMOKE)
    entries = [entry for pack in found.packs for entry in pack.entries]
    assert all(entry.trained and entry.attempt == 0 for entry in entries)
    assert len(entries) == 12
    assert sum(pack.n_steps for pack in found.packs) == 0


def test_the_time_is_measured_once_trials_of_the_shape_have_run(lab: Lab, around) -> None:
    finish(lab, around, SMOKE)
    pace = trial_paces(lab)[resolve("component_ablation", SMOKE).members[0].trial.shape]
    assert 0 < pace.step_s < 1
    assert 0 < pace.evaluate_s < 10
    more = plan("component_ablation", lab=lab, selection=replace(SMOKE, n_replicates=4), pack=3, n_workers=2)
    pack_s = 3 * (pace.step_s * more.packs[0].entries[0].spec.settings.bridge.n_steps + pace.evaluate_s)
    # On each of two cores: the latents of one side, then two packs.
    assert more.seconds == pytest.approx(RAY_START_S + 0.5 + 2 * pack_s)


def test_the_time_of_a_model_is_that_of_its_like(lab: Lab) -> None:
    made, like, other = (ModelSpec(kind="vae", domain="digits", data_id="x", config=c, seed=0) for c in CONFIGS)
    files = {"config.json": canonical_json(made).encode(), "timing.json": b'{"step_s": 0.5}'}
    lab.publish_folder(f"models/{made.model_id}", files)
    lab.publish_folder("models/damaged", {"config.json": b"{}"})
    untimed = {"config.json": canonical_json(other).encode(), "timing.json": b"{}"}
    lab.publish_folder("models/untimed", untimed)
    trial = plan("label_efficiency", lab=lab, selection=SMOKE).packs[0].entries
    seconds = [
        expected_seconds(lab, [spec], [], [trial], 1) - expected_seconds(lab, [], [], [trial], 1)
        for spec in (like, other)
    ]
    assert seconds[0] == pytest.approx(0.5 * like.config.n_steps)
    assert 0 < seconds[1] < seconds[0]


def test_the_time_of_a_gan_has_its_draws(lab: Lab) -> None:
    gan = WaveGANConfig(n_filters=16, n_layers=4, n_steps=10)
    spec = ModelSpec(kind="wavegan", domain="fsdd_wave", data_id="x", config=gan, seed=0)
    few, many = (
        replace(spec, drawn=Drawn(judge_id="j", rejection=RejectionConfig(n_per_class=5, n_drawn_per_class=n)))
        for n in (100, 1_100)
    )
    trial = plan("label_efficiency", lab=lab, selection=SMOKE).packs[0].entries
    without, some, more = (expected_seconds(lab, [one], [], [trial], 1) for one in (spec, few, many))
    assert more - without == pytest.approx(11 * (some - without))
    assert more - some > 10  # ten thousand clips more


def test_pixel_baselines_are_not_expected_to_be_as_quick_as_a_bridge(lab: Lab) -> None:
    members = resolve("pixel_baselines", Selection(preset="desk", n_replicates=1)).members
    seconds = {
        m.trial.settings.system: expected_seconds(lab, [], [], [[Entry(m.trial, attempt=0, trained=False)]], 1)
        for m in members
    }
    assert seconds["cyclegan"] > seconds["pix2pix"] > seconds["bridge"]


def test_the_last_job_ends_when_each_free_worker_took_the_next_one() -> None:
    assert makespan([3, 1, 1, 1, 4], 2) == 7
    assert makespan([], 2) == 0


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (1, "no interval"),
        (5, "underpowered"),
        (6, "enough for 1 comparison"),
        (8, "enough for 6"),
        (10, "enough for 25"),
    ],
)
def test_a_plan_says_what_so_many_replicates_can_show(n: int, said: str) -> None:
    assert said in can_show(n)


def test_more_arms_than_replicates_can_tell_apart_are_said_to_be() -> None:
    assert "the 26 here reach 0.2 at best: underpowered, --seeds 11 is enough" in can_show(8, 26)
    assert "underpowered" not in can_show(11, 26)


def test_a_plan_of_more_arms_than_any_number_of_replicates_can_show_says_so() -> None:
    assert "paired tests reach p = 5e-05" in can_show(20)
    assert can_show(20, 2_000).endswith("underpowered, no number of replicates is enough for so many")


def test_a_difference_that_eight_pairs_show_in_four_of_five_studies() -> None:
    differences = np.random.default_rng(5).normal(detectable(8), 1, (4_000, 8))
    p = stats.ttest_1samp(differences, 0, axis=1).pvalue
    assert (p < 0.05).mean() == pytest.approx(0.8, abs=0.03)
    assert math.isinf(detectable(1))


def test_the_time_is_that_of_this_machine_now(lab: Lab, around) -> None:
    finish(lab, around, SMOKE)
    shape = resolve("component_ablation", SMOKE).members[0].trial.shape
    rows = Results(lab).read("trials").to_pylist()
    far = [row | {"trial_id": f"far{i}", "host": "elsewhere", "train_s": 1e6} for i, row in enumerate(rows)]
    Results(lab).write("trials", "far", far)
    assert trial_paces(lab)[shape].step_s < 1


def test_an_entry_is_known_by_its_trial_and_attempt(make_trial) -> None:
    assert Entry(make_trial(0), 0, False) == Entry(make_trial(0), 0, False)
