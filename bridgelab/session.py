"""A connection to a Ray cluster: a local one of its own, or one that is there. And the device to train on."""

from __future__ import annotations

import _thread
import contextlib
import functools
import importlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import hidden
from .environment import environment
from .errors import ClusterError, LabError, UnknownNameError
from .lab import Lab
from .planning import available_cpus

CONNECT_TIMEOUT_S = 2.0
GUARD_EVERY_S = 0.2
HEAD_EVERY_S = 2.0
DEAF_S = 15.0
"""How long the sweep may not hear of Ray's death, as within one of Ray's own calls, which may wait for minutes."""
INTERRUPT = signal.SIGUSR2
"""What the guard interrupts the sweep by. SIGINT may be ignored, as in a job that a shell put into the background."""
DEVICES = ("auto", "cpu", "cuda")
GPU_FILES = tuple(map(Path, ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")))
"""One of them is there where Linux has a driver for what torch calls CUDA."""
WORKERS_IMPORT = ("ray.tune", "bridgelab.panels", "bridgelab.trainable", "bridgelab.trial")
"""What workers of a local cluster import as soon as they start, while the driver has other things to do."""
AT_ONCE = {"RAY_raylet_start_wait_time_s": "0"}
"""For the driver alone: not to wait a second whenever its raylet is not there yet. `ray.init` asks again by itself."""
LOCAL = {
    "RAY_preload_python_modules": ",".join(WORKERS_IMPORT),
    # How soon a raylet asks its store again, which is never ready at first; so often that it waits 10 s, as by default.
    "RAY_raylet_client_connect_timeout_milliseconds": "20",
    "RAY_raylet_client_num_connect_attempts": "500",
}
"""The environment of a local cluster's processes."""
HELPERS = ("monitor", "dashboard", "log_monitor")
"""Of the processes of a local cluster, those that no work of its goes through."""
RAYS_OWN_NOTE = Path("/tmp/ray/ray_current_cluster")
"""Where `ray start` leaves the address of its head."""
RAY_UPS_NOTE = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves, on the head, what the cluster may grow to."""
TOKEN_FILE = Path("~/.ray/auth_token")
HEALTH_TIMEOUT_S = 7.0
MOST_TEMPORARY = 30
"""Characters of the temporary folder's path. A socket's name may have 107, and Ray adds up to 75 to ours."""


def _running() -> str:
    """The address that Ray's `auto` means: RAY_ADDRESS, or that of the head on this machine."""
    with contextlib.suppress(OSError):
        return os.environ.get("RAY_ADDRESS") or RAYS_OWN_NOTE.read_text().strip()
    raise ClusterError("--address auto: no Ray cluster runs on this machine; start one with `ray start --head`")


def check(address: str | None, device: str) -> None:
    """Raises ClusterError for a cluster that nobody answers at, or a device that is asked for and not there."""
    if address is not None:
        probe(address)
    if device not in DEVICES:
        raise UnknownNameError("device", device, DEVICES)
    if device == "cuda" and address is None:
        choose_device(device)


def choose_device(device: str, address: str | None = None) -> str:
    """The device that packs train on: what this machine has, or the nodes of the cluster that we are connected to.

    Raises ClusterError for CUDA where there is none.
    """
    if address is not None and device != "cpu":
        if _most("GPU", address) > 0:
            return "cuda"
        if device == "cuda":
            raise ClusterError("--device cuda: no node of the cluster has a GPU; use --device cpu")
    if device == "cpu" or address is not None or (device == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ClusterError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return "cpu"


def _may_have_gpu() -> bool:
    """Whether it is worth a second to ask torch, which takes so long to import."""
    return sys.platform != "linux" or any(file.exists() for file in GPU_FILES)


def probe(address: str) -> None:
    """Raises ClusterError unless a Ray head answers at HOST:PORT; ray.init would retry for minutes."""
    where = _where(address)
    address = f"{where[0]}:{where[1]}"
    cure = "start one with `ray start --head`, or leave out --address"
    try:
        socket.create_connection(where, timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no Ray cluster at {address} ({error}); {cure}") from None
    # Whoever listens may be no Ray at all, and Ray's own client waits for it: it asks in a process of its own.
    ask = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    _show_token()
    try:
        asked = subprocess.run(ask, capture_output=True, timeout=HEALTH_TIMEOUT_S)
        healthy, refused = asked.returncode == 0, b"InvalidAuthToken" in asked.stderr
    except subprocess.TimeoutExpired:
        healthy = refused = False
    if refused:
        raise ClusterError(f"the cluster at {address} wants another token; copy {TOKEN_FILE} of its head, at mode 600")
    if not healthy:
        raise ClusterError(f"what listens at {address} does not answer as a Ray head; {cure}")


def _where(address: str) -> tuple[str, int]:
    """Host and port of a cluster's head. Raises ClusterError for another form."""
    if address == "auto":
        address = _running()
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        raise ClusterError(f"--address {address}: write HOST:PORT of the cluster's head, or auto")
    return host, int(port)


def _show_token() -> None:
    """Has all of Ray show the token that is at hand: some parts of it do so only where they are told."""
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys() or TOKEN_FILE.expanduser().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[Path]:
    """A connection to a Ray cluster, and a temporary folder that ends with it.

    Where this process is connected already that connection is used, and stays; else a local cluster
    is started, unless an address is given.
    """
    remove_stale_folders()
    folder = tempfile.mkdtemp(prefix=f"bridgelab-{os.getpid()}-", dir=_temporary())
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None and "ray" not in sys.modules:  # it reads these once, when it is imported
        # A token of this process alone: whoever reaches the ports of its cluster cannot use them.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.update(TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1", TUNE_DISABLE_SIGINT_HANDLER="1", RAY_AIR_NEW_OUTPUT="0")
    with environment(AT_ONCE if address is None else {}):
        import ray

    ours, guard = not ray.is_initialized(), _Guard()
    in_main = threading.current_thread() is threading.main_thread()
    on_sigterm, on_interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(INTERRUPT)
    try:
        if ours:
            _connect(address, folder)
        if ours and address is None:
            guard.watch(ray._private.worker.global_worker.node.dead_processes)
        elif ours and address is not None:
            guard.watch(functools.partial(_dead_head, _where(address)), every_s=HEAD_EVERY_S)
        if in_main:
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own would end the process without a word of ours
            signal.signal(INTERRUPT, signal.default_int_handler)
        yield Path(folder)
    except (ray.exceptions.RayError, KeyboardInterrupt) as error:
        if isinstance(error, (KeyboardInterrupt, ray.exceptions.RayTaskError)) and guard.died is None:
            raise  # the user's wish, or what a task raised: nothing of Ray's died
        raise ClusterError(_died(f"its {guard.died} ended" if guard.died else str(error).splitlines()[0])) from None
    finally:
        guard.stop(unless_died=True)
        if in_main:
            signal.signal(INTERRUPT, on_interrupt)
        if ours:
            _disconnect()  # without its head it may wait for a minute, and the guard does not
        guard.stop()
        shutil.rmtree(folder, ignore_errors=True)


class _Guard:
    """Interrupts the sweep when a process of its own cluster has died: Ray would wait, or end us without a word.

    A sweep that does not hear it is ended, as by `kill -9`, with the same line.
    """

    def __init__(self) -> None:
        self.died: str | None = None
        self._stopped = threading.Event()

    def watch(self, dead_processes: Callable[[], list[tuple[str, Any]]], every_s: float = GUARD_EVERY_S) -> None:
        threading.Thread(target=self._keep_looking, args=(dead_processes, every_s), daemon=True).start()

    def stop(self, unless_died: bool = False) -> None:
        if not (unless_died and self.died):
            self._stopped.set()

    def _keep_looking(self, dead_processes: Callable[[], list[tuple[str, Any]]], every_s: float) -> None:
        while not self._stopped.wait(every_s):
            dead = [kind for kind, _ in dead_processes() if kind in ("raylet", "gcs_server", "head")]
            if dead:
                self.died = dead[0]
                _thread.interrupt_main(INTERRUPT)
                if not self._stopped.wait(DEAF_S):
                    print(f"bridgelab: {_died(f'its {self.died} ended')}", file=sys.stderr, flush=True)
                    os._exit(2)
                return


def _dead_head(where: tuple[str, int]) -> list[tuple[str, None]]:
    """The head, where nobody listens any more; a network that is slow is no death."""
    try:
        socket.create_connection(where, timeout=CONNECT_TIMEOUT_S).close()
    except ConnectionRefusedError:
        return [("head", None)]
    except OSError:
        return []
    return []


def _died(of: str) -> str:
    return f"Ray died under the sweep ({of}); the same command goes on"


def n_slots(device: str, address: str | None) -> int:
    """How many packs run side by side on the cluster, as large as it may grow: one a CPU core, or one a GPU."""
    return max(1, _most("GPU" if device == "cuda" else "CPU", address))


def _most(resource: str, address: str | None) -> int:
    """How much of a resource the cluster has, or may grow to where `ray up` said so on this machine, its head."""
    import ray
    import yaml

    there = int(ray.cluster_resources().get(resource, 0))
    note = RAY_UPS_NOTE.expanduser()
    if address != "auto" or not note.exists():
        return there
    config = yaml.safe_load(note.read_text())
    kinds = [one | {"resources": one.get("resources") or {}} for one in config["available_node_types"].values()]
    n_nodes, most = config["max_workers"], 0
    for kind in sorted(kinds, key=lambda one: -one["resources"].get(resource, 0)):
        n = min(n_nodes, kind.get("max_workers", 0))
        n_nodes, most = n_nodes - n, most + n * int(kind["resources"].get(resource, 0))
    return max(there, most)


def _connect(address: str | None, folder: str) -> None:
    import ray

    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        local = {"num_cpus": available_cpus(), "include_dashboard": False, "_temp_dir": folder}
        with environment(LOCAL), ThreadPoolExecutor(1) as meanwhile:
            meanwhile.submit(importlib.import_module, "ray.tune")
            ray.init(address="local", **local, **quiet)
        return
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ClusterError(f"no Ray cluster at {address}: {reason}; start one with `ray start --head`") from None


def _disconnect() -> None:
    """Ends our connection, and the cluster where it is our own."""
    import ray

    node = ray._private.worker.global_worker.node
    for kind, process in [] if node is None else node.live_processes():
        if kind in HELPERS:
            process.kill()  # they hold nothing, and Ray would wait for them one after the other, a second in all
    ray.shutdown()


def _temporary() -> str:
    """Where temporary folders go: /tmp where the usual place is too long for the names of Ray's sockets."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= MOST_TEMPORARY or os.name == "nt" else "/tmp"


def remove_stale_folders() -> None:
    """Removes the temporary folders of sweeps that were killed."""
    for folder in Path(_temporary()).glob("bridgelab-*-*"):
        owner = re.fullmatch(r"bridgelab-(\d+)-\w+", folder.name)
        if owner and not Path(f"/proc/{owner[1]}").exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)


def check_workers(lab: Lab) -> None:
    """Raises LabError unless every node that stays in the cluster reads and writes the lab that the driver has."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    folder = hidden.probe()
    task = ray.remote(num_cpus=0)(_probe_task)
    try:
        lab.publish(f"{folder}/driver", folder.encode())
        nodes = {str(node["NodeID"]): node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
        wheres = {name: NodeAffinitySchedulingStrategy(name, soft=False) for name in nodes}
        asked = {n: task.options(scheduling_strategy=w).remote(lab.address, folder, n) for n, w in wheres.items()}
        ray.wait(list(asked.values()), num_returns=len(asked))
        for name, host in nodes.items():
            try:
                failure = ray.get(asked[name])
            except ray.exceptions.RayError:
                if name in {other["NodeID"] for other in ray.nodes() if other["Alive"]}:
                    raise
                continue  # it had left before Ray knew
            if failure is not None:
                raise LabError(f"on {host}, {failure}")
            if not lab.exists(f"{folder}/{name}"):
                raise LabError(f"{lab.location} is another folder on {host}; give --lab a place that all nodes share")
    finally:
        lab.remove(folder)


def _probe_task(address: str, folder: str, name: str) -> str | None:
    """Writes into the driver's probe where it is there; returns why that cannot be done here."""
    try:
        lab = Lab(address)
        if lab.exists(f"{folder}/driver"):
            lab.publish(f"{folder}/{name}", name.encode())
    except LabError as error:
        return str(error)
    return None
