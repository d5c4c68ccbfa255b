"""Sweeps for real: on Ray, through the command line, in processes of their own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rings import RINGS

from bridgelab.lab import Lab
from bridgelab.planning import plan
from bridgelab.results import Results
from bridgelab.study import Selection
from bridgelab.trial import Runtime, run_pack

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PLANE = ("--pair", "plane-plane", "--preset", "smoke")


def bridgelab(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, in a folder of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BRIDGELAB_", "RAY_"))}
    command = [sys.executable, "-c", "from bridgelab.cli import main; main()", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def told(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which label_efficiency has been swept over the plane."""
    folder = tmp_path_factory.mktemp("sweep")
    done = bridgelab(folder, "sweep", "label_efficiency", *PLANE)
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


def test_a_sweep_prints_the_table_and_leaves_the_report(folder: Path) -> None:
    said = (folder / "said.txt").read_text()
    assert "| n_labels | n | n_base |" in said
    assert "10 of 10 trials run in" in said
    assert "report: ./lab/reports/label_efficiency.html" in said
    assert (folder / "lab/reports/label_efficiency.html").stat().st_size > 1_000_000


def test_a_sweep_leaves_no_pack_and_no_temporary_file(folder: Path) -> None:
    assert not list((folder / "lab/packs").iterdir())
    assert not [path for path in (folder / "lab").rglob(".*")]
    assert not [path for path in (folder / "lab").rglob("*.pkl")]


def test_the_same_sweep_again_runs_nothing_and_says_so(folder: Path) -> None:
    started = time.monotonic()
    done = bridgelab(folder, "sweep", "label_efficiency", *PLANE)
    assert done.returncode == 0
    assert "nothing to run: 10 of 10 trials are there" in done.stdout
    assert time.monotonic() - started < 15


def test_what_ray_made_is_what_a_pack_makes_by_itself(folder: Path, around) -> None:
    lab, selection = Lab(folder / "lab"), Selection(pair="plane-plane", preset="smoke", n_replicates=2)
    stored = {table: Results(lab).read(table).to_pandas() for table in ("metrics", "predictions", "curves")}
    for pack in plan("label_efficiency", lab=around.lab, selection=selection, pack=3).packs:
        for table, rows in run_pack(Runtime(pack.pack_id), pack.entries, around).rows.items():
            if table != "trials":
                mine = rows.to_pandas().astype(str).agg("|".join, axis=1)
                theirs = stored[table].astype(str).agg("|".join, axis=1)
                assert set(mine) <= set(theirs)


def test_more_replicates_add_only_those(folder: Path) -> None:
    done = told(bridgelab(folder, "sweep", "label_efficiency", *PLANE, "--seeds", "3", "--json"))
    assert (done["run"], done["cached"], done["trials"]) == (5, 10, 15)
    table = told(bridgelab(folder, "table", "label_efficiency", "--format", "json"))
    assert {row["n"] for row in table} == {3}


def test_another_study_runs_only_what_no_study_has_run(folder: Path) -> None:
    done = told(bridgelab(folder, "sweep", "component_ablation", *PLANE, "--pack", "2", "--json"))
    assert (done["run"], done["cached"]) == (10, 2)


def test_another_judge_sends_the_bridges_across_again_and_trains_none(tmp_path: Path) -> None:
    words = ("label_efficiency", "--preset", "smoke", "--seeds", "1", "--json")
    assert told(bridgelab(tmp_path, "sweep", *words))["run"] == 6
    done = told(bridgelab(tmp_path, "sweep", *words, "--set", "judge.n_steps=150"))
    assert (done["run"], done["cached"]) == (6, 0)
    assert Results(Lab(tmp_path / "lab")).read("trials").num_rows == 6
    for more in (), ("--set", "judge.n_steps=150"):
        rows = told(bridgelab(tmp_path, "table", "label_efficiency", "--format", "json", *more))
        assert {row["n"] for row in rows} == {1}


def test_a_domain_of_the_users_own_reaches_the_workers(tmp_path: Path) -> None:
    (tmp_path / "rings.py").write_text(RINGS)
    words = ("label_efficiency", "--pair", "./rings.py-plane", "--preset", "smoke", "--seeds", "1", "--json")
    done = told(bridgelab(tmp_path, "sweep", *words))
    assert (done["run"], done["failed"]) == (3, {})
    rows = told(bridgelab(tmp_path, "table", "label_efficiency", "--format", "json", "--pair", "rings-plane"))
    assert {row["pair"] for row in rows} == {"rings-plane"}


def test_models_that_cannot_be_made_are_one_line_and_hide_no_run(tmp_path: Path) -> None:
    words = ("label_efficiency", "--preset", "smoke", "--seeds", "1")
    assert bridgelab(tmp_path, "sweep", *words).returncode == 0
    failed = bridgelab(tmp_path, "sweep", *words, "--set", "vae.learning_rate=1e30")
    assert failed.returncode == 2
    assert "diverged" in failed.stderr.splitlines()[-1]
    assert "--set vae.learning_rate=0.001" in failed.stderr.splitlines()[-1]
    assert told(bridgelab(tmp_path, "status", "label_efficiency", "--json"))["counts"]["COMPLETE"] == 6


def test_status_counts_what_is_there(folder: Path) -> None:
    done = told(bridgelab(folder, "status", "label_efficiency", "--json"))
    assert done["counts"]["COMPLETE"] >= 10
    assert done["failures"] == {}


def test_a_failed_trial_is_told_kept_and_run_again_only_on_request(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from bridgelab import Study\n"
        "def study():\n"
        "    return Study(name='mine', question='?', pair='plane-plane', grid={'bridge.learning_rate': [1e-3, 1e30]})\n"
    )
    words = ("./mine.py", "--preset", "smoke", "--seeds", "1", "--json")
    first = bridgelab(tmp_path, "sweep", *words)
    assert first.returncode == 1
    assert [failure["class"] for failure in told(first)["failed"].values()] == ["nan"]
    assert "--retry" in first.stderr
    again = bridgelab(tmp_path, "sweep", *words)
    assert (again.returncode, told(again)["run"]) == (1, 0)
    retried = bridgelab(tmp_path, "sweep", *words, "--retry", "--keep", "best")
    assert (retried.returncode, told(retried)["run"]) == (1, 1)
    status = told(bridgelab(tmp_path, "status", "./mine.py", "--json"))
    assert (status["counts"]["COMPLETE"], status["counts"]["FAIL"], status["failures"]) == (1, 1, {"nan": 1})
    attempts = Results(Lab(tmp_path / "lab")).read("trials").select(["state", "attempt"]).to_pylist()
    assert sorted(row["attempt"] for row in attempts if row["state"] == "FAIL") == [0, 1]


def test_the_digits_give_the_shape_of_tables_3_and_4(tmp_path: Path) -> None:
    for study in ("label_efficiency", "component_ablation"):
        done = bridgelab(tmp_path, "sweep", study, "--seeds", "2", "--json")
        assert done.returncode == 0, done.stderr
    by_labels = told(bridgelab(tmp_path, "table", "label_efficiency", "--format", "json"))
    by_component = told(bridgelab(tmp_path, "table", "component_ablation", "--format", "json"))
    for metric in ("transfer_accuracy_ab", "transfer_accuracy_ba"):
        mean = {row["arm"]["n_labels"]: row["mean"] for row in by_labels if row["metric"] == metric}
        assert mean[0] <= 0.30
        assert mean[50] < mean[500] < mean["all"] + 0.03
        assert mean["all"] >= 0.93
        arm = {row["name"]: row["mean"] for row in by_component if row["metric"] == metric}
        assert arm["vanilla"] < 0.30
        assert arm["full"] == mean["all"]
    base = {row["mean"] for row in by_labels if row["metric"].startswith("base_reconstruction")}
    assert min(base) > 0.94
