"""`--address`: a sweep on a cluster that is there, of two nodes on this machine; no root is needed."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweeps import ALWAYS, N_TRIALS, assert_same, below, bridgelab, finish, one_line, start, wait_for_progress

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TWO_NODES = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "temp_dir": sys.argv[1]})
cluster.add_node(num_cpus=1)
print("ADDRESS", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def token() -> str:
    return secrets.token_hex(32)


@pytest.fixture
def address(token: str) -> Iterator[str]:
    """A cluster that asks for a token: where its head listens."""
    known = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    shown = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        two = subprocess.Popen([sys.executable, "-c", TWO_NODES, folder], env=known | shown, **pipes)
        assert two.stdout
        yield next(line.split()[1] for line in two.stdout if line.startswith("ADDRESS"))
        two.communicate("", timeout=60)


def test_a_sweep_on_two_nodes_that_are_there_gives_what_one_machine_gives(
    tmp_path: Path, address: str, token: str, undisturbed: Path
) -> None:
    other = bridgelab(
        tmp_path, "sweep", "label_efficiency", "--address", address, environment={"RAY_AUTH_TOKEN": "x" * 64}
    )
    assert "wants another token; copy ~/.ray/auth_token of its head" in one_line(other)
    done = finish(start(tmp_path, "--address", address, environment={"RAY_AUTH_TOKEN": token}))
    assert done["run"] == N_TRIALS
    assert_same(tmp_path, undisturbed)
    again = finish(start(tmp_path, "--address", address, environment={"RAY_AUTH_TOKEN": token}))
    assert (again["run"], again["cached"]) == (0, N_TRIALS)


def test_a_sweep_whose_head_dies_says_so_in_one_line(tmp_path: Path, token: str, address: str) -> None:
    sweep = start(tmp_path, *ALWAYS, "--address", address, environment={"RAY_AUTH_TOKEN": token})
    wait_for_progress(tmp_path, sweep)
    (head,) = [pid for pid, name in below(os.getpid()) if name == "gcs_server"]
    os.kill(head, signal.SIGKILL)
    assert "Ray died under the sweep" in one_line(sweep)
