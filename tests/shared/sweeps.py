"""Real sweeps in processes of their own: started, watched, killed, and compared row for row."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bridgelab.lab import Lab
from bridgelab.results import Results
from bridgelab.study import Selection

STUDY, PACK = "label_efficiency", 2
SELECTION = Selection(pair="plane-plane", preset="desk", n_replicates=2, overrides={"bridge.n_steps": 480})
N_TRIALS, N_PACKS = 10, 5
PLANE = (STUDY, "--pair", "plane-plane", "--preset", "desk", "--seeds", "2", "--set", "bridge.n_steps=480")
"""The same for the command line: trials that end soon, for what costs most is the start of Ray."""
ALWAYS = ("--checkpoint-every", "0")
"""A checkpoint after every chunk of steps."""

COMPARED: Mapping[str, list[str] | None] = {
    "trials": ["trial_id", "attempt", "state", "config", "base_a", "base_b", "steps"],
    "metrics": None,
    "predictions": None,
    "curves": None,
}
"""What must not differ: everything but times, hosts and the names of packs."""

Sweep = subprocess.Popen[str]


def bridgelab(
    folder: Path, *words: str, environment: Mapping[str, str] = MappingProxyType({}), **options: Any
) -> Sweep:
    """A command of the command line, in a process of its own, in a folder of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BRIDGELAB_", "RAY_"))} | environment
    command = [sys.executable, "-c", "from bridgelab.cli import main; main()", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    heeding = {"preexec_fn": _heed_sigint} | options
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes, **heeding)


def _heed_sigint() -> None:
    """Where these tests run in the background a shell has them, and what they start, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(folder: Path, *words: str, study: tuple[str, ...] = PLANE, **options: Any) -> Sweep:
    """A sweep into the folder's `lab`."""
    return bridgelab(folder, "sweep", *study, "--pack", str(PACK), "--json", *words, **options)


def finished(folder: Path, *words: str, timeout_s: float = 900) -> str:
    """What a command prints that ends well."""
    out, err = (command := bridgelab(folder, *words)).communicate(timeout=timeout_s)
    assert command.returncode == 0, err
    return out


def finish(command: Sweep, timeout_s: float = 300) -> dict:
    """What a command tells that ends well."""
    out, err = command.communicate(timeout=timeout_s)
    assert command.returncode == 0, err
    return json.loads(out)


def one_line(command: Sweep, timeout_s: float = 90) -> str:
    """What a command says that could not go on: a line of ours, no traceback, and an end in time."""
    _, err = command.communicate(timeout=timeout_s)
    ours = [line for line in err.splitlines() if line.startswith("bridgelab: ")]
    assert command.returncode in (1, 2), (command.returncode, err)
    assert "Traceback" not in err, err
    assert len(ours) == 1, err
    return ours[0]


def kill(sweep: Sweep) -> None:
    """kill -9, and the end of the process."""
    sweep.send_signal(signal.SIGKILL)
    sweep.communicate()


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


def named(sweep: Sweep, name: str) -> list[int]:
    """Processes of a sweep whose name begins so: raylet, gcs_server, ray::Implicit for workers that train."""
    return sorted(pid for pid, found in below(sweep.pid) if found.startswith(name))


def wait_until(seen: Callable[[], object], sweep: Sweep) -> None:
    """Watches until something is seen, while a sweep runs."""
    deadline = time.monotonic() + 240
    while not seen():
        assert sweep.poll() is None, sweep.communicate()
        assert time.monotonic() < deadline, "it was not seen in time"
        time.sleep(0.002)


def checkpoints(folder: Path) -> list[Path]:
    return list(folder.glob("lab/packs/[!.]*/[!.]*.checkpoint"))


def parts(folder: Path, table: str) -> int:
    return len(list((folder / f"lab/results/{table}").glob("part-*")))


def progress(folder: Path) -> set[object]:
    """Something that is another after every checkpoint and every commit."""
    seen: set[object] = {("trials", parts(folder, "trials"))}
    for path in checkpoints(folder):
        try:
            seen.add((path.name, path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue  # its pack ended meanwhile
    return seen


def progressed(folder: Path, sweep: Sweep, delay_s: float) -> bool:
    """Waits for progress, and somewhat longer; whether the sweep still runs."""
    before, seen_at = progress(folder), None
    while sweep.poll() is None and (seen_at is None or time.monotonic() - seen_at < delay_s):
        if seen_at is None and progress(folder) - before:
            seen_at = time.monotonic()
        time.sleep(0.01)
    return sweep.poll() is None


def wait_for_progress(folder: Path, sweep: Sweep) -> None:
    """Watches until a pack has taken steps that it had not taken when this began."""
    before = progress(folder)
    wait_until(lambda: progress(folder) - before, sweep)


def rows(lab: Lab, table: str) -> list[str]:
    """The rows of a table as text, sorted, without what may differ."""
    found, columns = Results(lab).read(table), COMPARED[table]
    return sorted(map(str, (found.select(columns) if columns else found).to_pylist()))


def assert_same(folder: Path | Lab, undisturbed: Path) -> None:
    """Every row is the undisturbed sweep's, and no pack is left."""
    lab = folder if isinstance(folder, Lab) else Lab(folder / "lab")
    for table in COMPARED:
        assert rows(lab, table) == rows(Lab(undisturbed / "lab"), table), table
    assert lab.names("packs") == []
