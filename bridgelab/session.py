"""A connection to a Ray cluster: a local one of its own, or one that is there. And the device to train on."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import ClusterError
from .planning import available_cpus

PROBE_TIMEOUT_S = 5.0


def check(address: str | None, device: str) -> None:
    """Raises ClusterError for a cluster that nobody answers at, or a device that is asked for and not there."""
    if address is not None:
        probe(address)
    if device == "cuda":
        choose_device(device)


def choose_device(device: str) -> str:
    """The device that packs train on. Raises ClusterError for CUDA where there is none."""
    if device == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ClusterError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return "cpu"


def probe(address: str) -> None:
    """Raises ClusterError unless something listens at HOST:PORT; ray.init would retry for minutes."""
    if address == "auto":
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        raise ClusterError(f"--address {address}: write HOST:PORT or auto")
    try:
        socket.create_connection((host, int(port)), timeout=PROBE_TIMEOUT_S).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster at {address} ({error}); start one with `ray start --head`, or leave out --address"
        ) from None


@contextlib.contextmanager
def cluster(address: str | None) -> Iterator[Path]:
    """A connection to a Ray cluster, and a temporary folder; a local cluster and the folder end with it."""
    remove_stale_folders()
    folder = tempfile.mkdtemp(prefix=f"bridgelab-{os.getpid()}-")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        # A token of this process alone: whoever reaches the ports of its cluster cannot use them.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.update(TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1", TUNE_DISABLE_SIGINT_HANDLER="1", RAY_AIR_NEW_OUTPUT="0")
    import ray

    on_sigterm = signal.getsignal(signal.SIGTERM)
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            local = {"num_cpus": available_cpus(), "include_dashboard": False, "_temp_dir": folder}
            ray.init(address="local", **local, **quiet)
        else:
            _join(address, quiet)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own would end the process without a word of ours
        yield Path(folder)
    except ray.exceptions.RayError as error:
        reason = str(error).splitlines()[0]
        raise ClusterError(f"Ray died under the sweep ({reason}); the same command goes on") from None
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale_folders() -> None:
    """Removes the temporary folders of sweeps that were killed."""
    for folder in Path(tempfile.gettempdir()).glob("bridgelab-*-*"):
        owner = re.fullmatch(r"bridgelab-(\d+)-\w+", folder.name)
        if owner and not Path(f"/proc/{owner[1]}").exists() and Path("/proc/self").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _join(address: str, options: Mapping[str, Any]) -> None:
    import ray

    try:
        ray.init(address=address, **options)
    except ConnectionError as error:
        reason = str(error).splitlines()[0]
        raise ClusterError(f"no Ray cluster at {address}: {reason}; start one with `ray start --head`") from None
