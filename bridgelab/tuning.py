"""A plan on Ray: base models as tasks side by side, then packs as Ray Tune trials, one pack a trial.

The driver alone writes rows (`publication`); workers write models, latents and bridges.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .board import Board, Progress, Silent, to_ipc
from .config import CHECKPOINT_EVERY_S, SIDES, Side, Study, canonical_json
from .domains import use_own
from .errors import InvalidValueError, LabError
from .lab import Lab
from .lease import BEAT_S, Lease, LostLeaseError, Watch, release
from .planning import PackPlan, Plan, manifests, plan
from .pretraining import make_models
from .publication import (
    drop_finished_packs,
    failures,
    keep_best,
    manifest,
    publish_members,
)
from .results import Results
from .session import check, check_workers, choose_device, cluster, n_slots
from .study import ResolvedStudy, Selection, resolve
from .user_file import UserFile

KEEP = ("all", "tables", "best")
REPORT_EVERY_S = 0.5
MOST_DEATHS = 4
"""A pack whose worker died so often is lost."""


@dataclass(frozen=True)
class Outcome:
    """A sweep after it ran."""

    plan: Plan
    "as it was before anything ran"
    n_run: int
    "trials that were trained or evaluated"
    failed: Mapping[str, tuple[str, str]]
    "trial_id of this study -> (failure class, text), of training or of evaluation"
    seconds: float

    @property
    def exit_status(self) -> int:
        """0 every trial is there, whoever ran it; 1 some failed."""
        return 1 if self.failed else 0


def sweep(
    study: str | Study | ResolvedStudy,
    *,
    lab: str | Lab = "./lab",
    selection: Selection | None = None,
    data: str | Path | None = None,
    pack: int | None = None,
    retry: bool = False,
    address: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    workers: int = 1,
    keep: str = "all",
    checkpoint_every_s: float | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Everything of a study that is missing in a lab: judges, base models, latents, packs, rows.

    Trials that the lab has are not run again, from whichever study they come. A sweep that was stopped,
    in whatever way, goes on from its checkpoints; two sweeps on one lab share the work. `address` is that
    of a Ray cluster (None: a local one is started and ended), and `workers` of Ray Train share each base
    model. Raises ClusterError for a cluster or device that cannot be had, LabError for a lab that cannot
    be read or written.
    """
    started = time.monotonic()
    lab = Lab.of(lab)
    if keep not in KEEP:
        raise InvalidValueError(f"--keep {keep}: give one of {', '.join(KEEP)}")
    if not isinstance(workers, int) or workers < 1:
        raise InvalidValueError(f"--workers {workers}: give a whole number, 1 or more")
    if checkpoint_every_s is not None and not checkpoint_every_s >= 0:
        raise InvalidValueError(f"--checkpoint-every {checkpoint_every_s}: give seconds, 0 or more")
    check(address, device)
    told = progress or Silent()
    resolved = study if isinstance(study, ResolvedStudy) else resolve(study, selection, data)
    lab.check_writable()
    for name in Results(lab).set_aside_damaged():
        told.phase(f"set aside {name}")
    found = plan(resolved, lab=lab, pack=pack, retry=retry)
    watch = Watch(lab)
    watch.look()
    chosen = choose_device(device) if found.packs else "cpu"
    ran = _Ran()
    if found.packs:
        every_s = CHECKPOINT_EVERY_S if checkpoint_every_s is None else checkpoint_every_s
        work = _Work(lab, uuid.uuid4().hex, chosen, pack, workers, every_s, told)
        told.phase("starting Ray")
        try:
            with cluster(address) as folder:
                ran = _run(work, found, retry, watch, folder)
        finally:
            with contextlib.suppress(LabError):  # a lab that cannot be written has told so already
                release(lab, work.sweep_id)
                lab.remove(work.mark)
        if keep == "best":
            keep_best(lab, resolved, ran.trained)
    else:
        publish_members(lab, resolved)
    drop_finished_packs(lab)
    n_run = len(ran.trained | ran.evaluated)
    return Outcome(found, n_run, failures(lab, resolved) | ran.unevaluated, time.monotonic() - started)


@dataclass(frozen=True)
class _Ran:
    """What a sweep did itself, and not another one beside it."""

    trained: set[str] = field(default_factory=set)
    evaluated: set[str] = field(default_factory=set)
    unevaluated: dict[str, tuple[str, str]] = field(default_factory=dict)
    "trial_id -> (failure class, text) of trials whose predictions could not be made"

    def __or__(self, board: Board) -> _Ran:
        return _Ran(
            self.trained | board.trained, self.evaluated | board.evaluated, self.unevaluated | board.unevaluated
        )


@dataclass(frozen=True)
class _Work:
    """What every pack of a sweep has in common."""

    lab: Lab
    sweep_id: str
    device: str
    pack: int | None
    workers: int
    checkpoint_every_s: float
    progress: Progress

    @property
    def mark(self) -> str:
        """What stands in the lab while models are made for a run that is not told of yet."""
        return f"training/{self.sweep_id}.sweep"


def _run(work: _Work, found: Plan, retry: bool, watch: Watch, folder: Path) -> _Ran:
    """Makes the models, then runs packs until none is missing."""
    import ray

    check_workers(work.lab)
    samples = {
        (domain.name, side): ray.put(domain.load(side)) for side, domain in zip(SIDES, found.study.pair, strict=True)
    }
    work.lab.publish(work.mark, _wanted(found))
    n_models = len(found.judges) + len(found.jobs)
    work.progress.models(0, n_models)
    made = make_models(work.lab, found, samples, folder, work.workers, work.checkpoint_every_s, work.device)
    for done, _ in enumerate(made, 1):
        work.progress.models(done, n_models)
    publish_members(work.lab, found.study)  # not before: models that cannot be made are no run
    work.lab.remove(work.mark)
    ran, tried = _Ran(), set[str]()
    while True:
        states = watch.settle()
        live = {pack_id for pack_id, state in states.items() if state == "live"}
        found = _plan_again(work, found, live, frozenset(ran.unevaluated), retry)
        if again := tried & {pack.pack_id for pack in found.packs}:
            raise LabError(f"packs {', '.join(sorted(again))} left no result; look at what they hold, and run again")
        if found.packs:
            board = _run_packs(work, found, samples, set(states) - live, folder)
            ran |= board
            tried |= {pack.pack_id for pack in found.packs if any(entry.trained for entry in pack.entries)}
            retry = False  # what fails again waits for the next request
        elif found.n_elsewhere:
            work.progress.phase(f"waiting for {found.n_elsewhere} trials of another sweep")
            time.sleep(BEAT_S)
        else:
            return ran


def _wanted(found: Plan) -> bytes:
    """For whom models are made, and which: what `status` tells meanwhile."""
    specs = [*found.judges, *(job.spec for job in found.jobs)]
    models = [spec.model_id for spec in specs if spec.config is not None]
    return canonical_json(
        {"study": found.study.study.name, "study_id": found.study.study_id, "models": models}
    ).encode()


def _plan_again(work: _Work, found: Plan, live: set[str], left_out: frozenset[str], retry: bool) -> Plan:
    """What is still missing, without what lives in another sweep's packs."""
    elsewhere = frozenset(t for m in manifests(work.lab) if m["pack_id"] in live for t in m["trials"])
    return plan(
        found.study,
        lab=work.lab,
        pack=work.pack,
        n_workers=n_slots(work.device),
        device=work.device,
        retry=retry,
        elsewhere=elsewhere,
        left_out=left_out,
    )


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
    files: tuple[UserFile, ...],
) -> None:
    """The trainable: a pack by its id. Reports steps done, and at the end the rows."""
    import torch
    from ray import tune

    from .trial import PackCheckpoint, Runtime, Surroundings, run_pack

    torch.set_num_threads(1)
    for file in files:
        use_own(file)
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
        if _is_done(lab, pack):
            lab.remove(f"packs/{pack.pack_id}")  # another sweep published it after we planned
            tune.report({"elsewhere": True})
            return
        with taken as lease:
            checkpoint = PackCheckpoint(lab, f"packs/{pack.pack_id}", checkpoint_every_s)
            runtime = Runtime(pack.pack_id, device, checkpoint, on_chunk)
            found = run_pack(runtime, pack.entries, Surroundings(lab, store))
            lease.check()
        # The lease beats no more: whoever reads the report removes its folder.
        rows = {table: to_ipc(data) for table, data in found.rows.items()}
        unevaluated = {trial_id: (f.kind, f.text) for trial_id, f in found.unevaluated.items()}
        tune.report({"steps": pack.n_steps, "rows": rows, "unevaluated": unevaluated})
    except LostLeaseError:
        tune.report({"elsewhere": True})
    except LabError as error:
        tune.report({"lab_error": str(error)})


def _is_done(lab: Lab, pack: PackPlan) -> bool:
    attempts = Results(lab).latest_attempts()
    new = [entry for entry in pack.entries if not entry.trained]
    return bool(new) and all(attempts.get(e.spec.trial_id, {"attempt": -1})["attempt"] >= e.attempt for e in new)


def _run_packs(
    work: _Work, found: Plan, samples: Mapping[tuple[str, Side], Any], adoptable: set[str], folder: Path
) -> Board:
    """Runs the packs of a plan; returns what they reported."""
    import ray
    from ray import tune

    from . import latents

    lab, packs = work.lab, {pack.pack_id: pack for pack in found.packs}
    needed = {s.latents_id for p in found.packs for e in p.entries for s in (e.spec.base_a, e.spec.base_b)}
    board = Board(lab, packs, work.progress)
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
        files=found.study.domain_files,
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
            failure_config=tune.FailureConfig(max_failures=MOST_DEATHS - 1),
        ),
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what a worker died of is told by the board
    tuner.fit()
    if board.lab_error:
        raise LabError(board.lab_error)
    return board


def _callback(board: Board) -> Any:
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
