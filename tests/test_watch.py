"""watch: it shows what is there, keeps a report fresh, and ends when nothing is left to run."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bridgelab.cli import app

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_a_study_that_has_ended_is_shown_once(undisturbed: Path, tmp_path: Path) -> None:
    words = ["watch", "label_efficiency", "--lab", str(undisturbed / "lab"), "--html", str(tmp_path / "live.html")]
    told = CliRunner().invoke(app, words, catch_exceptions=False).output
    assert "10 COMPLETE" in told
    assert "| arm" in told
    assert told.count("label_efficiency") == 1
    assert (tmp_path / "live.html").stat().st_size > 1_000_000
