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
from bridgelab.config import Search
from bridgelab.study import load_study
ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
for pair in sys.argv[3:]:
    small = bridgelab.Selection(pair=pair, preset="smoke", n_replicates=1)
    for name in sys.argv[2].split(","):
        one = {"generations": 1} if isinstance(load_study(name)[0], Search) else {}
        outcome = bridgelab.sweep(name, lab="lab", data=sys.argv[1], selection=small, **one)
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


SHORT_CUT = """
import sys
import bridgelab
from bridgelab.config import Study

def sweep(name, pair, arms):
    study = Study(name=name, question="Do the paper's claims hold?", pair=pair, arms=arms)
    few = bridgelab.Selection(preset="desk", n_replicates=2, n_base=1)
    outcome = bridgelab.sweep(study, lab="lab", data=sys.argv[1], selection=few)
    assert outcome.exit_status == 0, outcome.failed

vanilla = {"bridge.conditional": False, "bridge.beta_swd": 0.0}
sweep("digits", "mnist-mnist", {"100": {"n_labels": 100}, "1000": {"n_labels": 1000}, "full": {}, "vanilla": vanilla})
"""


@pytest.mark.timeout(1800)
def test_the_papers_numbers_are_reached_on_real_digits(tmp_path: Path) -> None:
    """A short cut: two replicates on one pair of base models, with a margin below what is asked of eight."""
    python(tmp_path, SHORT_CUT, os.environ["BRIDGELAB_DATA"])
    both_ways = {arm: sum(values.values()) / 2 for arm, values in mean_accuracy(tmp_path / "lab", "digits").items()}
    assert both_ways["vanilla"] < 0.30
    assert both_ways["100"] > 0.45
    assert both_ways["1000"] > 0.85
    assert both_ways["full"] > 0.96


def mean_accuracy(lab: Path, study: str) -> dict[str, dict[str, float]]:
    """Transfer accuracy by arm and direction."""
    means: dict[str, dict[str, float]] = {}
    for row in analysis.summarize(analysis.read_run(lab, study)).itertuples():
        if row.metric.startswith("transfer_accuracy"):
            means.setdefault(row.arm_name, {})[row.metric.rsplit("_", 1)[1]] = row.mean
    return means
