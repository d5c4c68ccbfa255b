"""Every benchmark can be started: what it imports is there, and it says what it measures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import search
import sweep

import bridgelab

ROOT = Path(bridgelab.__file__).parents[1]
PROGRAMS = sorted(path.name for path in (ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_benchmark_says_what_it_measures(program: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / program), "--help"]
    shared = os.environ | {"PYTHONPATH": str(ROOT / "tests/shared")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT, env=shared)
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout
    assert f"benchmarks/{program}" in done.stdout


@pytest.mark.parametrize("script", [sweep.PLAIN, search.ASHA])
def test_what_one_would_write_in_plain_ray_is_python(script: str) -> None:
    assert "train" in compile(script, "plain.py", "exec").co_names
