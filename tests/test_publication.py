"""What a sweep writes, in which order, and what is left after one that was cut short."""

import pytest

from bridgelab.errors import LabError
from bridgelab.lab import Lab
from bridgelab.lease import Lease
from bridgelab.planning import manifests, plan
from bridgelab.publication import drop_finished_packs, keep_best, lost_rows, manifest, publish_rows
from bridgelab.results import Results
from bridgelab.study import Selection
from bridgelab.sweeping import KEEP
from bridgelab.trial import Runtime, run_pack

SMOKE = Selection(pair="plane-plane", preset="smoke", n_replicates=2)


def test_the_row_in_trials_is_written_last(lab: Lab, around, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = plan("component_ablation", lab=lab, selection=SMOKE, n_workers=1, pack=2).packs[0]
    rows = run_pack(Runtime(pack.pack_id), pack.entries, around).rows
    order: list[str] = []
    monkeypatch.setattr(Results, "publish", lambda self, table, part, data: order.append(table))
    publish_rows(lab, pack, rows)
    assert order == ["curves", "predictions", "metrics", "trials"]


def test_a_pack_whose_publication_is_cut_short_counts_as_not_run(lab: Lab, around, monkeypatch) -> None:
    pack = plan("component_ablation", lab=lab, selection=SMOKE, n_workers=1, pack=2).packs[0]
    Lease.take(lab, pack.pack_id, manifest("component_ablation", pack), "a-sweep")
    rows = run_pack(Runtime(pack.pack_id), pack.entries, around).rows
    publish = Results.publish

    def cut_short(self, table, part, data):
        if table == "trials":
            raise LabError("the disk is full")
        publish(self, table, part, data)

    monkeypatch.setattr(Results, "publish", cut_short)
    with pytest.raises(LabError):
        publish_rows(lab, pack, rows)
    monkeypatch.undo()
    again = plan("component_ablation", lab=lab, selection=SMOKE)
    assert (again.count("cached"), again.count("unfinished")) == (0, 2)
    publish_rows(lab, pack, rows)
    assert Results(lab).read("metrics").num_rows == rows["metrics"].num_rows


def test_the_folder_of_a_finished_pack_goes(lab: Lab, around) -> None:
    pack = plan("component_ablation", lab=lab, selection=SMOKE, n_workers=1).packs[0]
    Lease.take(lab, pack.pack_id, manifest("component_ablation", pack), "a-sweep")
    assert [manifest["pack_id"] for manifest in manifests(lab)] == [pack.pack_id]
    publish_rows(lab, pack, run_pack(Runtime(pack.pack_id), pack.entries, around).rows)
    assert manifests(lab) == []


def test_a_manifest_of_trials_that_ended_in_other_packs_goes(lab: Lab, around) -> None:
    whole = plan("component_ablation", lab=lab, selection=SMOKE, n_workers=1).packs[0]
    Lease.take(lab, whole.pack_id, manifest("component_ablation", whole), "a-sweep")
    for pack in plan("component_ablation", lab=lab, selection=SMOKE, pack=3).packs:
        drop_finished_packs(lab)
        assert len(manifests(lab)) == 1
        publish_rows(lab, pack, run_pack(Runtime(pack.pack_id), pack.entries, around).rows)
    drop_finished_packs(lab)
    assert manifests(lab) == []


def test_trials_of_a_worker_that_died_are_failed_as_lost(lab: Lab) -> None:
    pack = plan("component_ablation", lab=lab, selection=SMOKE, n_workers=1).packs[0]
    publish_rows(lab, pack, {"trials": lost_rows(pack)})
    found = plan("component_ablation", lab=lab, selection=SMOKE)
    assert found.count("failed") == len(found.states)
    assert {row["failure_class"] for row in Results(lab).latest_attempts().values()} == {"lost"}


def test_keeping_the_best_leaves_each_arms_best_replicate_on_validation(lab: Lab, around) -> None:
    found = plan("component_ablation", lab=lab, selection=SMOKE)
    for pack in found.packs:
        publish_rows(lab, pack, run_pack(Runtime(pack.pack_id), pack.entries, around).rows)
    lab.publish("bridges/of_another_sweep.safetensors", b"")
    keep_best(lab, found.study, found.states)
    shown = {"metric": "transfer_accuracy_ab", "split": "validation", "decode": "mean"}
    rows = [row for row in Results(lab).read("metrics").to_pylist() if shown.items() <= row.items()]
    value = {row["trial_id"]: row["value"] for row in rows}
    kept = {name.removesuffix(".safetensors") for name in lab.names("bridges")} - {"of_another_sweep"}
    assert len(lab.names("bridges")) == 7
    for arm in found.study.arms:
        trials = [member.trial.trial_id for member in found.study.members if member.arm is arm]
        assert {value[trial_id] for trial_id in trials if trial_id in kept} == {max(map(value.get, trials))}


def test_keeping_what_is_behind_tables_lets_go_of_what_only_a_search_had(lab: Lab, make_trial) -> None:
    found = plan("component_ablation", lab=lab, selection=SMOKE)
    members, searched = [*found.states], make_trial(7).trial_id
    for trial_id in (*members, searched, "of_another_sweep"):
        lab.publish(f"bridges/{trial_id}.safetensors", b"")
    KEEP["tables"](lab, found.study, [*members, searched])
    assert lab.names("bridges") == sorted(f"{i}.safetensors" for i in (*members, "of_another_sweep"))
    KEEP["all"](lab, found.study, members)
    assert len(lab.names("bridges")) == len(members) + 1
