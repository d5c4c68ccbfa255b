"""The whole paper before it runs: what can be run on the data that are there, and what cannot."""

import contextlib
from pathlib import Path

import pytest

from bridgelab import reproducing
from bridgelab.display import whole_text
from bridgelab.domains import check_there
from bridgelab.errors import DataError
from bridgelab.reproducing import PARTS, plan_whole
from bridgelab.study import load_study, study_names


@pytest.mark.parametrize("preset", ["smoke", "desk", "full"])
def test_what_lacks_its_data_is_named_and_the_rest_can_run(tmp_path: Path, preset: str) -> None:
    (tmp_path / "mnist").mkdir()  # a folder without a set: nothing is downloaded into it
    (tmp_path / "fashion_mnist").mkdir()
    whole = plan_whole(lab=tmp_path / "lab", data=tmp_path, preset=preset, n_replicates=1)
    assert [one.part.study for one in whole.possible] == ["synthetic"]
    assert all(one.missing for one in whole.asked if one.part.study != "synthetic")
    assert "not run: " in whole_text(whole)
    assert not (tmp_path / "lab").exists()


def test_nothing_is_downloaded(tmp_path: Path, monkeypatch) -> None:
    from bridgelab.domains import images, speech

    def refuse(*words: object) -> None:
        raise AssertionError(f"a download of {words}")

    monkeypatch.setattr(images, "download", refuse)
    monkeypatch.setattr(speech, "_download_sc09", refuse)
    whole = plan_whole(lab=tmp_path / "lab", data=tmp_path, preset="smoke", n_replicates=1)
    missing = next(one.missing for one in whole.asked if one.part.pair == "mnist-sc09")
    cure = f"give --data a folder that has it, or fetch it: bridgelab pretrain mnist --data {tmp_path}"
    assert missing == f"no mnist in {tmp_path}; {cure}"


def test_where_nothing_can_be_fetched_it_says_what_goes_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"put the 3,000 recordings .* into {tmp_path}/fsdd/recordings$"):
        check_there("digits-fsdd", tmp_path)


def test_a_part_may_run_without_anybody_being_told(tmp_path: Path, monkeypatch) -> None:
    told = []
    monkeypatch.setattr(reproducing, "cluster", contextlib.nullcontext)
    monkeypatch.setattr(reproducing, "sweep", lambda study, *, progress, **_: told.append((study.study.name, progress)))
    whole = plan_whole(lab=tmp_path / "lab", data=tmp_path, preset="smoke", n_replicates=1)
    assert len(list(reproducing.reproduce(whole, lab=tmp_path / "lab"))) == 1
    assert told == [("synthetic", None)]


def test_every_part_is_a_study() -> None:
    assert {part.study for part in PARTS} <= set(study_names())


def test_every_part_has_the_recipe_of_its_study_but_for_table_4_by_the_text_and_table_3_with_spread_labels() -> None:
    others = {part.name for part in PARTS if part.recipe != load_study(part.study)[0].recipe}
    text, spread = "component_ablation mnist-mnist, recipe paper", "label_efficiency mnist-mnist, recipe few_labels"
    assert others == {text, spread}
