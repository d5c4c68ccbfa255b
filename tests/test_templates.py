"""Files to start from: what is written runs as it is."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bridgelab.cli import app
from bridgelab.domains import SPLITS, get_pair
from bridgelab.errors import InvalidValueError
from bridgelab.study import Selection, resolve
from bridgelab.templates import write_new


def test_a_new_study_can_be_swept_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["new", "study", "width"], catch_exceptions=False).output
    assert "bridgelab sweep ./width.py" in told
    resolved = resolve("./width.py", Selection(preset="smoke"))
    assert len(resolved.arms) == 4
    assert resolved.reference == "bridge.hidden_dim=64"


def test_a_new_domain_has_data_and_sizes(tmp_path: Path) -> None:
    path = write_new("domain", "bars", tmp_path)
    (a, _), _ = get_pair(f"{path}-digits")
    samples = a.load("a")
    assert {split: len(samples[split]) for split in SPLITS} == a.split_sizes
    assert samples["train"].x.shape == (800, 256)
    resolved = resolve("component_ablation", Selection(pair=f"{path}-digits", preset="smoke"))
    assert resolved.members[0].trial.base_a.config.latent_dim == resolved.members[0].trial.base_b.config.latent_dim


@pytest.mark.parametrize("name", ["Width", "my-study", "", "../x"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValueError, match="a name has small letters"):
        write_new("study", name, tmp_path)


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("mine")
    with pytest.raises(InvalidValueError, match="is there already"):
        write_new("study", "mine", tmp_path)
    assert (tmp_path / "mine.py").read_text() == "mine"
