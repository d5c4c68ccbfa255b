"""Real sweeps, killed: the same command again loses nothing, doubles nothing, and comes to the same bits."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sweeps import (
    ALWAYS,
    COMPARED,
    N_PACKS,
    N_TRIALS,
    PACK,
    SELECTION,
    STUDY,
    assert_same,
    below,
    bridgelab,
    checkpoints,
    finish,
    kill,
    named,
    one_line,
    parts,
    start,
    wait_for_progress,
    wait_until,
)

from bridgelab.lab import Lab
from bridgelab.lease import NOBODY, Lease
from bridgelab.planning import PackPlan, plan
from bridgelab.publication import ORDER, manifest, publish_rows
from bridgelab.results import Results

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_a_driver_killed_at_moment_after_moment_loses_and_doubles_nothing(tmp_path: Path, undisturbed: Path) -> None:
    lab = tmp_path / "lab"
    moments: dict[str, Callable[[], object]] = {
        "before the first checkpoint": lambda: list(lab.glob("packs/[!.]*/lease.json")),
        "after a checkpoint": lambda: checkpoints(tmp_path),
        "after a commit": lambda: parts(tmp_path, "trials") > 0,
    }
    finished: set[str] = set()
    for seen in moments.values():
        sweep = start(tmp_path, *ALWAYS)
        wait_until(seen, sweep)
        kill(sweep)
        now_finished = set(Results(Lab(lab)).latest_attempts())
        assert finished <= now_finished
        finished = now_finished
    done = finish(start(tmp_path, *ALWAYS))
    assert done["cached"] == len(finished)
    assert done["run"] == N_TRIALS - len(finished)
    assert_same(tmp_path, undisturbed)
    resumed = Results(Lab(lab)).read("trials")["resumed_at"].to_pylist()
    assert any(step for step in resumed), "no pack went on from its checkpoint"


def test_a_killed_worker_costs_no_trial(tmp_path: Path, undisturbed: Path) -> None:
    sweep = start(tmp_path, *ALWAYS)
    wait_for_progress(tmp_path, sweep)
    os.kill(named(sweep, "ray::Implicit")[0], signal.SIGKILL)
    assert finish(sweep)["run"] == N_TRIALS
    assert_same(tmp_path, undisturbed)


def test_a_sweep_under_which_ray_dies_says_so_in_one_line_and_goes_on(tmp_path: Path, undisturbed: Path) -> None:
    for process in ("raylet", "gcs_server"):
        sweep = start(tmp_path, *ALWAYS)
        wait_for_progress(tmp_path, sweep)
        os.kill(named(sweep, process)[0], signal.SIGKILL)
        assert "the same command goes on" in one_line(sweep)
        assert set(Results(Lab(tmp_path / "lab")).read("trials")["state"].to_pylist()) <= {"COMPLETE"}
    finish(start(tmp_path))
    assert_same(tmp_path, undisturbed)


def test_a_sweep_that_is_asked_to_stop_lets_go_of_its_packs(tmp_path: Path, undisturbed: Path) -> None:
    for kind in (signal.SIGINT, signal.SIGTERM):
        sweep = start(tmp_path, *ALWAYS)
        wait_for_progress(tmp_path, sweep)
        children = [pid for pid, _ in below(sweep.pid)]
        sweep.send_signal(kind)
        _, err = sweep.communicate(timeout=60)
        assert sweep.returncode == 130
        assert "bridgelab: interrupted; what is finished is kept" in err
        leases = [json.loads(path.read_text()) for path in tmp_path.glob("lab/packs/*/lease.json")]
        assert {lease["owner"] for lease in leases} == {NOBODY}
        deadline = time.monotonic() + 20
        while (alive := [pid for pid in children if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not alive
    finish(start(tmp_path))
    assert_same(tmp_path, undisturbed)


def test_two_sweeps_at_once_share_the_work(tmp_path: Path, undisturbed: Path) -> None:
    first = start(tmp_path)
    wait_until(lambda: list(tmp_path.glob("lab/packs/[!.]*/lease.json")), first)
    second = start(tmp_path)
    done = [finish(first), finish(second)]
    assert sum(one["run"] for one in done) == N_TRIALS
    assert_same(tmp_path, undisturbed)


ONE_TRIAL = """
from bridgelab import Study
def study():
    return Study(name="mine", question="?", pair="digits-digits", grid={"n_labels": ["all"]})
"""


def test_a_sweep_killed_while_base_models_train_keeps_those_that_are_done(tmp_path: Path) -> None:
    whole, lab = tmp_path / "whole", tmp_path / "lab"
    whole.mkdir()
    (tmp_path / "mine.py").write_text(ONE_TRIAL)
    study = (str(tmp_path / "mine.py"), "--preset", "smoke", "--seeds", "1")
    assert finish(start(whole, study=study))["run"] == 1
    sweep = start(tmp_path, study=study)
    wait_until(lambda: list(lab.glob("models/[!.]*")), sweep)
    kill(sweep)
    done = {model: model.stat().st_mtime_ns for model in lab.glob("models/[!.]*")}
    assert 0 < len(done) < len(list((whole / "lab").glob("models/*")))
    finish(start(tmp_path, study=study))
    assert {model: model.stat().st_mtime_ns for model in done} == done
    compared = [path for path in (whole / "lab").glob("models/*/*") if path.name != "timing.json"]
    assert len(compared) == 3 * len(list((whole / "lab").glob("models/*")))
    for model in compared:
        assert (lab / model.relative_to(whole / "lab")).read_bytes() == model.read_bytes()
    assert_same(tmp_path, whole)


class KilledError(BaseException):
    """Nobody catches it: what stands in the lab is what a kill leaves."""


class Mortal(Lab):
    """A lab whose writer is killed after some steps: between two steps there is no other moment."""

    n_steps = 0

    def _step(self) -> None:
        if self.n_steps == 0:
            raise KilledError
        self.n_steps -= 1

    def publish(self, path: str, data: bytes) -> None:
        self._step()
        super().publish(path, data)

    def remove(self, path: str) -> None:
        self._step()
        super().remove(path)


def rows_of(pack: PackPlan, folder: Path) -> dict[str, pa.Table]:
    ids = [entry.spec.trial_id for entry in pack.entries]
    tables = {table: Results(Lab(folder / "lab")).read(table) for table in ORDER}
    return {
        table: found.filter(pc.is_in(found["trial_id"].cast("string"), pa.array(ids)))
        for table, found in tables.items()
    }


def test_a_sweep_goes_on_from_between_any_two_steps_of_a_commit(tmp_path: Path, undisturbed: Path) -> None:
    lab = Mortal(tmp_path / "lab")
    packs = plan(STUDY, lab=lab, selection=SELECTION, pack=PACK).packs
    assert len(packs) == N_PACKS == len(ORDER) + 1
    for n_steps, pack in enumerate(packs):
        lab.n_steps = 1_000_000
        Lease.take(lab, pack.pack_id, manifest(STUDY, pack), "a sweep that was killed")
        lab.n_steps = n_steps
        with pytest.raises(KilledError):
            publish_rows(lab, pack, rows_of(pack, undisturbed))
        assert [parts(tmp_path, table) for table in ORDER] == [max(0, n_steps - i) for i in range(len(ORDER))]
    assert len(list((tmp_path / "lab/packs").glob("[!.]*"))) == N_PACKS
    done = finish(start(tmp_path))
    assert (done["cached"], done["run"]) == (PACK, N_TRIALS - PACK)
    assert_same(tmp_path, undisturbed)


def test_a_merge_killed_while_parts_go_shows_every_row_once(tmp_path: Path, undisturbed: Path) -> None:
    shutil.copytree(undisturbed / "lab", tmp_path / "lab")
    lab, folder = Lab(tmp_path / "lab"), tmp_path / "lab/results/curves"
    curves, whole = Results(lab).read("curves"), list(folder.iterdir())
    for n in range(400):
        Results(lab).write("curves", f"{n:03}", curves.slice(n, 1 if n < 399 else None))
    for part in whole:
        part.unlink()
    merge = bridgelab(tmp_path, "compact", "--yes", "--json")
    while not any(name.startswith("part-merged") for name in os.listdir(folder)):
        assert merge.poll() is None
    kill(merge)
    left = [path.name for path in folder.glob("part-*")]
    assert 1 < len(left) < 400
    assert_same(tmp_path, undisturbed)
    assert finish(bridgelab(tmp_path, "compact", "--yes", "--json"))["parts"]["curves"] == len(left)
    assert_same(tmp_path, undisturbed)
    assert {table: parts(tmp_path, table) for table in COMPARED} == dict.fromkeys(COMPARED, 1)
