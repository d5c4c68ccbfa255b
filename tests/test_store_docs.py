"""The lines of docs/store.md run, and agree."""

import re
from pathlib import Path

import pandas as pd
import pytest
from filling import fill_lab

import analysis
from bridgelab.lab import Lab

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parent.parent / "docs/store.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("store")
    fill_lab(Lab(path / "lab"), "component_ablation", lambda arm, replicate, metric: 0.5 + 0.01 * len(arm))
    return path


def tidy(found: object) -> pd.Series:
    """Any of the three results as (study, arm_name, metric) -> value."""
    if isinstance(found, pd.Series):
        found = found.reset_index()
    frame = found if isinstance(found, pd.DataFrame) else pd.DataFrame(found.to_dicts())  # type: ignore[attr-defined]
    keys = ["study", "arm_name", "metric"]
    return frame.astype(dict.fromkeys(keys, str)).set_index(keys)["value"].sort_index()


@pytest.mark.parametrize("block", BLOCKS, ids=["pandas", "duckdb", "polars"])
def test_each_way_to_read_the_store_gives_the_table(folder: Path, monkeypatch, block: str) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(block, names)
    run = analysis.read_run(folder / "lab", "component_ablation")
    expected = analysis.summarize(run).dropna(subset="mean").assign(study="component_ablation")
    assert tidy(names["found"]).to_dict() == pytest.approx(tidy(expected.rename(columns={"mean": "value"})).to_dict())
