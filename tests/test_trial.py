"""A pack of trials from specs to rows."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import safetensors
import torch
from untrained import published, wavegan

import bridgelab.trial as trial_module
from bridgelab import metrics
from bridgelab.base_models import Features, Identity
from bridgelab.bridge.transfer import cross, stack
from bridgelab.config import STAGE_VERSIONS
from bridgelab.domains import SPLITS, Samples, get_domain
from bridgelab.errors import LabError
from bridgelab.latents import Latents
from bridgelab.metrics import Predictions
from bridgelab.specs import Entry
from bridgelab.trial import Runtime, Surroundings, load_bridge, run_pack

SHORT = {"bridge.n_steps": 70}


def entries(make_trial, n: int, **values):
    return [Entry(make_trial(i, **SHORT, **values), attempt=0, trained=False) for i in range(n)]


def by_trial(table, trial_id: str):
    timing = {"train_s", "evaluate_s", "finished_at", "pack_id", "pack_size"}
    rows = [row for row in table.to_pylist() if row["trial_id"] == trial_id]
    return [{key: value for key, value in row.items() if key not in timing} for row in rows]


def test_rows_of_a_trial_are_the_same_alone_and_in_a_pack_of_eight(make_trial, around) -> None:
    pack = entries(make_trial, 8)
    together = run_pack(Runtime("together"), pack, around).rows
    for entry in pack[:: len(pack) - 1]:
        alone = run_pack(Runtime("alone"), [entry], around).rows
        for table in ("curves", "predictions", "metrics", "trials"):
            assert by_trial(alone[table], entry.spec.trial_id) == by_trial(together[table], entry.spec.trial_id)
            assert by_trial(alone[table], entry.spec.trial_id)


class Drawing:
    """A Source whose latents are drawn by their id, and whose samples are noise."""

    def latents(self, latents_id):
        rng = np.random.default_rng(int(latents_id, 16))
        mu = {split: rng.normal(size=(40, 6)).astype(np.float32) for split in SPLITS}
        return {split: Latents(z_ND, np.zeros_like(z_ND), np.arange(40) % 10) for split, z_ND in mu.items()}

    def samples(self, domain, side):
        rng = np.random.default_rng(0)
        return {split: Samples(rng.normal(size=(40, 6)).astype(np.float32), np.arange(40) % 10) for split in SPLITS}


class Loudest:
    """A judge of samples that are latents: which coordinate is the largest."""

    def features(self, x_BX):
        return Features(x_BX, torch.softmax(x_BX, 1))

    def classify(self, x_BX):
        return x_BX.argmax(1)


class OfOneModelASide(Surroundings):
    """Surroundings whose base model and judge are the same on a side, whatever is drawn there."""

    def __init__(self, lab):
        super().__init__(lab, Drawing())
        self.models = {side: (Identity(), Loudest()) for side in "ab"}

    def world(self, base, judge, side):
        model, loudest = self.models[side]
        return dataclasses.replace(super().world(base, judge, side), base=model, judge=loudest)


def test_two_rules_of_rejection_in_one_pack_give_the_rows_of_each_alone(lab) -> None:
    one = published(lab, "digits", "fsdd_wave")
    short = dataclasses.replace(one.settings.bridge, n_steps=70)
    one = dataclasses.replace(one, settings=dataclasses.replace(one.settings, bridge=short))
    other = dataclasses.replace(one, base_b=wavegan(lab, "fsdd_wave", one.judge_b, rule="top_k"))
    pack = [Entry(spec, attempt=0, trained=False, fid=True) for spec in (one, other)]
    together = run_pack(Runtime("together"), pack, OfOneModelASide(lab)).rows
    for entry in pack:
        alone = run_pack(Runtime("alone"), [entry], OfOneModelASide(lab)).rows
        for table in ("curves", "predictions", "metrics"):
            ours, theirs = (pd.DataFrame(by_trial(rows[table], entry.spec.trial_id)) for rows in (alone, together))
            assert len(ours)
            assert ours.equals(theirs), table


def test_all_accuracies_come_from_the_stored_predictions(make_trial, around) -> None:
    rows = run_pack(Runtime("p"), entries(make_trial, 1), around).rows
    stored = rows["predictions"].to_pandas()
    for row in rows["metrics"].to_pylist():
        if "accuracy" not in row["metric"]:
            continue
        direction = (
            row["metric"][-2:] if row["metric"][-2:] in ("ab", "ba") else {"a": "ab", "b": "ba"}[row["metric"][-1]]
        )
        part = stored[(stored["split"] == row["split"]) & (stored["decode"] == row["decode"])]
        part = part[part["direction"] == direction]
        names = ("true_label", "original", "source", "transferred", "reconstructed", "shared")
        predictions = Predictions(*(part[name].to_numpy() for name in names))
        assert row["value"] == metrics.accuracies(direction, predictions)[row["metric"]]
        assert row["n_eval"] == len(part)


def test_a_trained_bridge_crosses_the_plane(make_trial, around) -> None:
    trial = make_trial(0, **{"bridge.n_steps": 600})
    rows = run_pack(Runtime("p"), [Entry(trial, 0, False)], around).rows["metrics"].to_pylist()
    value = {(row["metric"], row["split"], row["decode"]): row["value"] for row in rows}
    assert value["transfer_accuracy_ab", "test", "mean"] > 0.9
    assert value["transfer_accuracy_ba", "test", "mean"] > 0.9


def test_the_test_split_changes_nothing_but_test_rows(make_trial, lab, plane, around) -> None:
    rng = np.random.default_rng(0)
    noisy = {
        side: {
            **splits,
            "test": Samples(rng.normal(size=splits["test"].x.shape).astype(np.float32), splits["test"].labels),
        }
        for side, splits in plane.items()
    }
    pack = entries(make_trial, 2)
    honest = run_pack(Runtime("p"), pack, around).rows
    bridges = {entry.spec.trial_id: load_bridge(lab, entry.spec.trial_id) for entry in pack}
    blind = run_pack(Runtime("p"), pack, Surroundings(lab, type(around.source)(noisy))).rows
    assert honest["curves"].equals(blind["curves"])
    for table in ("metrics", "predictions"):
        validation = [[r for r in rows[table].to_pylist() if r["split"] == "validation"] for rows in (honest, blind)]
        assert validation[0] == validation[1]
    for trial_id, weights in bridges.items():
        assert all((weights[name] == tensor).all() for name, tensor in load_bridge(lab, trial_id).items())


def test_a_bridge_in_the_lab_is_evaluated_without_training(make_trial, around) -> None:
    trained = entries(make_trial, 2)
    first = run_pack(Runtime("p"), trained, around).rows
    again = run_pack(Runtime("p"), [dataclasses.replace(entry, trained=True) for entry in trained], around).rows
    assert again["metrics"].equals(first["metrics"])
    assert again["predictions"].equals(first["predictions"])
    assert (again["trials"].num_rows, again["curves"].num_rows) == (0, 0)


def test_a_saved_bridge_says_which_trial_it_is(make_trial, around, lab, tmp_path) -> None:
    entry = entries(make_trial, 1)[0]
    run_pack(Runtime("p"), [entry], around)
    path = tmp_path / "lab/bridges" / f"{entry.spec.trial_id}.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["trial"])
    assert config["settings"]["bridge"]["n_steps"] == 70


def test_a_nan_is_a_failure_of_its_trial_alone(make_trial, around, lab) -> None:
    pack = [*entries(make_trial, 2), Entry(make_trial(2, **SHORT, **{"bridge.learning_rate": 1e30}), 0, False)]
    rows = run_pack(Runtime("p"), pack, around).rows
    states = {row["trial_id"]: row for row in rows["trials"].to_pylist()}
    failed = states[pack[2].spec.trial_id]
    assert [states[e.spec.trial_id]["state"] for e in pack[:2]] == ["COMPLETE", "COMPLETE"]
    assert (failed["state"], failed["failure_class"]) == ("FAIL", "nan")
    assert "step" in failed["failure_text"]
    assert not lab.exists(f"bridges/{pack[2].spec.trial_id}.safetensors")
    assert failed["trial_id"] not in rows["metrics"]["trial_id"].to_pylist()


def test_an_exception_is_a_failure_with_its_text(make_trial, around, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridgelab.trial.Pack", lambda *args: 1 / 0)
    rows = run_pack(Runtime("p"), entries(make_trial, 2), around).rows
    assert {row["failure_class"] for row in rows["trials"].to_pylist()} == {"error"}
    assert "ZeroDivisionError" in rows["trials"]["failure_text"][0].as_py()
    assert {table: len(rows[table]) for table in rows} == {"curves": 0, "predictions": 0, "metrics": 0, "trials": 2}


def test_running_out_of_memory_has_a_class_of_its_own(make_trial, around, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*args):
        raise MemoryError("no more")

    monkeypatch.setattr("bridgelab.trial.Pack", exhausted)
    rows = run_pack(Runtime("p"), entries(make_trial, 1), around).rows
    assert rows["trials"]["failure_class"][0].as_py() == "oom"


def test_a_missing_bridge_is_named(lab) -> None:
    with pytest.raises(LabError, match="bridges/nothing"):
        load_bridge(lab, "nothing")


def test_every_trial_is_evaluated_from_means_and_from_samples(make_trial, around) -> None:
    first, second = (run_pack(Runtime("p"), entries(make_trial, 1), around).rows["predictions"] for _ in range(2))
    assert first.equals(second)
    means, samples = (
        [row["transferred"] for row in first.to_pylist() if row["decode"] == decode] for decode in ("mean", "sample")
    )
    assert len(means) == len(samples)
    assert means != samples


def test_which_decoding_a_table_shows_is_no_part_of_a_trial(make_trial) -> None:
    assert make_trial(0, decode="mean").trial_id == make_trial(0, decode="sample").trial_id


def test_a_transfer_on_the_plane_is_measured_by_landing_locality_and_the_shared_space(make_trial, around) -> None:
    trained = {"bridge.n_steps": 600}
    specs = [make_trial(0, **trained), make_trial(0, **trained, **{"bridge.conditional": False})]
    rows = run_pack(Runtime("p"), [Entry(spec, 0, False) for spec in specs], around).rows["metrics"].to_pylist()
    shown = {"split": "test", "decode": "mean"}
    told, untold = (
        {r["metric"]: r["value"] for r in rows if r["trial_id"] == s.trial_id and shown.items() <= r.items()}
        for s in specs
    )
    assert told["landing_ab"] > 0.9 > 0.1 > untold["landing_ab"]  # who is told no domain stays where it is
    assert told["locality_ab"] > 0.8
    assert told["shared_distance"] < untold["shared_distance"]


def test_a_class_map_says_which_class_stands_for_which(make_trial, around) -> None:
    plain = make_trial(0, **{"bridge.n_steps": 600})
    swapped = dataclasses.replace(plain, settings=dataclasses.replace(plain.settings, class_map=(1, 0)))
    assert swapped.trial_id != plain.trial_id
    rows = run_pack(Runtime("p"), [Entry(plain, 0, False), Entry(swapped, 0, False)], around).rows
    shown = {"metric": "transfer_accuracy_ab", "split": "test", "decode": "mean"}
    found = [row["value"] for row in rows["metrics"].to_pylist() if shown.items() <= row.items()]
    assert min(found) > 0.9
    scored = [r["value"] for r in rows["curves"].to_pylist() if r["term"] == "validation/transfer_accuracy_ba"]
    assert min(scored[7], scored[15]) > 0.9
    latents = torch.from_numpy(around.latents(plain.base_a.latents_id)["test"].mu.copy())
    ends = []
    for spec in (plain, swapped):
        bridges = stack([load_bridge(around.lab, spec.trial_id)], [spec.settings.bridge], n_classes=2)
        noise = torch.zeros(1, len(latents), bridges.n_shared)
        ends.append(get_domain("plane").rule("b", cross(bridges, latents[None], noise, 0).transferred[0].numpy()))
    assert (ends[0] != ends[1]).mean() > 0.9  # what landed left lands right


def test_a_trial_is_scored_on_validation_while_it_trains(make_trial, around) -> None:
    trial = make_trial(0, **{"bridge.n_steps": 600})
    rows = run_pack(Runtime("p"), [Entry(trial, 0, False)], around).rows
    curve = [r for r in rows["curves"].to_pylist() if r["term"] == "validation/transfer_accuracy_ab"]
    assert [row["step"] for row in curve][-1] == 600
    assert len(curve) == 8
    final = next(
        r["value"]
        for r in rows["metrics"].to_pylist()
        if (r["metric"], r["split"], r["decode"]) == ("transfer_accuracy_ab", "validation", "mean")
    )
    assert curve[-1]["value"] == pytest.approx(final)


def test_a_trial_whose_evaluation_fails_is_trained_once_and_told(make_trial, around, monkeypatch) -> None:
    pack = entries(make_trial, 3)
    bad = pack[1].spec.trial_id
    honest = trial_module.evaluate

    def failing(bridges, n_classes):
        if any(bridge.spec.trial_id == bad for bridge in bridges):
            raise ValueError("no such class")
        return honest(bridges, n_classes)

    monkeypatch.setattr(trial_module, "evaluate", failing)
    found = run_pack(Runtime("p"), pack, around)
    assert found.unevaluated.keys() == {bad}
    assert "no such class" in found.unevaluated[bad].text
    assert found.rows["trials"]["state"].to_pylist() == ["COMPLETE"] * 3
    assert bad not in found.rows["metrics"]["trial_id"].to_pylist()
    assert len(set(found.rows["metrics"]["trial_id"].to_pylist())) == 2


GOLDEN = {1: {"transferred": 0.856993, "reconstructed": 0.878195}}
"""Of each version of the evaluation: the mean size of latents after a short trial's bridge, from a to b."""


def test_the_evaluation_stage_gives_its_golden_numbers(make_trial, around, lab) -> None:
    entry = entries(make_trial, 1)[0]
    run_pack(Runtime("p"), [entry], around)
    z_1ND = torch.from_numpy(around.latents(entry.spec.base_a.latents_id)["test"].mu.copy())[None]
    bridges = stack([load_bridge(lab, entry.spec.trial_id)], [entry.spec.settings.bridge], n_classes=2)
    after = cross(bridges, z_1ND, torch.zeros(1, z_1ND.shape[1], bridges.n_shared), source=0)
    for name, value in GOLDEN[STAGE_VERSIONS["evaluation"]].items():
        assert float(getattr(after, name).abs().mean()) == pytest.approx(value, abs=1e-4)
