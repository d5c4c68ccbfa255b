"""Labels of the user's own: a file of bins takes the place of both domains' classes."""

from pathlib import Path

import numpy as np
import pytest

import analysis
import bridgelab
from bridgelab.bridge.pool import pool
from bridgelab.config import UNLABELLED
from bridgelab.domains import get_pair
from bridgelab.errors import BridgelabError, DataError
from bridgelab.latents import Latents
from bridgelab.study import Selection, resolve

HEAD = "domain,split,item,bin"


def _odd_and_even(path: Path, n: int = 60) -> Path:
    """The first n digits of each split, by whether they are odd."""
    (a, _), _ = get_pair("digits-digits")
    rows = [
        f"digits,{split},{i},{('even', 'odd')[label % 2]}"
        for split, samples in a.load("a").items()
        for i, label in enumerate(samples.labels[:n].tolist())
    ]
    path.write_text("\n".join([HEAD, *rows]))
    return path


def test_bins_take_the_place_of_classes_and_the_rest_stays_unlabelled(tmp_path: Path) -> None:
    (a, b), files = get_pair("digits-digits", labels=_odd_and_even(tmp_path / "parity.csv"))
    assert a.name == b.name == "digits_by_parity"
    assert a.class_names == ("even", "odd")
    assert len(files) == 1
    labels = a.load("a")["train"].labels
    assert set(labels[:60].tolist()) == {0, 1}
    assert set(labels[60:].tolist()) == {UNLABELLED}
    assert a.data_id("a") != get_pair("digits-digits")[0][0].data_id("a")


def test_a_bridge_sees_every_item_and_only_the_labels_of_the_file(tmp_path: Path) -> None:
    chosen = Selection(preset="smoke", labels=str(_odd_and_even(tmp_path / "parity.csv")))
    resolved = resolve("transfer_pairs", chosen)
    labels = resolved.pair[0].load("a")["train"].labels
    found = pool(resolved.members[0].trial, "a", Latents(*np.zeros((2, len(labels), 1), np.float32), labels))
    assert len(found.seen) == len(labels)
    assert found.labelled.tolist() == list(range(60))
    assert "--labels" in resolved.command


def test_more_labels_than_the_file_has_are_refused(tmp_path: Path) -> None:
    chosen = Selection(labels=str(_odd_and_even(tmp_path / "parity.csv")), overrides={"n_labels": 100})
    with pytest.raises(BridgelabError, match="has 60 training samples with a label"):
        resolve("component_ablation", chosen)


@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_under_bins_of_one_s_own_fills_its_table(tmp_path: Path) -> None:
    csv = _odd_and_even(tmp_path / "parity.csv", 200)
    chosen = Selection(preset="desk", n_replicates=1, labels=str(csv), overrides={"bridge.n_steps": 320})
    bridgelab.sweep("transfer_pairs", lab=tmp_path / "lab", selection=chosen)
    run = analysis.read_run(tmp_path / "lab", "transfer_pairs")
    accuracy = run.values.drop_duplicates("metric").set_index("metric")["value"]
    assert accuracy["transfer_accuracy_ab"] > 0.7  # chance is a half
    assert accuracy["transfer_accuracy_true_ab"] > 0.7
    assert np.isfinite(accuracy["path_jump_between_ab"])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["x,y"], "the first line has to be domain,split,item,bin"),
        ([HEAD, "dogs,train,1,odd"], ":2: domain 'dogs' is none of the pair; give a or b or digits"),
        ([HEAD, "digits,trian,1,odd"], ":2: split 'trian'"),
        ([HEAD, "digits,train,-1,odd"], ":2: item '-1'"),
        ([HEAD, "digits,train,1"], ":2: 3 cells"),
        ([HEAD, "digits,train,1,odd"], "has 1 bins"),
        ([HEAD, "digits,train,1,odd", "digits,train,1,even"], "item 1 is in two bins"),
        ([HEAD, "digits,train,99999,odd", "digits,train,1,even"], "there is no 99999"),
        ([HEAD, "digits,train,1,odd", "digits,train,2,even"], "bin 'even' has no validation item"),
        ([HEAD, "a,train,1,odd", "digits,train,2,even"], "bin 'odd' has items of one domain only"),
    ],
)
def test_a_bad_file_of_bins_is_one_line(tmp_path: Path, rows: list[str], said: str) -> None:
    path = tmp_path / "bins.csv"
    path.write_text("\n".join(rows))
    with pytest.raises(DataError, match="bins.csv") as told:
        get_pair("digits-digits", labels=path)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_a_domain_whose_judge_is_a_rule_keeps_its_classes(tmp_path: Path) -> None:
    path = tmp_path / "bins.csv"
    path.write_text(f"{HEAD}\nplane,train,1,odd\nplane,train,2,even\n")
    with pytest.raises(BridgelabError, match="its judge is a rule"):
        get_pair("plane-plane", labels=path)
