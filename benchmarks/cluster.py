"""What the driver of a sweep takes for each pack, report and row: real sweeps on a Ray cluster that claims GPUs.

    python benchmarks/cluster.py --json > benchmarks/results/DATE-cluster.json

Nodes of this machine say that they have GPUs, and packs sleep where they would train (`stand_ins/sleeping_pack.py`).
All else is the product's own, called as `bridgelab.sweep` with an address: leases, reports, rows, checkpoints and
bridges go into a real lab. Seconds of the driver are those of its main thread on a core, which other work on the
machine changes little; they come from differences between sweeps of which one has more packs, more reports or more
rows, the least of some rounds. Two sweeps whose packs sleep for seconds are then held against what `simulation.py`
says of them; their seconds are of the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing as mp
import os
import platform
import resource
import secrets
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from simulation import Costs, Load, simulate
from stand_ins.sleeping_pack import SLEEP, Sleep, rows_of

HERE = Path(__file__).parent
GPUS_OF_A_NODE = 8
STUDY = """
from bridgelab import Study

def study() -> Study:
    values = [round(0.01 * (i + 1), 6) for i in range({n_arms})]
    return Study(name="asleep", question="?", pair="plane-plane", grid={{"bridge.beta_swd": values}})
"""


@dataclass(frozen=True)
class Case:
    """A sweep of sleeping packs."""

    gpus: int
    packs: int
    sleep: Sleep = field(default_factory=Sleep)
    members: int = 8
    is_chatty: bool = False
    "whether packs report after every chunk, however many they are"


FEW = Case(gpus=4, packs=8)
COSTLY = {
    "few": FEW,
    "packs": replace(FEW, packs=72),
    "reports": replace(FEW, sleep=Sleep(chunks=100), is_chatty=True),
    "rows": replace(FEW, sleep=Sleep(predictions=70_000)),
}
SLEPT = (
    Case(gpus=8, packs=24, sleep=Sleep(seconds=10, spread=0.2, chunks=40)),
    Case(gpus=16, packs=48, sleep=Sleep(seconds=20, spread=0.2, chunks=40)),
)


@dataclass
class Clock:
    """What the calls of one function took."""

    seconds: float = 0.0
    "of this thread, on a core"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        started = time.thread_time()
        try:
            yield
        finally:
            self.seconds += time.thread_time() - started


@dataclass
class Heard:
    """What the driver of a sweep did, and when, in seconds from its start."""

    clocks: dict[str, Clock]
    asked: list[float]
    "of each pack, when Tune asked for it"
    reports: list[tuple[str, float]]
    "by whom"
    n_bytes: list[int]
    "of the rows of each pack"

    came: bool = False
    "whether something came in the present step of Tune's loop"

    @property
    def first_reports(self) -> list[float]:
        """Of each pack, in the order of time."""
        return sorted({pack_id: at for pack_id, at in reversed(self.reports)}.values())

    def timed(self, original: Callable[..., Any], name: str, note: Callable[..., None] | None) -> Callable[..., Any]:
        """A function with a clock; `note` sees what it returned and was given, before it may have changed that."""
        clock = self.clocks.setdefault(name, Clock())

        def call(*given: Any) -> Any:
            with clock.running():
                found = original(*given)
            if note is not None:
                note(found, *given)
            return found

        return call

    def events(self, original: Callable[..., bool]) -> Callable[..., bool]:
        """Tune's wait for an event, which says whether one came."""

        def wait(manager: Any, timeout: float | None = None) -> bool:
            self.came = bool(original(manager, timeout))
            return self.came

        return wait

    def steps(self, original: Callable[[Any], None]) -> Callable[[Any], None]:
        """A step of Tune's loop, without what is ours in it; one in which nothing comes is no work."""

        def step(controller: Any) -> None:
            whole, ours_s, self.came = Clock(), self._ours_s, False
            with whole.running():
                original(controller)
            if self.came:
                self.clocks["tune"].seconds += whole.seconds - (self._ours_s - ours_s)

        self.clocks["tune"] = Clock()
        return step

    @property
    def _ours_s(self) -> float:
        return self.clocks["take"].seconds + self.clocks["has_ended"].seconds


@contextlib.contextmanager
def listening() -> Iterator[Heard]:
    """Wraps the functions through which a driver hears of packs."""
    from ray.air.execution._internal import RayActorManager
    from ray.tune.execution.tune_controller import TuneController

    from bridgelab import board
    from bridgelab.board import Board
    from bridgelab.feed import Feed

    began, heard = time.perf_counter(), Heard({}, [], [], [])

    def note_start(found: Any, *given: Any) -> None:
        if found is not None:
            heard.asked.append(time.perf_counter() - began)

    def note_report(found: Any, board: Any, pack_id: str, result: dict[str, Any]) -> None:
        heard.reports.append((pack_id, time.perf_counter() - began))

    def note_parts(found: Any, lab: Any, pack: Any, parts: dict[str, bytes]) -> None:
        heard.n_bytes.append(sum(map(len, parts.values())))

    with contextlib.ExitStack() as undo:
        for owner, name, note in (
            (board, "publish_parts", note_parts),
            (Board, "take", note_report),
            (Feed, "start", note_start),
            (Feed, "has_ended", None),
        ):
            timed = heard.timed(getattr(owner, name), name, note)
            undo.enter_context(mock.patch.object(owner, name, timed))
        undo.enter_context(mock.patch.object(RayActorManager, "next", heard.events(RayActorManager.next)))
        undo.enter_context(mock.patch.object(TuneController, "step", heard.steps(TuneController.step)))
        yield heard


def drive(address: str, case: Case, folder: Path) -> dict[str, Any]:
    """Runs the sweep of a case, in this process; what its driver took."""
    import ray

    import bridgelab
    from bridgelab import tuning
    from bridgelab.lab import Lab
    from bridgelab.study import Selection, resolve

    (folder / "asleep.py").write_text(STUDY.format(n_arms=case.packs * case.members))
    lab, selection = Lab(folder / "lab"), Selection(preset="smoke", n_replicates=1)
    resolved = resolve(str(folder / "asleep.py"), selection)
    encode_planes(lab, resolved)
    if case.is_chatty:
        vars(tuning).update(REPORT_EVERY_S=0.0, MOST_REPORTS_PER_S=math.inf)
    hook = {"worker_process_setup_hook": "stand_ins.sleeping_pack.install"}
    variables = {"env_vars": {SLEEP: json.dumps(asdict(case.sleep))}}
    ray.init(address=address, runtime_env=hook | variables, log_to_driver=False, logging_level="ERROR")
    started = time.perf_counter()
    with listening() as heard:
        wanted = {"lab": lab, "address": address, "device": "cuda", "pack": case.members}
        outcome = bridgelab.sweep(resolved, **wanted)
    seconds = time.perf_counter() - started
    ray.shutdown()
    assert outcome.n_run == case.packs * case.members, outcome
    assert not outcome.failed, next(iter(outcome.failed.values()))
    n_at_once = min(case.gpus, case.packs)
    return {
        "gpus": case.gpus,
        "packs": case.packs,
        "reports": len(heard.reports),
        "seconds": seconds,
        "first_asked_s": heard.asked[0],
        "all_asked_s": heard.asked[n_at_once - 1],
        "first_reports_s": heard.first_reports[:n_at_once],
        "cpu": {name: clock.seconds for name, clock in heard.clocks.items()},
        "pack_bytes": statistics.mean(heard.n_bytes),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "sleeps": [case.sleep.seconds_of(pack.pack_id) for pack in outcome.plan.packs],
    }


def encode_planes(lab: Any, resolved: Any) -> None:
    """Latents of both sides: no worker has the torch to make them."""
    from bridgelab import encoding
    from bridgelab.base_models import Identity

    trial = resolved.members[0].trial
    for side, base, domain in zip("ab", (trial.base_a, trial.base_b), resolved.pair, strict=True):
        encoding.make(lab, base, Identity(), domain.load(side))


def set_environment() -> None:
    """Of all processes below this one, before any imports Ray: a token, and where workers find what stands in."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_USAGE_STATS_ENABLED="0")
    search = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, search))


@contextlib.contextmanager
def cluster(n_gpus: int) -> Iterator[str]:
    """A Ray cluster on this machine whose nodes claim GPUs; its address."""
    from ray.cluster_utils import Cluster

    n_nodes = -(-n_gpus // GPUS_OF_A_NODE)
    node = {"num_gpus": n_gpus // n_nodes, "num_cpus": n_gpus // n_nodes + 1, "object_store_memory": 300_000_000}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        made = Cluster(initialize_head=True, head_node_args=node | {"temp_dir": folder, "include_dashboard": False})
        try:
            for _ in range(n_nodes - 1):
                made.add_node(**node)
            yield made.address
        finally:
            made.shutdown()


def measure(case: Case) -> dict[str, Any]:
    """A case on a cluster of its own, its driver in a process of its own."""
    with cluster(case.gpus) as address, tempfile.TemporaryDirectory() as folder, process() as apart:
        found: dict[str, Any] = apart.submit(drive, address, case, Path(folder)).result()
    return found


def process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp.get_context("spawn"))


def least(found: list[dict[str, Any]]) -> dict[str, float]:
    """Of some rounds of a case: the least that each function took."""
    return {name: min(one["cpu"][name] for one in found) for name in found[0]["cpu"]}


def costs_of(found: dict[str, list[dict[str, Any]]], plan_trial_s: float) -> tuple[Costs, dict[str, float]]:
    """Seconds of the driver for each thing, by differences; and its memory."""
    from bridgelab import tuning

    cpu, first = {name: least(rounds) for name, rounds in found.items()}, {n: r[0] for n, r in found.items()}

    def more(name: str, *functions: str) -> float:
        """What some functions took beyond what they take in the sweep of few packs."""
        return sum(cpu[name][function] - cpu["few"][function] for function in functions)

    few = first["few"]
    n_packs = first["packs"]["packs"] - few["packs"]
    n_mb = few["packs"] * (first["rows"]["pack_bytes"] - few["pack_bytes"]) / 1e6
    report_s = more("reports", "tune", "take") / (first["reports"]["reports"] - few["reports"])
    costs = Costs(
        start_s=min(one["first_asked_s"] for one in found["few"]),
        plan_trial_s=plan_trial_s,
        pack_s=more("packs", "tune") / n_packs - report_s,
        report_s=report_s,
        publish_s=more("packs", "take") / n_packs,
        publish_mb_s=more("rows", "tune", "take") / n_mb,
        worker_start_s=min(one["first_reports_s"][0] - one["first_asked_s"] for one in found["few"]),
        report_every_s=tuning.REPORT_EVERY_S,
        most_reports_per_s=tuning.MOST_REPORTS_PER_S,
        most_pending=tuning.MOST_PENDING,
    )
    peaks = {name: min(one["peak_mib"] for one in rounds) for name, rounds in found.items()}
    memory = {"driver_mib": peaks["few"], "driver_pack_kib": 1024 * (peaks["packs"] - peaks["few"]) / n_packs}
    return costs, {"pack_bytes": few["pack_bytes"], "large_pack_bytes": first["rows"]["pack_bytes"]} | memory


def beside(n_trials: int) -> dict[str, Any]:
    """What needs no cluster: how long a plan takes, and how often a lab's file system is called."""
    from bridgelab.lab import Lab
    from bridgelab.planning import plan
    from bridgelab.study import Selection, resolve

    with tempfile.TemporaryDirectory() as name:
        lab, file = Lab(Path(name) / "lab"), Path(name) / "asleep.py"
        file.write_text(STUDY.format(n_arms=n_trials // 100))

        def planned() -> Any:
            resolved = resolve(str(file), Selection(preset="smoke", n_replicates=100))
            return plan(resolved, lab=lab, n_workers=512, device="cuda")

        planned_s, found = seconds_of(planned)
        return {"plan_trial_s": planned_s / n_trials, "calls": calls(lab, found.packs[0])}


def seconds_of(work: Callable[[], Any], rounds: int = 3) -> tuple[float, Any]:
    """The least of some rounds, on a core; and what it returned."""
    times = []
    for _ in range(rounds):
        started = time.thread_time()
        found = work()
        times.append(time.thread_time() - started)
    return min(times), found


def calls(lab: Any, pack: Any) -> dict[str, int]:
    """How often the lab's file system is called for one publication, one beat of a lease and one checkpoint."""
    from bridgelab.lease import Lease
    from bridgelab.publication import manifest, parts_of, publish_parts

    counted: Counter[str] = Counter()

    class Counting:
        def __init__(self, files: Any) -> None:
            self._files = files

        def __getattr__(self, name: str) -> Any:
            counted["calls"] += 1
            return getattr(self._files, name)

    def count(work: Callable[[], Any]) -> int:
        before = counted["calls"]
        work()
        return counted["calls"] - before

    def beat() -> None:
        lease.check()
        lab.publish(f"packs/{pack.pack_id}/lease.json", b"{}")

    lab._fs = Counting(lab._fs)
    lease = Lease.take(lab, pack.pack_id, manifest("asleep", pack), "a-sweep")
    assert lease is not None
    parts = parts_of(rows_of([entry.spec for entry in pack.entries], Sleep()))
    return {
        "checkpoint": count(lambda: lab.publish_sealed(f"packs/{pack.pack_id}/some.checkpoint", b"")),
        "beat": count(beat),
        "publication": count(lambda: publish_parts(lab, pack, parts)),
    }


def held_against(slept: dict[str, Any], costs: Costs) -> dict[str, Any]:
    """A sweep whose packs slept, beside its simulation with workers that are there when they were."""
    first, n = slept["first_reports_s"], len(slept["first_reports_s"])
    apart_s = (first[-1] - first[0]) / max(1, n - 1)
    begins_s = first[0] - costs.report_every_s - apart_s
    there = replace(costs, start_s=begins_s, plan_trial_s=0.0, worker_start_s=apart_s, most_pending=1)
    said = simulate(Load(slept["gpus"], (8,) * slept["packs"], tuple(slept["sleeps"])), there)
    kept = {name: slept[name] for name in ("gpus", "packs", "reports", "seconds", "first_asked_s", "all_asked_s")}
    kept |= {
        "first_worker_s": first[0],
        "last_worker_s": first[-1],
        "driver_cpu_s": slept["cpu"]["tune"] + slept["cpu"]["take"],
    }
    return kept | {"simulated_s": said.makespan_s, "error": said.makespan_s / slept["seconds"] - 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--rounds", type=int, default=2, help="of each sweep that costs are taken from")
    parser.add_argument("--trials", type=int, default=10_000, help="of the plan that is timed")
    chosen = parser.parse_args()

    def tell(*words: Any) -> None:
        if not chosen.json:
            print(*words, flush=True)

    set_environment()
    with process() as apart:
        known = apart.submit(beside, chosen.trials).result()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in COSTLY}
    for _ in range(chosen.rounds):
        for name, case in COSTLY.items():
            found[name].append(measure(case))
    costs, about = costs_of(found, known["plan_trial_s"])
    for name, value in (asdict(costs) | about | known).items():
        tell(f"{name:<20}", value)
    rows = []
    for case in SLEPT:
        rows.append(held_against(measure(case), costs))
        told = "{gpus} GPUs, {packs} packs: {seconds:.1f} s, simulated {simulated_s:.1f} s ({error:+.1%}); "
        tell((told + "workers there from {first_worker_s:.1f} to {last_worker_s:.1f} s").format(**rows[-1]))
    if chosen.json:
        machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
        machine |= {"python": platform.python_version(), "load": os.getloadavg()[2]}
        notes = {"costs": asdict(costs), "calls": known["calls"], **about}
        print(json.dumps({"benchmark": "cluster", "machine": machine, "rows": rows, "notes": notes}, indent=2))


if __name__ == "__main__":
    main()
