"""What a search costs until it has a configuration as good as any, against Optuna and ASHA in plain Ray Tune.

    python benchmarks/search.py --json

The question is that of `bridgelab sweep loss_weights` on the digits, base models at hand: three weights, 100 labels.
Every way asks as many configurations, starts cold in a process of its own, and takes its turn seed by seed:

- `brackets`: ours, with rungs. Each generation of 16 is trained in another replicate, next to the recipe.
- `no_brackets`: ours without rungs: everybody trains to the end.
- `optuna_asha`: what one would write in Ray Tune: `OptunaSearch` and `ASHAScheduler` as they come, rungs and halving
  as ours, one core a trial and `reuse_actors=True`; one nn.Module a trial (latents in memory, fused Adam, one thread)
  that scores all of validation at the rungs. All configurations of a seed share one of the replicates that ours has.

The incumbent at a moment is what the search would return if it ended then: of ours the arm of which most is expected
after the complete generations; of the plain way the configuration that did best at full length. Its quality is transfer
accuracy on validation, the mean of both directions and of a panel of replicates that no search has seen. A search has
found it with the first incumbent within 0.01 of the best known: the most that any incumbent of this run, or the recipe,
has. The recipe itself counts as no find. Time is from the start of the command to the moment when the incumbent is
known, with Ray's start, and without our confirmation, which the plain way lacks; trial-steps are those of every arm,
the reference among them. Who never finds it is counted with all that it spent: its numbers are too small (`found` of
`seeds` did).
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sweep import BRIDGE, bridgelab, fresh, run
from throughput import machine

from bridgelab.config import Float, Search, Study, canonical, canonical_json
from bridgelab.history import History
from bridgelab.lab import Lab
from bridgelab.results import Results
from bridgelab.search import best, resolve_search
from bridgelab.study import Selection, resolve
from bridgelab.sweeping import sweep
from search_spaces.loss_weights import study as loss_weights

WITHIN = 0.01
PLAIN = "optuna_asha"
WAYS = ("brackets", "no_brackets", PLAIN)
SEARCH = """
from dataclasses import replace

from search_spaces.loss_weights import study as loss_weights


def study():
    return replace(loss_weights(), name="cost", seed={seed}, n_confirmed=1, **{changes})
"""
ASHA = (
    '''
"""Optuna and ASHA in plain Ray Tune: LAB TASK"""
import json, logging, os, sys, time

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
'''
    + BRIDGE
    + """
def train(config):
    from dataclasses import replace

    from bridgelab.keys import with_keys
    from bridgelab.lab import Lab
    from bridgelab.specs import trial_of

    spec = trial_of(json.loads(config["spec"]))
    weights = {key: value for key, value in config.items() if key.startswith("bridge.")}
    spec = replace(spec, settings=with_keys(spec.settings, weights))
    for step, score in bridge(spec, Lab(config["lab"])):
        if step in config["rungs"]:
            found = score("validation")
            accuracy = (found["transfer_accuracy_ab"] + found["transfer_accuracy_ba"]) / 2
            tune.report({"step": step, "accuracy": accuracy, "at": time.time()})


lab, task = sys.argv[1], json.load(open(sys.argv[2]))
ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, num_cpus=os.cpu_count())
space = {key: tune.loguniform(low, high) for key, (low, high) in task["space"].items()}
tuner = tune.Tuner(
    tune.with_resources(train, {"cpu": 1}),
    param_space={**space, "lab": lab, "spec": task["spec"], "rungs": task["rungs"]},
    tune_config=tune.TuneConfig(
        metric="accuracy",
        mode="max",
        search_alg=OptunaSearch(seed=task["seed"]),
        scheduler=ASHAScheduler("step", max_t=task["rungs"][-1], grace_period=task["rungs"][0], reduction_factor=2),
        num_samples=task["n"],
        reuse_actors=True,
    ),
    run_config=tune.RunConfig(storage_path=os.getcwd() + "/tune", verbose=0),
)
for arm, result in enumerate(tuner.fit()):
    weights = {key: result.config[key] for key in space}
    for report in result.metrics_dataframe[["step", "accuracy", "at"]].to_dict("records"):
        print(json.dumps({**report, "arm": arm, "weights": weights}))
"""
)


@dataclass(frozen=True)
class Task:
    """What every way is given."""

    preset: str
    n_generations: int

    @property
    def search(self) -> Search:
        return replace(loss_weights(), n_generations=self.n_generations)

    @property
    def selection(self) -> Selection:
        """Of a search: as little confirmation as there can be."""
        return Selection(preset=self.preset, n_replicates=1)

    @property
    def options(self) -> tuple[str, ...]:
        return (*self.selection.words, "--generations", str(self.n_generations))


@dataclass(frozen=True)
class Moment:
    """How far a search has come, and what it would return."""

    seconds: float
    "since its command was started"
    steps: int
    incumbent: str | None
    "its parameters as JSON"


Course = Sequence[Moment]
"""A search from the first thing that is known to the last."""


def at_hand(folder: Path, task: Task) -> None:
    """A lab with all base models and latents of the searches, and nothing else: of a search of very short trials."""
    (folder / "cost.py").write_text(SEARCH.format(seed=0, changes={}))
    short = ("--set", "bridge.n_steps=32", "--lab", "short", "--json")
    run(folder, *bridgelab("sweep", "./cost.py", *task.options, *short))
    for part in ("models", "latents"):
        shutil.copytree(folder / "short" / part, folder / "bases" / part)


def course_of_ours(folder: Path, task: Task, seed: int, changes: Mapping[str, Any]) -> Course:
    (folder / "cost.py").write_text(SEARCH.format(seed=seed, changes=changes))
    lab, began = fresh(folder), time.time()
    run(folder, *bridgelab("sweep", "./cost.py", *task.options, "--lab", "lab", "--json"))
    search = resolve_search(str(folder / "cost.py"), task.selection)
    generations, rows = History(Lab(lab), search).generations(), Results(Lab(lab)).read("proposals").to_pylist()
    assert len(generations) == task.n_generations, generations
    moments = []
    for n in range(1, len(generations) + 1):
        known = [row for row in rows if row["generation"] < n]
        reached = {(row["generation"], row["number"]): 0 for row in known}
        for row in known:
            place = row["generation"], row["number"]
            reached[place] = max(reached[place], row["step"])
        found = best(search, generations[:n], 1)
        seconds = max(row["decided_at"] for row in known).timestamp() - began
        moments.append(Moment(seconds, sum(reached.values()), canonical_json(found[0].parameters) if found else None))
    return moments


def course_of_plain(folder: Path, task: Task, seed: int) -> Course:
    search = resolve_search(task.search, task.selection)
    rungs = [int(share * search.rungs[-1]) for share in (*task.search.rungs, 1)]
    n = task.n_generations * task.search.bracket
    told = {
        "space": {key: log_range(distribution) for key, distribution in task.search.space.items()},
        "spec": canonical_json(search.proposal(seed % task.n_generations, 0, {}).trial),
        "rungs": rungs,
        "n": n,
        "seed": seed,
    }
    (folder / "task.json").write_text(json.dumps(told))
    shutil.rmtree(folder / "tune", ignore_errors=True)
    began = time.time()
    _, out = run(folder, sys.executable, "-c", ASHA, str(folder / "bases"), "task.json")
    reports = [json.loads(line) for line in out.splitlines() if line.startswith('{"step"')]
    reached, incumbent, most, moments = dict[int, int](), None, 0.0, []
    for report in sorted(reports, key=lambda report: report["at"]):
        reached[report["arm"]] = report["step"]
        if report["step"] == rungs[-1] and report["accuracy"] > most:
            most, incumbent = report["accuracy"], canonical_json(report["weights"])
        moments.append(Moment(report["at"] - began, sum(reached.values()), incumbent))
    assert len(reached) == n, out
    return moments


def log_range(distribution: object) -> tuple[float, float]:
    assert isinstance(distribution, Float), distribution
    assert distribution.log, distribution
    return distribution.low, distribution.high


def course(folder: Path, task: Task, way: str, seed: int) -> Course:
    if way == PLAIN:
        return course_of_plain(folder, task, seed)
    return course_of_ours(folder, task, seed, {} if way == "brackets" else {"rungs": ()})


def qualities(folder: Path, task: Task, incumbents: Sequence[str], n_replicates: int) -> dict[str, float]:
    """By its parameters as JSON, the quality of each incumbent; that of the recipe is of no parameters."""
    arms = {parameters: json.loads(parameters) for parameters in ("{}", *incumbents)}
    study = Study(name="panel", question="How good are they?", base=task.search.base, arms=arms, reference="{}")
    selection = Selection(preset=task.preset, n_replicates=n_replicates)
    lab = Lab(fresh(folder))
    sweep(study, lab=lab, selection=selection)
    found = {
        (row["trial_id"], row["metric"]): row["value"]
        for row in Results(lab).read("metrics").to_pylist()
        if (row["split"], row["decode"]) == ("validation", "mean")
    }
    values: dict[str, list[float]] = {parameters: [] for parameters in arms}
    for member in resolve(study, selection).members:
        directions = ("transfer_accuracy_ab", "transfer_accuracy_ba")
        values[member.arm.name] += [found.get((member.trial.trial_id, name), 0.0) for name in directions]  # 0: diverged
    return {parameters: statistics.mean(of) for parameters, of in values.items()}


@dataclass(frozen=True)
class Cost:
    """What one search took until it had found it, or in all where it did not."""

    way: str
    seed: int
    found: bool
    steps: int
    seconds: float
    regret: float
    "by how much its last incumbent is worse than the best known"
    all_steps: int
    all_seconds: float


def cost(way: str, seed: int, moments: Course, quality: Mapping[str, float]) -> Cost:
    best_known, end = max(quality.values()), moments[-1]
    good = [m for m in moments if m.incumbent is not None and quality[m.incumbent] >= best_known - WITHIN]
    there = good[0] if good else end
    regret = best_known - (quality[end.incumbent] if end.incumbent is not None else 0.0)
    return Cost(way, seed, bool(good), there.steps, there.seconds, regret, end.steps, end.seconds)


def row(way: str, costs: Sequence[Cost]) -> dict[str, Any]:
    mine, plain = ([c for c in costs if c.way == name] for name in (way, PLAIN))
    about: dict[str, Any] = {"way": way, "seeds": len(mine), "found": sum(c.found for c in mine)}
    for name in ("steps", "seconds", "regret", "all_steps", "all_seconds"):
        about |= quartiles(name, [getattr(c, name) for c in mine])
    about |= quartiles("ratio", [theirs.seconds / own.seconds for theirs, own in zip(plain, mine, strict=True)])
    ratio = statistics.median(c.seconds for c in plain) / statistics.median(c.seconds for c in mine)
    return {**about, "ratio": ratio}


def quartiles(name: str, values: Sequence[float]) -> dict[str, float]:
    low, middle, high = (float(value) for value in np.percentile(values, (25, 50, 75)))
    return {name: middle, f"{name}_low": low, f"{name}_high": high}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--seeds", type=int, default=6, help="searches of each way")
    parser.add_argument("--generations", type=int, default=6, help="of 16 configurations: what a search may ask")
    parser.add_argument("--preset", default="desk")
    parser.add_argument("--panel", type=int, default=4, help="replicates in which an incumbent's quality is taken")
    chosen = parser.parse_args()
    task = Task(chosen.preset, chosen.generations)
    courses: dict[tuple[str, int], Course] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        at_hand(folder, task)
        for seed in range(chosen.seeds):
            for way in (*WAYS[seed % 3 :], *WAYS[: seed % 3]):
                courses[way, seed] = course(folder, task, way, seed)
        incumbents = {m.incumbent: None for moments in courses.values() for m in moments if m.incumbent is not None}
        quality = qualities(folder, task, list(incumbents), chosen.panel)
    costs = [cost(way, seed, courses[way, seed], quality) for seed in range(chosen.seeds) for way in WAYS]
    rows = [row(way, costs) for way in WAYS]
    notes = {
        "ratio": "median seconds of the plain way over those of this one; low and high: quartiles over seeds, in pairs",
        "censored": "a search that did not find it counts with all its steps and seconds",
        "best_known": max(quality.values()),
        "recipe": quality["{}"],
        "within": WITHIN,
        "panel": chosen.panel,
        "incumbents": len(incumbents),
        "configurations": task.n_generations * task.search.bracket,
        "searches": canonical(costs),
    }
    if chosen.json:
        print(json.dumps({"benchmark": "search", "machine": machine("cpu"), "rows": rows, "notes": notes}, indent=2))
        return
    print("best known {best_known:.3f}, the recipe {recipe:.3f}, of {incumbents} incumbents".format(**notes))
    for one in rows:
        told = "{way:<12} found by {found} of {seeds}  {seconds:6.1f} s [{seconds_low:.1f}, {seconds_high:.1f}]"
        told += "  {steps:8.0f} trial-steps [{steps_low:.0f}, {steps_high:.0f}]  regret {regret:.3f}"
        told += "  {ratio:5.2f} [{ratio_low:.2f}, {ratio_high:.2f}]"
        told += "  in all {all_seconds:.1f} s, {all_steps:.0f} trial-steps"
        print(told.format(**one))


if __name__ == "__main__":
    main()
