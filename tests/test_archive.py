"""An archive: a small lab that gives the same tables."""

from pathlib import Path

import pytest
from filling import fill_lab

import analysis
from bridgelab import catalog
from bridgelab.archive import archive
from bridgelab.errors import LabError
from bridgelab.lab import Lab


def test_an_archive_gives_the_table_that_the_lab_gives(lab: Lab, tmp_path: Path) -> None:
    kept = fill_lab(lab, "label_efficiency", lambda arm, replicate, metric: 0.7 + 0.01 * replicate)
    fill_lab(lab, "heads", lambda arm, replicate, metric: 0.5)
    counts = archive(lab, [kept.study_id], tmp_path / "small")
    assert counts["trials"] == counts["members"] == len(kept.members)
    assert catalog.runs_in(tmp_path / "small") == [("label_efficiency", kept.study_id)]
    ours, theirs = (analysis.render(analysis.read_run(at, "label_efficiency")) for at in (tmp_path / "small", lab))
    assert ours == theirs


def test_an_archive_is_never_written_over(lab: Lab, tmp_path: Path) -> None:
    kept = fill_lab(lab, "heads", lambda arm, replicate, metric: 0.5)
    archive(lab, [kept.study_id], tmp_path / "small")
    with pytest.raises(LabError, match=r"small/results is there already; give -o another folder"):
        archive(lab, [kept.study_id], tmp_path / "small")
