"""A plan on Ray: base models as tasks side by side, then packs as Ray Tune trials, one pack a trial.

The driver alone writes rows (`publication`); workers write models, latents and bridges.
"""

from __future__ import annotations

import contextlib
import io
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa

from .config import CHECKPOINT_EVERY_S, BaseModelJob, ModelSpec, Side
from .domains import Samples, Split, get_domain
from .errors import InvalidValueError, LabError
from .lab import Lab
from .lease import BEAT_S, Lease, LostLeaseError, Watch, release
from .planning import PackPlan, Plan, manifests, plan
from .publication import (
    drop_finished_manifests,
    failures,
    keep_best,
    lost_rows,
    manifest,
    publish_members,
    publish_rows,
)
from .results import SCHEMAS, Results
from .session import check, choose_device, cluster
from .study import ResolvedStudy, Selection, resolve

KEEP = ("all", "tables", "best")
SIDES: tuple[Side, Side] = ("a", "b")
REPORT_EVERY_S = 0.5


class Progress(Protocol):
    """What a sweep tells while it runs."""

    def phase(self, text: str) -> None:
        """Something begins that has no count."""

    def models(self, done: int, total: int) -> None:
        """Judges and base models that are ready."""

    def steps(self, done: int, total: int, trials_done: int, trials: int) -> None:
        """Trial-steps done, and the trials that are finished and published."""


class Silent:
    """Progress that nobody watches."""

    def phase(self, text: str) -> None: ...

    def models(self, done: int, total: int) -> None: ...

    def steps(self, done: int, total: int, trials_done: int, trials: int) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """A sweep after it ran."""

    plan: Plan
    "as it was before anything ran"
    n_run: int
    "trials that were trained or evaluated"
    failed: Mapping[str, tuple[str, str]]
    "trial_id of this study -> (failure class, text)"
    seconds: float

    @property
    def exit_status(self) -> int:
        """0 done; 1 some trials failed, or none was run or there."""
        return 1 if self.failed or not (self.n_run or self.plan.count("cached")) else 0


def sweep(
    study: str | ResolvedStudy,
    *,
    lab: str | Lab = "./lab",
    selection: Selection | None = None,
    pack: int | None = None,
    retry: bool = False,
    address: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    keep: str = "all",
    checkpoint_every_s: float | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Everything of a study that is missing in a lab: judges, base models, latents, packs, rows.

    Trials that the lab has are not run again, from whichever study they come. A sweep that was stopped,
    in whatever way, goes on from its checkpoints; two sweeps on one lab share the work. `address` is that
    of a Ray cluster (None: a local one is started and ended). Raises ClusterError for a cluster or device
    that cannot be had, LabError for a lab that cannot be read or written.
    """
    started = time.monotonic()
    lab = lab if isinstance(lab, Lab) else Lab(lab)
    if keep not in KEEP:
        raise InvalidValueError(f"--keep {keep}: give one of {', '.join(KEEP)}")
    check(address, device)
    told = progress or Silent()
    resolved = study if isinstance(study, ResolvedStudy) else resolve(study, selection)
    lab.check_writable()
    for name in Results(lab).set_aside_damaged():
        told.phase(f"set aside {name}")
    found = plan(resolved, lab=lab, pack=pack, retry=retry)
    watch = Watch(lab)
    watch.look()
    chosen = choose_device(device) if found.packs else "cpu"
    publish_members(lab, resolved)
    n_run = 0
    if found.packs:
        every_s = CHECKPOINT_EVERY_S if checkpoint_every_s is None else checkpoint_every_s
        work = _Work(lab, uuid.uuid4().hex, chosen, pack, every_s, told)
        told.phase("starting Ray")
        try:
            with cluster(address) as folder:
                n_run = _run(work, found, retry, watch, folder)
        finally:
            with contextlib.suppress(LabError):  # a lab that cannot be written has told so already
                release(lab, work.sweep_id)
        if keep == "best":
            keep_best(lab, found)
    drop_finished_manifests(lab)
    return Outcome(found, n_run, failures(lab, resolved), time.monotonic() - started)


@dataclass(frozen=True)
class _Work:
    """What every pack of a sweep has in common."""

    lab: Lab
    sweep_id: str
    device: str
    pack: int | None
    checkpoint_every_s: float
    progress: Progress


def _run(work: _Work, found: Plan, retry: bool, watch: Watch, folder: Path) -> int:
    """Makes the models, then runs packs until none is missing; returns how many trials were run here."""
    import ray

    samples = {
        (domain.name, side): ray.put(domain.load(side)) for side, domain in zip(SIDES, found.study.pair, strict=True)
    }
    n_models = len(found.judges) + len(found.jobs)
    work.progress.models(0, n_models)
    for done, _ in enumerate(_make_models(work.lab, found, samples), 1):
        work.progress.models(done, n_models)
    n_run, tried = 0, set[str]()
    while True:
        states = watch.settle()
        live = {pack_id for pack_id, state in states.items() if state == "live"}
        elsewhere = frozenset(t for m in manifests(work.lab) if m["pack_id"] in live for t in m["trials"])
        found = plan(found.study, lab=work.lab, pack=work.pack, retry=retry, elsewhere=elsewhere)
        if again := tried & {pack.pack_id for pack in found.packs}:
            raise LabError(f"packs {', '.join(sorted(again))} left no result; look at what they hold, and run again")
        if found.packs:
            n_run += _run_packs(work, found, samples, set(states) - live, folder)
            tried |= {pack.pack_id for pack in found.packs if any(entry.trained for entry in pack.entries)}
            retry = False  # what fails again waits for the next request
        elif found.n_elsewhere:
            work.progress.phase(f"waiting for {found.n_elsewhere} trials of another sweep")
            time.sleep(BEAT_S)
        else:
            return n_run


def _make_models(lab: Lab, found: Plan, samples: Mapping[tuple[str, Side], Any]) -> Iterator[ModelSpec]:
    """Judges and base models side by side; yields each spec when it is done.

    A base model trains while its judge still does, and waits for it at the end.
    """
    import ray

    judge_task, base_task = ray.remote(num_cpus=1)(_judge_task), ray.remote(num_cpus=1)(_base_model_task)
    by_domain = {domain: ref for (domain, _), ref in samples.items()}
    judges = {spec: judge_task.remote(lab.address, spec, by_domain[spec.domain]) for spec in found.judges}
    pending = {ref: spec for spec, ref in judges.items()}
    for job in found.jobs:
        judge = [judges[job.judge]] if job.judge in judges else []
        pending[base_task.remote(lab.address, job, samples[job.spec.domain, job.side], judge)] = job.spec
    while pending:
        done, _ = ray.wait(list(pending), num_returns=1)
        _get(done[0])
        yield pending.pop(done[0])


def _get(ref: Any) -> Any:
    """What a task returned; what it raised, as it was raised."""
    import ray

    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def _judge_task(address: str, spec: ModelSpec, samples: Mapping[Split, Samples]) -> None:
    import torch

    from .base_models import pretrain

    torch.set_num_threads(1)
    pretrain.make_judge(Lab(address), spec, samples)


def _base_model_task(address: str, job: BaseModelJob, samples: Mapping[Split, Samples], judge: list[Any]) -> None:
    import ray
    import torch

    from . import latents
    from .base_models import checkpoint, pretrain

    torch.set_num_threads(1)
    lab = Lab(address)
    pretrain.make_base_model(lab, job, samples, wait_for_judge=lambda: ray.get(judge))
    base = checkpoint.load_base_model(lab, job.spec, get_domain(job.spec.domain))
    latents.make(lab, job.spec.latents_id, base, samples)


class _ObjectStore:
    """Latents and samples from Ray's object store, as a worker finds them."""

    def __init__(self, latents: Mapping[str, Any], samples: Mapping[tuple[str, Side], Any]) -> None:
        self._latents, self._samples = latents, samples

    def latents(self, latents_id: str) -> Any:
        import ray

        return ray.get(self._latents[latents_id])

    def samples(self, domain: str, side: Side) -> Any:
        import ray

        return ray.get(self._samples[domain, side])


def _train_pack(
    config: Mapping[str, str],
    packs: Mapping[str, PackPlan],
    store: _ObjectStore,
    manifests: Mapping[str, Any],
    adoptable: set[str],
    sweep_id: str,
    address: str,
    device: str,
    checkpoint_every_s: float,
) -> None:
    """The trainable: a pack by its id. Reports steps done, and at the end the rows."""
    import torch
    from ray import tune

    from .trial import Checkpoint, Setting, Surroundings, run_pack

    torch.set_num_threads(1)
    pack, lab = packs[config["pack"]], Lab(address)
    n_new = sum(not entry.trained for entry in pack.entries)
    reported = time.monotonic()

    def on_chunk(step: int) -> None:
        nonlocal reported
        lease.at(step * n_new, pack.n_steps)
        if time.monotonic() - reported > REPORT_EVERY_S:
            reported = time.monotonic()
            tune.report({"steps": step * n_new})

    try:
        taken = Lease.take(lab, pack.pack_id, manifests[pack.pack_id], sweep_id, adoptable)
        if taken is None:
            tune.report({"elsewhere": True})
            return
        with taken as lease:
            checkpoint = Checkpoint(lab, f"packs/{pack.pack_id}", checkpoint_every_s)
            rows = run_pack(Setting(pack.pack_id, device, checkpoint, on_chunk), pack.entries, Surroundings(lab, store))
            lease.check()
            tune.report({"steps": pack.n_steps, "rows": {table: _to_ipc(data) for table, data in rows.items()}})
    except LostLeaseError:
        tune.report({"elsewhere": True})
    except LabError as error:
        tune.report({"lab_error": str(error)})


def _run_packs(
    work: _Work, found: Plan, samples: Mapping[tuple[str, Side], Any], adoptable: set[str], folder: Path
) -> int:
    """Runs the packs of a plan; returns how many trials were run, and not by another sweep meanwhile."""
    import ray
    from ray import tune

    from . import latents

    lab, packs = work.lab, {pack.pack_id: pack for pack in found.packs}
    needed = {s.latents_id for p in found.packs for e in p.entries for s in (e.spec.base_a, e.spec.base_b)}
    board = _Board(lab, packs, work.progress)
    trainable = tune.with_parameters(
        _train_pack,
        packs=packs,
        store=_ObjectStore({name: ray.put(latents.read(lab, name)) for name in sorted(needed)}, samples),
        manifests={pack_id: manifest(found.study.study.name, pack) for pack_id, pack in packs.items()},
        adoptable=adoptable,
        sweep_id=work.sweep_id,
        address=lab.address,
        device=work.device,
        checkpoint_every_s=work.checkpoint_every_s,
    )
    resources = {"cpu": 1, "gpu": 1} if work.device == "cuda" else {"cpu": 1}
    tuner = tune.Tuner(
        tune.with_resources(trainable, resources),
        param_space={"pack": tune.grid_search(list(packs))},
        tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=lambda trial: str(trial.trial_id)),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex[:8],
            storage_path=str(folder / "tune"),
            callbacks=[_callback(board)],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=1),
        ),
    )
    tuner.fit()
    if board.lab_error:
        raise LabError(board.lab_error)
    return board.n_done


class _Board:
    """What packs report: their rows are published at once. After a lab's first error nothing more is tried."""

    def __init__(self, lab: Lab, packs: Mapping[str, PackPlan], progress: Progress) -> None:
        self._lab, self._packs, self._progress = lab, packs, progress
        self._steps = dict.fromkeys(packs, 0)
        self.lab_error: str | None = None
        self.n_done = 0
        self._tell()

    def take(self, pack_id: str, result: dict[str, Any]) -> None:
        """A report of a pack: steps, and at its end rows or the error of a lab."""
        self.lab_error = self.lab_error or result.get("lab_error")
        if "rows" in result:
            tables = {table: _from_ipc(table, data) for table, data in result.pop("rows").items()}
            self._publish(self._packs[pack_id], tables)
        self._steps[pack_id] = result.get("steps", self._steps[pack_id])
        self._tell()

    def lose(self, pack_id: str) -> None:
        """A pack whose worker died more often than it is started again."""
        self._publish(self._packs[pack_id], {"trials": lost_rows(self._packs[pack_id])})
        self._tell()

    def _publish(self, pack: PackPlan, tables: Mapping[str, pa.Table]) -> None:
        if self.lab_error is not None:
            return
        try:
            publish_rows(self._lab, pack, tables)
            self.n_done += len(pack.entries)
        except LabError as error:
            self.lab_error = str(error)

    def _tell(self) -> None:
        n_steps = sum(pack.n_steps for pack in self._packs.values())
        n_trials = sum(len(pack.entries) for pack in self._packs.values())
        self._progress.steps(sum(self._steps.values()), n_steps, self.n_done, n_trials)


def _callback(board: _Board) -> Any:
    from ray import tune

    class Callback(tune.Callback):  # type: ignore[misc]
        """Tune's side of the board."""

        def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[()]]:
            """Tune pickles its callbacks for a restore that is never made; ours holds open files and locks."""
            return dict, ()

        def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
            board.take(trial.config["pack"], result)

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            board.lose(trial.config["pack"])

    return Callback()


def _to_ipc(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.unify_dictionaries())
    return sink.getvalue()


def _from_ipc(table: str, data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all().cast(SCHEMAS[table])
