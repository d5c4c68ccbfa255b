"""What a lab of many trials costs: time and peak memory of a plan, of a table and of a report.

    python benchmarks/scale.py --json

Plans a study of so many new trials, then fills a lab with as many finished ones (drawn rows in the schema of
real ones, 100 trials a part) and makes the table, first from the parts and then from the merged lab, and the
report. Each figure is of a process of its own, from its start to its end; what importing costs is a row too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bridgelab.config import DECODES, canonical_json
from bridgelab.housekeeping import compact
from bridgelab.lab import Lab
from bridgelab.metrics import METRIC_VERSION, METRICS
from bridgelab.publication import publish_members
from bridgelab.results import SCHEMAS, Results, now
from bridgelab.study import ResolvedStudy, Selection, resolve

N_IN_A_PART = 100
REPLICATES = 100
STUDY = """
from bridgelab import Study

def study() -> Study:
    values = [round(0.01 * (i + 1), 6) for i in range({n_arms})]
    return Study(name="large", question="How large may a study be?", grid={{"bridge.beta_swd": values}})
"""
MEASURED = """
import json, resource, sys, time
started = time.perf_counter()
from bridgelab.cli import main
sys.argv = ["bridgelab", *sys.argv[1:]]
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_mib": used.ru_maxrss / 1024}), file=sys.stderr)
"""


def command(folder: Path, *words: str) -> dict[str, float]:
    """Runs a command of the command line in a process of its own; its seconds and peak memory."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stderr.splitlines()[-1])
    return found


def fill(lab: Lab, resolved: ResolvedStudy) -> None:
    """Finished trials for all members, in parts as packs leave them."""
    publish_members(lab, resolved)
    rng, results = np.random.default_rng(0), Results(lab)
    members = iter(resolved.members)
    for part in itertools.count():
        some = list(itertools.islice(members, N_IN_A_PART))
        if not some:
            return
        trials, metrics = [], []
        for member in some:
            spec = member.trial
            row: dict[str, Any] = dict.fromkeys(SCHEMAS["trials"].names)
            row |= {"trial_id": spec.trial_id, "attempt": 0, "state": "COMPLETE", "config": canonical_json(spec)}
            row |= {"base_a": spec.base_a.model_id, "base_b": spec.base_b.model_id, "n_train": 1259}
            row |= {"train_s": 1.0, "evaluate_s": 0.1, "versions": "{}", "device": "cpu", "finished_at": now()}
            trials.append(row)
            for metric, decode, split in itertools.product(METRICS, DECODES, ("validation", "test")):
                value = {"value": float(rng.uniform(0.9, 1.0)), "n_eval": 359, "judge_id": spec.judge_id}
                place = {"metric": metric, "split": split, "decode": decode, "metric_version": METRIC_VERSION}
                metrics.append({"trial_id": spec.trial_id, "attempt": 0, **place, **value})
        results.write("metrics", f"{part:06}", pa.Table.from_pylist(metrics, schema=SCHEMAS["metrics"]))
        results.write("trials", f"{part:06}", pa.Table.from_pylist(trials, schema=SCHEMAS["trials"]))


def measure(n_trials: int) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "large.py").write_text(STUDY.format(n_arms=n_trials // REPLICATES))
        options = ("--lab", "lab", "--seeds", str(REPLICATES))
        rows.append({"what": "plan", **command(folder, "plan", "./large.py", *options, "--json")})
        resolved = resolve(str(folder / "large.py"), Selection(n_replicates=REPLICATES))
        lab = Lab(folder / "lab")
        fill(lab, resolved)
        rows.append({"what": "table, parts", **command(folder, "table", "large", *options, "--format", "json")})
        rows.append({"what": "plan, all cached", **command(folder, "plan", "./large.py", *options, "--json")})
        started = time.perf_counter()
        compact(lab)
        rows.append({"what": "compact", "seconds": time.perf_counter() - started, "peak_mib": None})
        rows.append({"what": "table, merged", **command(folder, "table", "large", *options, "--format", "json")})
        if n_trials <= 10_000:
            rows.append({"what": "report, merged", **command(folder, "report", "large", *options, "-o", "r.html")})
    return [{"trials": n_trials, **row} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--trials", type=int, action="append", help="how many; 1,000, 10,000, 100,000 if not given")
    chosen = parser.parse_args()
    rows = []
    for n_trials in chosen.trials or (1_000, 10_000, 100_000):
        for row in measure(n_trials):
            rows.append(row)
            if not chosen.json:
                memory = "" if row["peak_mib"] is None else f"{row['peak_mib']:8.0f} MiB"
                print(f"{row['trials']:>8,} {row['what']:<18} {row['seconds']:8.2f} s {memory}", flush=True)
    if chosen.json:
        machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
        found = {"benchmark": "scale", "machine": machine, "rows": rows, "notes": "each row: one process, start to end"}
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
