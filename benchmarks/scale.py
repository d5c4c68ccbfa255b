"""What a lab of many trials costs: time and peak memory of a plan, of a table and of a report.

    python benchmarks/scale.py --json

Plans a study of so many new trials, then fills a lab with as many finished ones (drawn rows in the schema of
real ones, 100 trials a part, 100 replicates an arm) and plans, makes the table and the report from the parts,
merges them, and does so again. Each figure is of a whole command in a process of its own, from its start to its
end: the median and the least time, and the most memory, of some runs in turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing as mp
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bridgelab.config import DECODES, canonical_json
from bridgelab.lab import Lab
from bridgelab.metrics import METRIC_VERSION, METRICS
from bridgelab.publication import publish_members
from bridgelab.results import SCHEMAS, Results, now
from bridgelab.specs import TrialSpec
from bridgelab.study import Selection, resolve

N_IN_A_PART = 100
REPLICATES = 100
STUDY = """
from bridgelab import Study

def study() -> Study:
    values = [round(0.01 * (i + 1), 6) for i in range({n_arms})]
    return Study(name="large", question="How large may a study be?", grid={{"bridge.beta_swd": values}})
"""
STARTED = "from bridgelab.cli import main; main()"
NOTES = {
    "seconds": "of a whole command, from the start of its process to its end; the median of the runs",
    "seconds_least": "the least of the runs: nearest to what it takes on a core that has nothing else to do",
    "peak_mib": "the most memory that the process had at once, over the runs",
    "store": "empty: no trial; parts: all of them, 100 in each part; merged: after `bridgelab compact --yes`",
    "table": "an arm for each 100 trials, of 13 metrics; md compares the arms in pairs, json does not",
}


def command(folder: Path, *words: str) -> tuple[float, float]:
    """Runs a command of the command line in a process of its own; its seconds and its peak memory in MiB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", STARTED, *words], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bridgelab {' '.join(words)} ended with status {process.returncode}")
    return seconds, used.ru_maxrss / 1024


def fill(folder: Path, study: str) -> None:
    """Finished trials for all members, in parts as packs leave them."""
    resolved, lab = resolve(study, Selection(n_replicates=REPLICATES)), Lab(folder)
    publish_members(lab, resolved)
    rng, results = np.random.default_rng(0), Results(lab)
    specs = [member.trial for member in resolved.members]
    for part, first in enumerate(range(0, len(specs), N_IN_A_PART)):
        some = specs[first : first + N_IN_A_PART]
        results.write("metrics", f"{part:06}", metrics_of(some, rng))
        results.write("trials", f"{part:06}", map(trial_of, some))


def trial_of(spec: TrialSpec) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SCHEMAS["trials"].names)
    row |= {"trial_id": spec.trial_id, "attempt": 0, "state": "COMPLETE", "config": canonical_json(spec)}
    row |= {"base_a": spec.base_a.model_id, "base_b": spec.base_b.model_id, "n_train": 1259, "steps": 1000}
    return row | {"train_s": 1.0, "evaluate_s": 0.1, "versions": "{}", "device": "cpu", "finished_at": now()}


def metrics_of(specs: Sequence[TrialSpec], rng: np.random.Generator) -> pa.Table:
    """A row for each metric, decoding and split of each trial."""
    kinds = list(itertools.product(METRICS, DECODES, ("validation", "test")))
    metric, decode, split = (list(names) * len(specs) for names in zip(*kinds, strict=True))
    n = len(metric)
    columns = {
        "trial_id": np.repeat([spec.trial_id for spec in specs], len(kinds)),
        "attempt": np.zeros(n, np.int32),
        "metric": metric,
        "split": split,
        "decode": decode,
        "value": rng.uniform(0.9, 1.0, n),
        "n_eval": np.full(n, 359, np.int32),
        "judge_id": np.repeat([spec.judge_id for spec in specs], len(kinds)),
        "metric_version": np.full(n, METRIC_VERSION, np.int32),
    }
    return pa.table(columns).cast(SCHEMAS["metrics"])


def measure(n_trials: int, n_runs: int) -> Iterator[dict[str, Any]]:
    """A row for each command and store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "large.py").write_text(STUDY.format(n_arms=n_trials // REPLICATES))

        def row(what: str, store: str, *words: str, n_runs: int = n_runs) -> dict[str, Any]:
            seconds, peaks = zip(*(command(folder, *words, "--lab", "lab") for _ in range(n_runs)), strict=True)
            found = {"trials": n_trials, "what": what, "store": store, "runs": n_runs}
            found |= {"seconds": round(statistics.median(seconds), 2), "seconds_least": round(min(seconds), 2)}
            return found | {"peak_mib": round(max(peaks))}

        replicates = ("--seeds", str(REPLICATES))
        plan, table = ("plan", "./large.py", *replicates), ("table", "large", *replicates)
        yield row("plan", "empty", *plan)
        with ProcessPoolExecutor(1, mp.get_context("spawn")) as apart:  # a process starts with the memory of its parent
            apart.submit(fill, folder / "lab", str(folder / "large.py")).result()
        for store in ("parts", "merged"):
            if store == "merged":
                yield row("compact", "parts", "compact", "--yes", n_runs=1)
            yield row("plan", store, *plan)
            yield row("table --format json", store, *table, "--format", "json")
            yield row("table --format md", store, *table)
            yield row("report", store, "report", "large", *replicates, "-o", "report.html", n_runs=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--trials", type=int, action="append", help="how many; 1,000, 10,000, 100,000 if not given")
    parser.add_argument("--runs", type=int, default=3, help="of each command but the longest, of which there is one")
    chosen = parser.parse_args()
    rows = []
    for row in itertools.chain.from_iterable(
        measure(n, chosen.runs) for n in chosen.trials or (1_000, 10_000, 100_000)
    ):
        rows.append(row)
        if not chosen.json:
            told = "{trials:>8,} {what:<20} {store:<7} {seconds:8.2f} s, least {seconds_least:8.2f} s {peak_mib:6,} MiB"
            print(told.format(**row), flush=True)
    if chosen.json:
        machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
        machine |= {"python": platform.python_version(), "pyarrow": pa.__version__}
        print(json.dumps({"benchmark": "scale", "machine": machine, "rows": rows, "notes": NOTES}, indent=2))


if __name__ == "__main__":
    main()
