"""The connection to Ray: its own, one that is there, or one line that says why there is none."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bridgelab.errors import ClusterError
from bridgelab.session import probe, remove_stale_folders

SWEEP = """
import bridgelab
from bridgelab import Selection
small = Selection(pair="plane-plane", preset="smoke", n_replicates=1)
outcome = bridgelab.sweep("label_efficiency", lab="lab", selection=small)
"""


def python(folder: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("BRIDGELAB_", "RAY_"))}
    return subprocess.run(
        [sys.executable, "-c", source],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.ray
@pytest.mark.slow
def test_a_connection_that_is_there_is_used_and_stays(tmp_path: Path) -> None:
    source = "import ray\nray.init(num_cpus=1, include_dashboard=False, logging_level='ERROR')\n"
    source += SWEEP + "print(outcome.n_run, ray.is_initialized(), ray.get(ray.put(3)))"
    done = python(tmp_path, source)
    assert done.stdout.split()[-3:] == ["5", "True", "3"], done.stderr


@pytest.mark.ray
@pytest.mark.slow
def test_a_long_name_of_the_temporary_folder_is_no_obstacle(tmp_path: Path) -> None:
    long = tmp_path / ("a_folder_with_a_long_name_" * 3)
    long.mkdir()
    done = python(tmp_path, SWEEP + "print(outcome.n_run)", TMPDIR=str(long))
    assert done.stdout.split()[-1:] == ["5"], done.stderr


@pytest.mark.parametrize("address", ["nowhere", "host:port", "ray://127.0.0.1:10001", "http://127.0.0.1:1"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ClusterError, match="write HOST:PORT"):
        probe(address)


def test_folders_of_sweeps_that_were_killed_go_and_those_of_living_ones_stay(monkeypatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as usual:
        monkeypatch.setattr(tempfile, "tempdir", usual)
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        names = [f"bridgelab-{dead.pid}-abc", f"bridgelab-{os.getpid()}-abc", "bridgelab-notes-abc"]
        for name in names:
            (Path(usual) / name).mkdir()
        remove_stale_folders()
        assert sorted(path.name for path in Path(usual).iterdir()) == sorted(names[1:])


def test_a_sweep_that_does_not_hear_of_rays_death_is_ended_with_the_line() -> None:
    deaf = (
        "import signal, time; from bridgelab import session; "
        "signal.signal(session.INTERRUPT, signal.SIG_IGN); session.DEAF_S = 0.1; "
        "session._Guard().watch(lambda: [('raylet', None)]); time.sleep(60)"
    )
    ended = subprocess.run([sys.executable, "-c", deaf], capture_output=True, text=True, timeout=50)
    assert ended.returncode == 2
    assert ended.stderr == "bridgelab: Ray died under the sweep (its raylet ended); the same command goes on\n"
