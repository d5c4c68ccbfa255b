"""A cluster that `ray up` really starts, by cluster/README.md, on hosts that are network namespaces of this machine."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import buckets
import yaml
from hosts import ROOT, Host
from sweeps import N_TRIALS, PLANE, Sweep

EXPORTED_KEYS = "export " + shlex.join(f"{name}={value}" for name, value in buckets.KEYS.items())
TOKEN = "export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0"
RAY = f"{TOKEN}; ~/venv/bin/ray"
LEAVE = "~/venv/bin/ray stop --force; rm -rf /tmp/ray"
"""What the README says of a host that leaves: Ray's autoscaler only forgets it."""
CLOCK = "~/clock"
"""A folder of a worker whose sitecustomize.py every Python there runs: its clock may go wrong."""
STORE_BYTES = 100_000_000
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
    sweeps: list[Sweep] = field(default_factory=list)
    "that were given on it"

    @property
    def file(self) -> Path:
        return self.folder / "onprem.yaml"

    def write(self, n_workers: int) -> None:
        """The cluster's file: ours, but for the hosts, SETTINGS, a core and a small store each, and Python as it is."""
        config = yaml.safe_load((ROOT / "cluster/onprem.yaml").read_text())
        addresses = [worker.address for worker in self.workers[:n_workers]]
        config["provider"] |= {"head_ip": self.head.address, "worker_ips": addresses}
        config["auth"] = {"ssh_user": "root", "ssh_private_key": str(self.folder / "key")}
        link = f"ln -sfn {sys.prefix} ~/venv"
        config["setup_commands"] = [config["setup_commands"][0], link]
        settings = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in (SETTINGS | buckets.KEYS).items())
        for key, n_cpus in (("head_start_ray_commands", 0), ("worker_start_ray_commands", 1)):
            start = f"ray start --num-cpus={n_cpus} --object-store-memory={STORE_BYTES}"
            lines = [re.sub("ray start", start, line) for line in config[key]]
            config[key] = [f"export {settings}; export PYTHONPATH={CLOCK}:$PYTHONPATH; {line}" for line in lines]
        self.file.write_text(yaml.safe_dump(config))

    def up(self, n_workers: int, *words: str) -> None:
        """`ray up`, and the hosts that it promises."""
        self.write(n_workers)
        line = shlex.join(["up", "--yes", "--no-config-cache", "--disable-usage-stats", *words, str(self.file)])
        self.desk.run(f"cd {ROOT} && {RAY} {line}", timeout_s=180)
        self.wait_for(n_workers)

    def start_anew(self, worker: Host) -> None:
        """Ray on a worker, by the autoscaler, after its end."""
        kill(*worker.named("raylet"))
        self.wait_for(len(self.workers))

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
        self.sweeps += [subprocess.Popen(self.head.ssh(f"{EXPORTED_KEYS}; cd {folder} && {program}"), **pipes)]
        return self.sweeps[-1]

    def close_sweeps(self) -> None:
        """Ends what a test that failed has left open."""
        while self.sweeps:
            with self.sweeps.pop() as sweep:
                sweep.kill()

    def drivers(self) -> list[int]:
        return [p for p in self.head.saying("bridgelab.cli") if self.head.processes()[p][0].endswith("python")]

    def trainer(self) -> tuple[Host, int]:
        """The worker that trains, and where."""
        return next((host, pid) for host, pid, _ in self.trainers())

    def trainers(self) -> list[tuple[Host, int, str]]:
        """All workers that train, where, and what."""
        found = []
        for host in self.workers:
            for pid in host.named("ray::Implicit"):
                with contextlib.suppress(OSError):  # it ended while we looked
                    found.append((host, pid, os.readlink(f"/proc/{pid}/cwd")))
        return found


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
