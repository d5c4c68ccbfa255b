"""A cluster that `ray up` really starts, on hosts that are network namespaces of this machine, and what befalls it.

The commands are those of cluster/README.md, given on a host of their own. `pytest -m cluster -s` tells how long each
recovery took. Needs root; deselected where hosts cannot be had.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hosts
import pytest
import yaml
from hosts import ROOT, Host
from sweeps import (
    ALWAYS,
    N_TRIALS,
    PACK,
    PLANE,
    Sweep,
    assert_same,
    finish,
    start,
    wait_for_progress,
    wait_until,
)

pytestmark = [pytest.mark.cluster, pytest.mark.ray, pytest.mark.slow]

DIGITS = ("label_efficiency", "--preset", "smoke", "--seeds", "1")
RAY = "export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0; ~/venv/bin/ray"
LEAVE = "~/venv/bin/ray stop --force; rm -rf /tmp/ray"
"""What the README says of a host that leaves: Ray's autoscaler only forgets it."""
SETTINGS = {
    "RAY_health_check_period_ms": 1000,
    "RAY_health_check_timeout_ms": 5000,
    "RAY_health_check_failure_threshold": 3,
    "AUTOSCALER_UPDATE_INTERVAL_S": 1,
    "AUTOSCALER_HEARTBEAT_TIMEOUT_S": 10,
    "AUTOSCALER_NODE_SSH_INTERVAL_S": 1,
    "RAY_worker_niceness": 0,
    "RAY_gcs_rpc_server_reconnect_timeout_s": 600,
}
"""Ray takes a silent host for dead after 18 s, not 65, and starts anew there after 10, not 30. Other work beside these
tests starves no worker, and those of a host that was cut off live until it is back, however long a test takes."""


@dataclass
class Cluster:
    """A head and workers, and the desk that `ray up` is called at."""

    folder: Path
    "what all hosts share"
    desk: Host
    head: Host
    workers: Sequence[Host]

    @property
    def file(self) -> Path:
        return self.folder / "onprem.yaml"

    def write(self, n_workers: int) -> None:
        """The cluster's file: ours, but for the hosts, SETTINGS, one core a worker, and Python, which is there."""
        config = yaml.safe_load((ROOT / "cluster/onprem.yaml").read_text())
        addresses = [worker.address for worker in self.workers[:n_workers]]
        config["provider"] |= {"head_ip": self.head.address, "worker_ips": addresses}
        config["auth"] = {"ssh_user": "root", "ssh_private_key": str(self.folder / "key")}
        link = f"ln -sfn {sys.prefix} ~/venv"
        config["setup_commands"] = [config["setup_commands"][0], link]
        settings = " ".join(f"{name}={value}" for name, value in SETTINGS.items())
        for key, n_cpus in (("head_start_ray_commands", 0), ("worker_start_ray_commands", 1)):
            lines = [re.sub("ray start", f"ray start --num-cpus={n_cpus}", line) for line in config[key]]
            config[key] = [f"export {settings}; {line}" for line in lines]
        self.file.write_text(yaml.safe_dump(config))

    def up(self, n_workers: int, *words: str) -> None:
        """`ray up`, and the hosts that it promises."""
        self.write(n_workers)
        line = shlex.join(["up", "--yes", "--no-config-cache", "--disable-usage-stats", *words, str(self.file)])
        self.desk.run(f"cd {ROOT} && {RAY} {line}", timeout_s=180)
        self.wait_for(n_workers)

    def wait_for(self, n_workers: int) -> None:
        """Until the head and so many workers are nodes that live: Ray still counts one that died a moment ago."""
        those, deadline = (self.head, *self.workers[:n_workers]), time.monotonic() + 240
        while not all(host.named("raylet") for host in those) or self.n_nodes() != len(those):
            assert time.monotonic() < deadline, self.head.run("tail -n 40 /tmp/ray/session_latest/logs/monitor.*")
            time.sleep(1)

    def n_nodes(self) -> int:
        """How many nodes Ray counts."""
        told = self.head.run(f"{RAY} status")
        active = told.partition("Active:")[2].partition("Pending:")[0]
        return sum(int(n) for n in re.findall(r"^ (\d+) ", active, re.MULTILINE))

    def down(self) -> None:
        """`ray down`, and what the README says beside it."""
        self.desk.run(f"{RAY} down --yes {self.file}")
        for host in (self.head, *self.workers):
            host.run(LEAVE)

    def sweep(self, folder: Path, *words: str, study: tuple[str, ...] = PLANE) -> Sweep:
        """A sweep that is given on the head, into the folder's `lab`; all of its trials are one pack."""
        command = ["sweep", *study, "--pack", str(N_TRIALS), "--json", "--address", "auto", *words]
        program = f"~/venv/bin/python -c 'from bridgelab.cli import main; main()' {shlex.join(command)}"
        folder.mkdir(exist_ok=True)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(self.head.ssh(f"cd {folder} && {program}"), **pipes)

    def drivers(self) -> list[int]:
        return [p for p in self.head.saying("bridgelab.cli") if self.head.processes()[p][0].endswith("python")]

    def trainer(self) -> tuple[Host, int]:
        """The worker that trains, and where: nothing else that the sweep needs is on a host that may die."""
        assert self.head.named("ray::_Shelf")
        return next((host, pid) for host in self.workers for pid in host.named("ray::Implicit"))


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
    for worker in made.workers:
        worker.reconnect()
    assert not left
    assert made.head.run("ls -d /tmp/bridgelab-* 2>/dev/null || true") == ""


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def taken_over(folder: Path) -> list[str]:
    """Packs that went on under another holder than began them."""
    found = []
    for path in folder.glob("lab/packs/[!.]*/lease.json"):
        try:
            found += [path.parent.name] if json.loads(path.read_text())["adopted"] else []
        except OSError:
            continue  # its pack ended while we looked
    return found


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
    cluster.up(1, "--no-restart")
    cluster.workers[1].run(LEAVE)
    assert not cluster.workers[1].named("raylet")
    done = finish(cluster.sweep(cluster.folder / "digits", study=DIGITS))
    assert (done["run"], done["failed"]) == (6, {})
    assert finish(alone)["run"] == 6
    assert_same(cluster.folder / "digits", tmp_path)
    cluster.down()
    for host in (cluster.head, *cluster.workers):
        assert not host.saying("/ray/"), host.processes()
        assert host.run("ls -d /tmp/*ray* /tmp/bridgelab-* /dev/shm/* 2>/dev/null | grep -v ray_ssh || true") == ""
