"""The size of a pack is measured where that pays, is remembered, and changes no result."""

import pytest

import bridgelab
from bridgelab import pack_size as sizes
from bridgelab import rehearsal
from bridgelab.lab import Lab
from bridgelab.pack_size import PackSize, fastest, pack_size, remember, remembered
from bridgelab.planning import plan
from bridgelab.rehearsal import Place, measure_pack_sizes
from bridgelab.results import Results
from bridgelab.study import Selection

SMOKE = Selection(pair="plane-plane", preset="smoke", n_replicates=4)


def test_the_smallest_pack_that_is_as_good_as_the_best_is_taken() -> None:
    assert fastest({1: 5.0, 2: 3.0, 4: 2.05, 8: 2.0, 16: 2.2}) == 4


def test_what_was_measured_here_is_remembered_and_planned_with(lab: Lab, make_trial) -> None:
    trial = make_trial(0)
    by_width = pack_size(lab, trial, "cpu")
    remember(lab, trial, "cpu", PackSize(3, cores=2), {"all_cores": {1: 2.0, 3: 1.0}})
    assert pack_size(lab, trial, "cpu") == PackSize(3, cores=2) != by_width
    assert remembered(lab, trial, "cuda") is None
    found = plan("label_efficiency", lab=lab, selection=SMOKE, n_workers=1)
    assert max(len(pack.entries) for pack in found.packs) == 3


def test_another_machine_measures_anew(lab: Lab, make_trial, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(lab, make_trial(0), "cpu", PackSize(3), {})
    monkeypatch.setattr(sizes, "machine", lambda: {"processor": "another", "cores": 2})
    assert remembered(lab, make_trial(0), "cpu") is None


def test_what_cannot_be_read_is_measured_anew(lab: Lab, make_trial) -> None:
    remember(lab, make_trial(0), "cpu", PackSize(3), {})
    lab.publish(f"pack_sizes/{lab.names('pack_sizes')[0]}", b"{")
    assert remembered(lab, make_trial(0), "cpu") is None


@pytest.mark.parametrize(("half", "cores"), [({8: 1.0}, 2), ({8: 1.9}, 1)])
def test_packs_get_two_cores_only_where_fewer_at_once_do_more(
    lab: Lab, make_trial, monkeypatch: pytest.MonkeyPatch, half, cores: int
) -> None:
    monkeypatch.setattr(rehearsal, "PAYS_FROM_S", 0.0)
    monkeypatch.setattr(rehearsal, "available_cpus", lambda: 4)
    monkeypatch.setattr(
        rehearsal, "_side_by_side", lambda place, specs, n: half if n == 2 else {4: 2.5, 8: 2.2, 16: 2.5}
    )
    trials = [make_trial(i) for i in range(16)]
    assert measure_pack_sizes(Place(lab, "cpu", n_slots=4), trials, lambda phase: None) == cores
    assert remembered(lab, trials[0], "cpu") == PackSize(8, cores)


def test_a_short_study_measures_nothing(lab: Lab, make_trial) -> None:
    assert measure_pack_sizes(Place(lab, "cpu", n_slots=2), [make_trial(0)], lambda phase: None) == 1
    assert lab.names("pack_sizes") == []


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_measures_its_packs_and_comes_to_the_same_rows(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Selection(pair="plane-plane", preset="smoke", n_replicates=2)
    found = {}
    for name, pays_from_s in (("measured", 0.0), ("by width", 1e9)):
        monkeypatch.setattr(rehearsal, "PAYS_FROM_S", pays_from_s)
        lab = Lab(tmp_path / name)
        assert bridgelab.sweep("component_ablation", lab=lab, selection=few).exit_status == 0
        rows = Results(lab).read("metrics").to_pylist()
        found[name] = {(r["trial_id"], r["metric"], r["split"], r["decode"]): r["value"] for r in rows}
    assert found["measured"] == found["by width"]
    told = [
        Lab(tmp_path / "measured").read_json(f"pack_sizes/{n}") for n in Lab(tmp_path / "measured").names("pack_sizes")
    ]
    assert told
    assert all(min(map(float, one["measured"]["all_cores"].values())) > 0 for one in told)
    assert Lab(tmp_path / "by width").names("pack_sizes") == []
