"""The whole paper before it runs: what can be run on the data that are there, and what cannot."""

from pathlib import Path

import pytest

from bridgelab.display import whole_text
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
    assert missing == f"no mnist in {tmp_path}; give --data a folder that has it, or fetch it: bridgelab pretrain mnist"


def test_every_part_is_a_study() -> None:
    assert {part.study for part in PARTS} <= set(study_names())


def test_every_part_has_the_recipe_of_its_study_but_for_table_4_by_the_text() -> None:
    others = {part.name for part in PARTS if part.recipe != load_study(part.study)[0].recipe}
    assert others == {"component_ablation mnist-mnist, recipe paper"}
