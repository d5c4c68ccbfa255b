"""What is exported for rliable, read by rliable, in an environment of its own: it does not import beside pandas 3."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import analysis

READ = """
import json, sys
import numpy as np
from rliable import metrics
scores = np.load(sys.argv[1], allow_pickle=False)
wins = {name: metrics.probability_of_improvement(scores[name], scores["full"]) for name in scores if name != "full"}
print(json.dumps({"iqm": {name: metrics.aggregate_iqm(scores[name]) for name in scores}, "wins": wins}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rliable")
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    install = [str(python), "-m", "pip", "install", "--quiet", "rliable==1.2.*", "numpy<2", "pandas<3"]
    subprocess.run(install, check=True, capture_output=True, timeout=500)
    return python


@pytest.mark.slow
def test_rliable_reads_the_arrays_and_comes_to_the_same(lab, fill, tmp_path, python: Path) -> None:
    fill("component_ablation", lambda arm, i, metric: (len(arm) * 7 + i * 13 + metric.endswith("ba") * 5) % 11 / 11)
    run = analysis.read_run(lab, "component_ablation")
    exported = analysis.export_run(run, tmp_path / "out")
    read = [str(python), "-W", "ignore", "-c", READ, str(exported["rliable.npz"])]
    done = subprocess.run(read, check=True, capture_output=True, text=True, timeout=200)
    theirs, ours = json.loads(done.stdout), analysis.aggregate(run).set_index("arm_name")
    assert ours["iqm"].to_dict() == pytest.approx(theirs["iqm"])
    assert ours["improvement"].dropna().to_dict() == pytest.approx(theirs["wins"])
    assert sys.executable != str(python)
