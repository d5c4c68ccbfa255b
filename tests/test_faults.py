"""Disks that are full, labs that turn read-only, and third parties beside a sweep."""

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweeps import (
    ALWAYS,
    N_TRIALS,
    STUDY,
    Sweep,
    assert_same,
    bridgelab,
    finish,
    named,
    one_line,
    parts,
    start,
    wait_for_progress,
)

from analysis import read_run
from bridgelab.housekeeping import collect, compact, garbage
from bridgelab.lab import Lab
from bridgelab.results import SCHEMAS, Results

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A disk of its own at a folder; False where nobody may mount one."""
    folder.mkdir()
    mounted = not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True
    ).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


def fill(lab: Path, sweep: Sweep, *, mounted: bool) -> None:
    """Leaves no room on the disk; without a disk of its own, no file of its workers may grow any more."""
    if not mounted:
        for pid in named(sweep, "ray::Implicit"):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        return
    room = os.statvfs(lab)
    with (lab / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, room.f_bavail * room.f_frsize)


def test_a_sweep_on_a_disk_that_is_full_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path, undisturbed: Path
) -> None:
    lab = tmp_path / "lab"
    with small_disk(lab) as mounted:
        sweep = start(tmp_path, *ALWAYS)
        wait_for_progress(tmp_path, sweep)
        fill(lab, sweep, mounted=mounted)
        said = one_line(sweep)
        assert "lab/" in said
        assert ("No space left on device" if mounted else "File too large") in said
        (lab / "ballast").unlink(missing_ok=True)
        assert parts(tmp_path, "trials") < N_TRIALS
        assert not list(lab.glob("results/*/.*"))
        finish(start(tmp_path))
        assert_same(tmp_path, undisturbed)


CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24


def like_anybody() -> None:
    """Permissions count even for root."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def test_a_sweep_whose_lab_turns_read_only_says_so_and_goes_on_when_it_is_not(
    tmp_path: Path, undisturbed: Path
) -> None:
    sweep = start(tmp_path, *ALWAYS, preexec_fn=like_anybody)
    wait_for_progress(tmp_path, sweep)
    folders = [path for path in (tmp_path / "lab").rglob("*") if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    said = one_line(sweep)
    assert "lab/" in said
    assert "Permission denied" in said
    for again in (tmp_path / "lab").rglob("*"):
        again.chmod(0o755)
    finish(start(tmp_path))
    assert_same(tmp_path, undisturbed)


def test_readers_and_housekeeping_beside_a_sweep_see_no_row_go(tmp_path: Path, undisturbed: Path) -> None:
    lab, told, ended = Lab(tmp_path / "lab"), [], threading.Event()
    sweep = start(tmp_path, *ALWAYS)

    def ask() -> None:
        while not ended.is_set():
            told.append(bridgelab(tmp_path, "status", "--json"))
            told[-1].wait()

    asking, seen, n_looks = threading.Thread(target=ask), dict.fromkeys(SCHEMAS, 0), 0
    wait_for_progress(tmp_path, sweep)
    asking.start()
    while sweep.poll() is None:
        for table, n_before in seen.items():
            seen[table] = Results(lab).read(table).num_rows
            assert seen[table] >= n_before, table
        assert len(read_run(lab, STUDY).members) == N_TRIALS
        if n_looks % 2:
            compact(lab)
        collect(lab, garbage(lab, grace_s=0))
        n_looks += 1
    ended.set()
    asking.join()
    assert finish(sweep)["run"] == N_TRIALS
    assert n_looks > 10
    complete = [json.loads(one.communicate()[0])["counts"]["COMPLETE"] for one in told]
    assert complete == sorted(complete)
    assert_same(tmp_path, undisturbed)
