"""Studies on real images: every one in the smoke preset, and the paper's claims on MNIST in a short cut."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import analysis
from bridgelab.study import study_names

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.data]

SWEEP_ALL = """
import sys
import bridgelab, ray
ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
for pair in sys.argv[3:]:
    small = bridgelab.Selection(pair=pair, preset="smoke", n_replicates=1)
    for name in sys.argv[2].split(","):
        outcome = bridgelab.sweep(name, lab="lab", data=sys.argv[1], selection=small)
        assert outcome.exit_status == 0, (name, outcome.failed)
"""


def python(folder: Path, source: str, *words: str) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("BRIDGELAB_", "RAY_"))}
    command = [sys.executable, "-c", source, *words]
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr


def test_every_study_runs_on_mnist_and_two_on_mnist_to_fashion_mnist(tmp_path: Path) -> None:
    names = [name for name in study_names() if name != "synthetic"]
    python(tmp_path, SWEEP_ALL, os.environ["BRIDGELAB_DATA"], ",".join(names), "mnist-mnist")
    few = "label_efficiency,component_ablation"
    python(tmp_path, SWEEP_ALL, os.environ["BRIDGELAB_DATA"], few, "mnist-fashion_mnist")
    for name in names:
        found = analysis.table(analysis.read_run(tmp_path / "lab", name))
        assert (found["n"] == 1).all()
        assert found["mean"].notna().all()
    run = analysis.read_run(tmp_path / "lab", "label_efficiency")
    assert json.loads(analysis.render(run, "json"))[0]["pair"] == "mnist-fashion_mnist"
