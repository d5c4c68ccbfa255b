"""Whatever stands where a file should, in a lab or in a folder of data: a value, or one line that names it.

    FUZZ_EXAMPLES=4000 pytest tests/test_fuzz.py

gives every reader so many inputs, and more to those that are fast. Without it, each has a few.
"""

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_readers import LAB, OUTSIDE, names
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from peak import at_most

from bridgelab import ledger, pack_size
from bridgelab.errors import BridgelabError

N_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "12"))
MOST_SECONDS, MOST_MIB = 20.0, 600
"""Of the CPU for one input; of memory more than before, for all inputs of a reader."""
NEVER = ("pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "shutil.rmtree")


events: list[str] = []
watching = False


def hook(event: str, args: tuple) -> None:
    if watching and event in NEVER:
        events.append(f"{event} {args!r:.200}")


sys.addaudithook(hook)


@pytest.fixture
def watched() -> Iterator[None]:
    """Nothing is unpickled and no program starts while a reader reads; its memory stays what it was."""
    global watching
    pack_size.machine()  # asks a program for the processor's name, once a process
    events.clear()
    watching = True
    with at_most(MOST_MIB):
        yield
    watching = False
    assert events == []


@pytest.mark.parametrize("name", [*LAB, *OUTSIDE])
def test_whatever_stands_in_a_file_is_a_value_or_one_line(
    name: str, tmp_path: Path, watched, make_trial, make_member, plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "LOOK_S", 0.0)
    monkeypatch.setattr(logging.getLogger("bridgelab"), "disabled", True)
    reader = {**LAB, **OUTSIDE}[name](tmp_path, make_trial=make_trial, make_member=make_member, plane=plane)
    path = tmp_path / reader.path
    path.parent.mkdir(parents=True, exist_ok=True)
    outcomes: Counter[str] = Counter()

    def read(data: bytes) -> object:
        for sibling in path.parent.glob("part-merged-*"):
            sibling.unlink()
        path.write_bytes(data)
        return reader.read(tmp_path)

    read(reader.data)

    @settings(
        max_examples=max(5, round(N_EXAMPLES * reader.share)),
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(reader.damaged(reader.data) | st.just(b""))
    def try_to_read(data: bytes) -> None:
        began = time.process_time()
        try:
            read(data)
            outcomes["value"] += 1
        except BridgelabError as error:
            outcomes["error"] += names(error, tmp_path)
        assert time.process_time() - began < MOST_SECONDS

    try_to_read()
    if "FUZZ_EXAMPLES" in os.environ:
        print(f"\nfuzzed {name}: {outcomes.total():,} inputs, {outcomes['error']:,} refused")
