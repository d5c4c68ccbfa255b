"""What may go from a lab, and parts that become one."""

from dataclasses import replace

import pytest

from bridgelab.config import VAEConfig, canonical_json
from bridgelab.errors import LabError
from bridgelab.housekeeping import collect, compact, garbage, scattered
from bridgelab.lab import Lab
from bridgelab.lease import Lease
from bridgelab.planning import plan
from bridgelab.publication import manifest, publish_members, publish_rows
from bridgelab.results import SCHEMAS, Results
from bridgelab.study import Selection, resolve
from bridgelab.trial import Runtime, run_pack

HALF = f".half.safetensors.{'0123' * 8}"
SMOKE = Selection(pair="plane-plane", preset="smoke", n_replicates=1)


@pytest.fixture
def full_lab(lab: Lab, around) -> Lab:
    """A lab with a finished study, in three packs."""
    publish_members(lab, resolve("component_ablation", SMOKE))
    for pack in plan("component_ablation", lab=lab, selection=SMOKE, pack=2).packs:
        publish_rows(lab, pack, run_pack(Runtime(pack.pack_id), pack.entries, around).rows)
    return lab


def everything(lab: Lab) -> dict[str, list[str]]:
    return {table: sorted(map(str, Results(lab).read(table).to_pylist())) for table in SCHEMAS}


def test_nothing_that_a_result_reaches_is_garbage(full_lab: Lab) -> None:
    trial = resolve("component_ablation", SMOKE).members[0].trial
    full_lab.publish_folder(f"latents/{trial.base_a.latents_id}", {"train.parquet": b""})
    full_lab.publish_folder(f"models/{trial.judge_a.model_id}", {"model.safetensors": b""})
    full_lab.publish_folder(f"models/{trial.base_b.model_id}", {"model.safetensors": b""})
    assert garbage(full_lab, grace_s=0) == []


def test_latents_of_moved_images_are_reached_too(full_lab: Lab) -> None:
    trial = resolve("component_ablation", SMOKE).members[0].trial
    moved = replace(trial.base_a, kind="vae", config=VAEConfig(shift=1))
    row = dict.fromkeys(SCHEMAS["trials"].names) | {"trial_id": "moved", "attempt": 0, "state": "COMPLETE"}
    Results(full_lab).write("trials", "moved", [row | {"config": canonical_json(replace(trial, base_a=moved))}])
    full_lab.publish_folder(f"latents/{moved.latents_id}", {"train.parquet": b""})
    assert garbage(full_lab, grace_s=0) == []


def test_what_no_result_reaches_is_listed_and_removed_on_request(full_lab: Lab) -> None:
    full_lab.publish_folder("models/unreached", {"model.safetensors": b"12345"})
    full_lab.publish("bridges/unreached.safetensors", b"123")
    full_lab.publish(f"bridges/{HALF}", b"1")
    found = garbage(full_lab, grace_s=0)
    assert {one.path for one in found} == {
        "models/unreached",
        "bridges/unreached.safetensors",
        f"bridges/{HALF}",
    }
    before = everything(full_lab)
    assert collect(full_lab, found) == 9
    assert garbage(full_lab, grace_s=0) == []
    assert everything(full_lab) == before


def test_a_checkout_that_is_a_lab_keeps_what_begins_with_a_dot(lab: Lab) -> None:
    theirs = (".git/HEAD", ".venv/pyvenv.cfg", ".gitignore", ".env.local", "models/.gitkeep", "bridges/.nfs0123")
    for path in theirs:
        lab.publish(path, b"theirs")
    ours = (f".probe-{'0123' * 8}", f".reports.{'4567' * 8}", f"models/.m.{'89ab' * 8}", f"bridges/{HALF}")
    for path in ours:
        lab.publish(f"{path}/written", b"ours")
    found = garbage(lab, grace_s=0)
    assert {one.path for one in found} == set(ours)
    collect(lab, found)
    assert all(lab.exists(path) for path in theirs)
    assert garbage(lab, grace_s=0) == []


def test_what_is_young_is_spared(full_lab: Lab) -> None:
    full_lab.publish_folder("models/of-a-running-sweep", {"model.safetensors": b"12345"})
    assert garbage(full_lab) == []


def test_while_a_sweep_makes_models_they_are_spared(full_lab: Lab) -> None:
    full_lab.publish("training/a-sweep.sweep", b"")
    full_lab.publish("training/a-model.checkpoint", b"1")
    full_lab.publish_folder("models/of-a-running-sweep", {"model.safetensors": b"12345"})
    assert garbage(full_lab, grace_s=0) == []
    full_lab.remove("training/a-sweep.sweep")
    assert {one.path for one in garbage(full_lab, grace_s=0)} == {
        "training/a-model.checkpoint",
        "models/of-a-running-sweep",
    }


def test_a_pack_that_is_not_finished_is_never_garbage(full_lab: Lab) -> None:
    other = plan("label_efficiency", lab=full_lab, selection=SMOKE, n_workers=1).packs[0]
    Lease.take(full_lab, other.pack_id, manifest("label_efficiency", other), "a-sweep")
    assert garbage(full_lab, grace_s=0) == []


def test_merging_keeps_every_row(full_lab: Lab) -> None:
    before = everything(full_lab)
    assert scattered(full_lab) == dict.fromkeys(("trials", "metrics", "predictions", "curves"), 3)
    assert compact(full_lab) == dict.fromkeys(("trials", "metrics", "predictions", "curves"), 3)
    assert everything(full_lab) == before
    assert scattered(full_lab) == {}


def test_a_merge_that_is_cut_short_shows_every_row_once(full_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(full_lab)

    def cut_short(self, path):
        raise LabError("killed")

    monkeypatch.setattr(Lab, "remove", cut_short)
    with pytest.raises(LabError):
        compact(full_lab)
    monkeypatch.undo()
    assert everything(full_lab) == before
    compact(full_lab)
    assert everything(full_lab) == before


def test_parts_that_come_after_a_merge_are_read(full_lab: Lab, around) -> None:
    compact(full_lab)
    more = Selection(pair="plane-plane", preset="smoke", n_replicates=2)
    publish_members(full_lab, resolve("component_ablation", more))
    for pack in plan("component_ablation", lab=full_lab, selection=more).packs:
        publish_rows(full_lab, pack, run_pack(Runtime(pack.pack_id), pack.entries, around).rows)
    assert Results(full_lab).read("trials").num_rows == 12
    compact(full_lab)
    assert Results(full_lab).read("trials").num_rows == 12
    assert plan("component_ablation", lab=full_lab, selection=more).n_to_run == 0
