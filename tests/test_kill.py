"""Real sweeps, killed: the same command again loses nothing, doubles nothing, and comes to the same bits."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridgelab.lab import Lab
from bridgelab.results import Results

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STUDY = ("label_efficiency", "--pair", "plane-plane", "--preset", "desk", "--seeds", "2", "--pack", "2")
N_TRIALS = 10


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BRIDGELAB_", "RAY_"))}
    command = [sys.executable, "-c", "from bridgelab.cli import main; main()", "sweep", *STUDY, "--json", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


def finish(sweep: subprocess.Popen[str]) -> dict:
    out, err = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, err
    return json.loads(out)


def below(pid: int) -> Iterator[tuple[int, str]]:
    """The processes that a process started, and theirs: (pid, name)."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = entry.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        parents[int(entry.parent.name)] = (int(rest.split()[1]), name)
    wanted = {pid}
    for _ in range(10):
        wanted |= {child for child, (parent, _) in parents.items() if parent in wanted}
    yield from ((child, parents[child][1]) for child in wanted - {pid} if child in parents)


def wait_until(seen: Callable[[], object], sweep: subprocess.Popen[str]) -> None:
    """Watches the lab until something is seen there."""
    deadline = time.monotonic() + 120
    while not seen():
        assert sweep.poll() is None, sweep.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def rows(folder: Path, table: str) -> list[str]:
    """What must not differ: everything but times, hosts and the names of packs."""
    columns = {
        "trials": ["trial_id", "attempt", "state", "config", "base_a", "base_b", "steps"],
        "metrics": None,
        "predictions": None,
        "curves": None,
    }[table]
    found = Results(Lab(folder / "lab")).read(table)
    return sorted(map(str, (found.select(columns) if columns else found).to_pylist()))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert finish(start(folder))["run"] == N_TRIALS
    return {table: rows(folder, table) for table in ("trials", "metrics", "predictions", "curves")}


def assert_same(folder: Path, undisturbed: dict[str, list[str]]) -> None:
    for table, expected in undisturbed.items():
        assert rows(folder, table) == expected, table
    assert not list((folder / "lab/packs").glob("[!.]*"))


def parts(folder: Path, table: str) -> int:
    return len(list((folder / f"lab/results/{table}").glob("part-*")))


def test_a_driver_killed_at_moment_after_moment_loses_and_doubles_nothing(tmp_path: Path, undisturbed) -> None:
    lab = tmp_path / "lab"
    moments: dict[str, Callable[[], object]] = {
        "before the first checkpoint": lambda: list(lab.glob("packs/[!.]*/lease.json")),
        "after a checkpoint": lambda: list(lab.glob("packs/[!.]*/[!.]*.safetensors")),
        "after the curves of a pack": lambda: parts(tmp_path, "curves") > 0,
        "after the commit of another": lambda: parts(tmp_path, "trials") > 2,
    }
    finished: set[str] = set()
    for seen in moments.values():
        sweep = start(tmp_path, "--checkpoint-every", "0")
        wait_until(seen, sweep)
        sweep.send_signal(signal.SIGKILL)
        sweep.communicate()
        now_finished = set(Results(Lab(lab)).latest_attempts())
        assert finished <= now_finished
        finished = now_finished
    done = finish(start(tmp_path, "--checkpoint-every", "0"))
    assert done["cached"] == len(finished)
    assert done["run"] == N_TRIALS - len(finished)
    assert_same(tmp_path, undisturbed)
    resumed = Results(Lab(lab)).read("trials")["resumed_at"].to_pylist()
    assert any(step for step in resumed), "no pack went on from its checkpoint"


def test_a_killed_worker_costs_no_trial(tmp_path: Path, undisturbed) -> None:
    sweep = start(tmp_path, "--checkpoint-every", "0")
    wait_until(lambda: list(tmp_path.glob("lab/packs/[!.]*/[!.]*.safetensors")), sweep)
    workers = [pid for pid, name in below(sweep.pid) if name.startswith("ray::Implicit")]
    os.kill(workers[0], signal.SIGKILL)
    assert finish(sweep)["run"] == N_TRIALS
    assert_same(tmp_path, undisturbed)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_sweep_that_is_asked_to_stop_lets_go_of_its_packs(tmp_path: Path, undisturbed, kind: signal.Signals) -> None:
    sweep = start(tmp_path, "--checkpoint-every", "0")
    wait_until(lambda: list(tmp_path.glob("lab/packs/[!.]*/[!.]*.safetensors")), sweep)
    children = [pid for pid, _ in below(sweep.pid)]
    sweep.send_signal(kind)
    sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert not list(tmp_path.glob("lab/packs/*/lease.json"))
    deadline = time.monotonic() + 20
    while (alive := [pid for pid in children if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive
    finish(start(tmp_path))
    assert_same(tmp_path, undisturbed)


def test_two_sweeps_at_once_share_the_work(tmp_path: Path, undisturbed) -> None:
    first = start(tmp_path)
    wait_until(lambda: list(tmp_path.glob("lab/packs/[!.]*/lease.json")), first)
    second = start(tmp_path)
    done = [finish(first), finish(second)]
    assert sum(one["run"] for one in done) == N_TRIALS
    assert_same(tmp_path, undisturbed)
