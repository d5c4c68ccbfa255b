"""The lines of docs/store.md run, and agree."""

import re
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from filling import fill_lab
from some_rows import rows_of

import analysis
from bridgelab.lab import Lab
from bridgelab.results import Results
from bridgelab.study import Selection

PAGE = (Path(__file__).parent.parent / "docs/store.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SQL = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
RUNS = {"default": 0.5, "paper": 0.3}
"""Recipes of two runs of one study, which have other values and other decodings."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("store")
    for recipe, least in RUNS.items():
        fill_lab(
            Lab(path / "lab"), "component_ablation", lambda arm, *_, low=least: low + 0.01 * len(arm), recipe=recipe
        )
    return path


def tidy(found: object) -> pd.Series:
    """Any of the three results as (study, study_id, arm_name, metric) -> value."""
    if isinstance(found, pd.Series):
        found = found.reset_index()
    frame = found if isinstance(found, pd.DataFrame) else pd.DataFrame(found.to_dicts())  # type: ignore[attr-defined]
    keys = ["study", "study_id", "arm_name", "metric"]
    return frame.astype(dict.fromkeys(keys, str)).set_index(keys)["value"].sort_index()


@pytest.mark.parametrize("block", BLOCKS, ids=["pandas", "duckdb", "polars"])
def test_each_way_to_read_the_store_gives_the_table(folder: Path, monkeypatch, block: str) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(block, names)
    assert tidy(names["found"]).to_dict() == pytest.approx(pd.concat(map(expected, RUNS)).to_dict())


def expected(recipe: str) -> pd.Series:
    """What the table of a run has, in the form of `tidy`."""
    run = analysis.read_run("lab", "component_ablation", selection=Selection(recipe=recipe))
    summary = analysis.summarize(run).dropna(subset="mean").rename(columns={"mean": "value"})
    return tidy(summary.assign(study=run.study, study_id=run.study_id))


def test_brackets_and_states_follow_from_the_rungs(lab: Lab, monkeypatch) -> None:
    monkeypatch.chdir(Path(lab.location).parent)
    # of one bracket: the reference and arm 1 come to the end, arm 2 leaves at the first of two rungs, arm 3 diverges
    came_to = {0: (0.5, 0.6), 1: (0.4, 0.7), 2: (0.3,), 3: (None,)}
    asked = rows_of("proposals", 1)[0] | {"study_id": "s", "generation": 0, "failure_class": None}
    rows = [asked | {"number": n, "rung": 0, "value": None} for n in came_to]
    for n, values in came_to.items():
        failure = "nan" if None in values else None
        rows += [
            asked | {"number": n, "rung": r, "value": v, "failure_class": failure} for r, v in enumerate(values, 1)
        ]
    Results(lab).write("proposals", "one", rows)
    found = duckdb.sql(SQL[0]).df().set_index("number")
    assert found["state"].to_dict() == {0: "COMPLETE", 1: "COMPLETE", 2: "PRUNED", 3: "FAIL"}
    assert found["rung"].to_dict() == {0: 2, 1: 2, 2: 1, 3: 1}
