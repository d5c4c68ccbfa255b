"""What befalls a cluster that `ray up` started, on hosts that are network namespaces of this machine.

The commands are those of cluster/README.md, given on a host of their own. `pytest -m cluster -s` tells how long each
recovery took. Needs root; deselected where hosts cannot be had.
"""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import buckets
import hosts
import outages
import pytest
from clusters import CLOCK, LEAVE, RAY, STORE_BYTES, TOKEN, Cluster, kill
from sweeps import (
    ALWAYS,
    N_TRIALS,
    PACK,
    PLANE,
    Sweep,
    assert_same,
    finish,
    progress,
    progressed,
    start,
    wait_for_progress,
    wait_until,
)

from bridgelab.lab import Lab
from bridgelab.results import Results, now

pytestmark = [pytest.mark.cluster, pytest.mark.ray, pytest.mark.slow]

DIGITS = ("label_efficiency", "--preset", "smoke", "--seeds", "1")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def made(shared: Path) -> Iterator[Cluster]:
    """The cluster of one head and two workers."""
    with hosts.hosts(shared, ["desk", "head", "w1", "w2"]) as (desk, head, *workers):
        desk.run(f"ln -sfn {sys.prefix} ~/venv; (umask 077; {RAY} get-auth-token --generate > /dev/null)")
        cluster = Cluster(shared, desk, head, workers)
        cluster.up(1)
        cluster.up(2)
        yield cluster
    assert hosts.BRIDGE not in hosts.command("ip", "-oneline", "link")
    assert not hosts.command("ip", "netns")


@pytest.fixture
def cluster(made: Cluster) -> Iterator[Cluster]:
    """That cluster, which nothing of a sweep is left on afterwards; a test that fails does not harm the next."""
    yield made
    kill(*(left := made.drivers()))
    made.close_sweeps()
    for worker in made.workers:
        worker.reconnect()
    assert not left
    assert made.head.run("ls -d /tmp/bridgelab-* 2>/dev/null || true") == ""


SEED, N_FAULTS = int(os.environ.get("CHAOS_SEED", "0")), int(os.environ.get("CHAOS_KILLS", "3"))
FAULTS = {"worker": 5, "raylet": 3, "network": 3, "driver": 3, "head": 1}
"""What befalls the cluster at random, and how often beside the others."""
BALLAST = "/tmp/ballast"
FILL = f"until df --output=avail /tmp | grep -qx ' *0'; do cat /dev/zero >> {BALLAST} || true; done"
"""Takes what room there is, again where something gave a little back: others write and remove beside it."""


def taken_over(folder: Path) -> list[str]:
    """Packs that went on under another holder than began them."""
    found = []
    for path in folder.glob("lab/packs/[!.]*/lease.json"):
        try:
            found += [path.parent.name] if json.loads(path.read_text())["adopted"] else []
        except OSError:
            continue  # its pack ended while we looked
    return found


def went_on_at(folder: Path) -> int:
    """The step of the checkpoint that the pack went on from."""
    (step,) = set(Results(Lab(folder / "lab")).read("trials")["resumed_at"].to_pylist())
    assert step is not None
    print(f"it went on from step {step}")
    return int(step)


@contextmanager
def timed(fault: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"\n{fault}: {time.monotonic() - began:.0f} s", flush=True)


def test_a_killed_worker_costs_no_trial(cluster: Cluster, undisturbed: Path) -> None:
    folder = cluster.folder / "worker"
    sweep = cluster.sweep(folder, *ALWAYS)
    wait_for_progress(folder, sweep)
    kill(cluster.trainer()[1])
    with timed("a worker is killed"):
        wait_until(lambda: taken_over(folder), sweep)
    assert finish(sweep)["run"] == N_TRIALS
    assert went_on_at(folder) > 0
    assert_same(folder, undisturbed)


def test_a_killed_raylet_costs_no_trial_and_its_host_comes_back(cluster: Cluster, undisturbed: Path) -> None:
    folder = cluster.folder / "raylet"
    sweep = cluster.sweep(folder, *ALWAYS)
    wait_for_progress(folder, sweep)
    kill(*cluster.trainer()[0].named("raylet"))
    with timed("a raylet is killed"):
        wait_until(lambda: taken_over(folder), sweep)
    assert finish(sweep)["run"] == N_TRIALS
    assert_same(folder, undisturbed)
    cluster.wait_for(2)


def test_a_killed_driver_costs_no_trial(cluster: Cluster, undisturbed: Path) -> None:
    folder = cluster.folder / "driver"
    sweep = cluster.sweep(folder, *ALWAYS)
    wait_for_progress(folder, sweep)
    kill(*cluster.drivers())
    sweep.communicate(timeout=60)
    again = cluster.sweep(folder, *ALWAYS)
    with timed("the driver is killed"):
        wait_until(lambda: taken_over(folder), again)  # its worker may have lived on for a checkpoint
    finish(again)
    assert_same(folder, undisturbed)


def test_two_drivers_share_the_work(cluster: Cluster, undisturbed: Path) -> None:
    folder = cluster.folder / "two"
    sweeps = [cluster.sweep(folder, "--pack", str(PACK)) for _ in range(2)]
    assert sum(finish(sweep)["run"] for sweep in sweeps) == N_TRIALS
    assert_same(folder, undisturbed)


def test_a_host_that_is_cut_off_comes_back_and_publishes_nothing(cluster: Cluster, undisturbed: Path) -> None:
    """The worst of zombies: it sleeps while the others do its work, and wakes when its pack is long done."""
    folder = cluster.folder / "cut"
    sweep = cluster.sweep(folder, *ALWAYS)
    wait_for_progress(folder, sweep)
    host, zombie = cluster.trainer()
    host.cut_off()
    os.kill(zombie, signal.SIGSTOP)
    with timed("a host is cut off"):
        wait_until(lambda: taken_over(folder), sweep)
    assert finish(sweep)["run"] == N_TRIALS
    assert_same(folder, undisturbed)
    bytes_of = {path: path.stat().st_mtime_ns for path in folder.glob("lab/**/*")}
    os.kill(zombie, signal.SIGCONT)
    time.sleep(5)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("lab/**/*")} == bytes_of
    host.reconnect()
    cluster.wait_for(2)
    assert zombie not in host.processes()


def test_a_worker_without_room_on_its_own_disk_trains_on(cluster: Cluster, undisturbed: Path) -> None:
    folder = cluster.folder / "full"
    sweep = cluster.sweep(folder, *ALWAYS)
    wait_for_progress(folder, sweep)
    host, trainer = cluster.trainer()
    os.kill(trainer, signal.SIGSTOP)  # it might be done before the disk is full
    try:
        host.run(FILL)
        before = progress(folder)
        os.kill(trainer, signal.SIGCONT)
        with timed("a worker's disk is full"):
            wait_until(lambda: progress(folder) - before, sweep)
        done = finish(sweep)
    finally:
        host.run(f"rm --force {BALLAST}")
    assert (done["run"], done["failed"]) == (N_TRIALS, {})
    assert_same(folder, undisturbed)


def files_of_packs(lab: Lab) -> list[str]:
    time.sleep(0.2)
    return [name for pack in lab.names("packs") for name in lab.names(f"packs/{pack}")]


OCCUPY = """
import sys, time, numpy, ray
ray.init(address="auto", log_to_driver=False)
held = [ray.get(ray.put(numpy.ones(10 << 20, numpy.uint8))) for _ in range(int(sys.argv[1]) // (10 << 20) + 1)]
print("full", flush=True)
time.sleep(600)
"""
"""Fills the object store of its node with objects that are in use: none of them can be moved to the disk."""


def test_a_full_object_store_costs_no_trial(cluster: Cluster, undisturbed: Path) -> None:
    folder = cluster.folder / "store"
    program = f"{TOKEN}; ~/venv/bin/python -c {shlex.quote(OCCUPY)} {STORE_BYTES}"
    with subprocess.Popen(cluster.head.ssh(program), stdout=subprocess.PIPE, text=True) as occupant:
        assert occupant.stdout is not None
        assert "full" in iter(occupant.stdout.readline, "").__next__()
        done = finish(cluster.sweep(folder, *ALWAYS))
        kill(*cluster.head.saying("held ="))
    assert (done["run"], done["failed"]) == (N_TRIALS, {})
    assert_same(folder, undisturbed)


WRONG = """
import time
true = time.time
time.time = lambda: true() + {hours} * 3600
"""
"""A clock that is wrong for every Python of a host: Linux has no namespace for the time of day."""


def test_clocks_that_are_hours_apart_cost_no_trial(cluster: Cluster, undisturbed: Path) -> None:
    """An hour before the head's, and two behind: leases are read by counters, never by clocks."""
    for worker, hours in zip(cluster.workers, (1, -2), strict=True):
        worker.run(f"mkdir {CLOCK}; echo {shlex.quote(WRONG.format(hours=hours))} > {CLOCK}/sitecustomize.py")
        cluster.start_anew(worker)
    folder = cluster.folder / "clocks"
    sweep = cluster.sweep(folder, *ALWAYS)
    wait_for_progress(folder, sweep)
    kill(cluster.trainer()[1])
    with timed("a worker is killed, and clocks are apart"):
        wait_until(lambda: taken_over(folder), sweep)
    assert finish(sweep)["run"] == N_TRIALS
    ended = Results(Lab(folder / "lab")).read("trials")["finished_at"].to_pylist()
    for worker in cluster.workers:
        worker.run(f"rm -r {CLOCK}")
        cluster.start_anew(worker)
    assert all(abs((at - now()).total_seconds()) > 1800 for at in ended), "clocks were not apart"
    assert_same(folder, undisturbed)


def test_a_bucket_that_does_not_answer_for_a_minute_costs_no_trial(
    cluster: Cluster, swift: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Path
) -> None:
    folder = cluster.folder / "bucket"
    with buckets.served(swift, tmp_path) as port, outages.proxy(port, hosts.GATEWAY) as between:
        for name, value in buckets.KEYS.items():
            monkeypatch.setenv(name, value)
        lab = Lab(f"s3://{buckets.BUCKET}/lab?scheme=http&endpoint_override={between.host}:{between.port}")
        sweep = cluster.sweep(folder, *ALWAYS, "--lab", lab.address)
        wait_until(lambda: any(".checkpoint" in name for name in files_of_packs(lab)), sweep)
        for mode in ("refuses", "hangs"):
            between.set(mode)
            time.sleep(30)
        between.set("passes")
        assert finish(sweep)["run"] == N_TRIALS
        assert between.n_refused > 2
        assert_same(lab, undisturbed)


def test_a_cluster_that_is_made_anew_goes_on(cluster: Cluster, undisturbed: Path) -> None:
    folder = cluster.folder / "head"
    sweep = cluster.sweep(folder, *ALWAYS)
    wait_for_progress(folder, sweep)
    kill(*cluster.head.processes())
    sweep.communicate(timeout=60)
    with timed("the head is killed"):
        cluster.head.run("rm -rf /tmp/bridgelab-* /tmp/ray")  # a new machine
        cluster.up(2)
        again = cluster.sweep(folder, *ALWAYS)
        wait_for_progress(folder, again)
    finish(again)
    assert_same(folder, undisturbed)


def test_a_cluster_shrinks_and_trains_the_digits_and_goes_without_a_trace(cluster: Cluster, tmp_path: Path) -> None:
    alone = start(tmp_path, study=DIGITS)
    cluster.workers[1].run(LEAVE)
    cluster.workers[1].cut_off()  # for Ray starts anew on a host that is silent and still in the list
    cluster.up(1, "--no-restart")
    cluster.workers[1].reconnect()
    assert not cluster.workers[1].named("raylet")
    done = finish(cluster.sweep(cluster.folder / "digits", study=DIGITS))
    assert (done["run"], done["failed"]) == (6, {})
    assert finish(alone)["run"] == 6
    assert_same(cluster.folder / "digits", tmp_path)
    cluster.down()
    for host in (cluster.head, *cluster.workers):
        assert not host.saying("/ray/"), host.processes()
        assert host.run("ls -d /tmp/*ray* /tmp/bridgelab-* /dev/shm/* 2>/dev/null | grep -v ray_ssh || true") == ""


def disturb(cluster: Cluster, sweep: Sweep, kind: str, chance: random.Random, deaths: Counter[str]) -> str:
    """One fault of a kind; returns its kind. A pack is spared after two deaths: a fourth would be its last."""
    chosen = [(host, pid, pack) for host, pid, pack in cluster.trainers() if deaths[pack] < 2]
    if kind in ("worker", "raylet", "network"):
        if not chosen:
            return disturb(cluster, sweep, "driver", chance, deaths)
        host, pid, _ = chance.choice(chosen)
        deaths.update(pack for where, _, pack in cluster.trainers() if where == host)
    if kind == "worker":
        kill(pid)
    elif kind == "raylet":
        kill(*host.named("raylet"))
    elif kind == "network":
        host.cut_off()
        time.sleep(chance.uniform(2, 30))
        host.reconnect()
    elif kind == "driver":
        kill(*cluster.drivers())
        sweep.communicate(timeout=60)
    else:
        kill(*cluster.head.processes())
        sweep.communicate(timeout=60)
        cluster.head.run("rm -rf /tmp/bridgelab-* /tmp/ray")
        cluster.up(2)
    return kind


@pytest.mark.timeout(7200)
def test_a_sweep_among_random_faults_of_hosts_is_the_undisturbed_one(cluster: Cluster, tmp_path: Path) -> None:
    """CHAOS_SEED chooses the faults, CHAOS_KILLS how many there are."""
    chance, met, folder = random.Random(SEED), Counter[str](), cluster.folder / "chaos"
    study = (*PLANE[:3], "--preset", "desk", "--seeds", str(4 + N_FAULTS))
    n_trials = finish(start(tmp_path, study=study), timeout_s=1800)["run"]
    cluster.up(2)

    def begin() -> Sweep:
        return cluster.sweep(folder, *ALWAYS, "--pack", str(PACK), study=study)

    sweep, deaths, began = begin(), Counter[str](), time.monotonic()
    while met.total() < N_FAULTS and progressed(folder, sweep, chance.uniform(0.3, 4.0)):
        kind = chance.choices(list(FAULTS), list(FAULTS.values()))[0]
        met[kind := disturb(cluster, sweep, kind, chance, deaths)] += 1
        print(f"{time.monotonic() - began:.0f} s: {kind}", flush=True)
        if sweep.poll() is not None:
            sweep, deaths = begin(), Counter[str]()
    done = finish(sweep, timeout_s=1800)
    print(f"seed {SEED}: {dict(met)}, {n_trials} trials, {time.monotonic() - began:.0f} s")
    assert done["failed"] == {}
    assert_same(folder, tmp_path)
    assert met.total() == N_FAULTS, "the sweep came to its end before all of them"
    cluster.wait_for(2)
