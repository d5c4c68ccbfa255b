"""Packs on Ray Tune, one pack a trial.

The driver alone writes rows (`publication`); workers write models, latents and bridges.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .board import Board, Progress
from .config import SIDES, Side, canonical_json
from .domains import use_own
from .errors import LabError
from .lab import Lab
from .lease import Lease, LostLeaseError, Watch
from .patience import LATER_S
from .planning import PackPlan, manifests
from .pretraining import Pretraining, make_models
from .publication import manifest, parts_of
from .results import Results
from .session import n_slots
from .shelf import OnTheShelf, Shelf
from .specs import BaseModelJob, Entry, ModelSpec, TrialSpec
from .study import ResolvedStudy
from .user_file import UserFile

REPORT_EVERY_S = 0.5
MOST_REPORTS_PER_S = 50
"""Of all packs together: a pack waits until the driver has taken its report, and the driver takes one at a time."""
MOST_PENDING = 64
"""So many workers are started at once. Tune would start one, wait for it, and then start the next."""
MOST_DEATHS = 4
"""A pack whose worker died so often is lost."""

Samples = Mapping[tuple[str, Side], Any]
"""By domain and side: samples by split, or a reference to them in Ray's object store."""


@dataclass(frozen=True)
class Work:
    """What all packs of a sweep have in common."""

    lab: Lab
    sweep_id: str
    folder: Path
    "temporary, of Ray"
    watch: Watch
    samples: Samples
    device: str
    address: str | None
    "of the Ray cluster; None: a local one"
    pack: int | None
    workers: int
    checkpoint_every_s: float
    progress: Progress
    cores: int = 1
    "CPU cores of a pack"

    @property
    def n_side_by_side(self) -> int:
        """How many packs run at once."""
        return max(1, n_slots(self.device, self.address) // self.cores)

    @property
    def report_every_s(self) -> float:
        """How often a pack says how far it is: the more packs at once, the less often each."""
        return max(REPORT_EVERY_S, self.n_side_by_side / MOST_REPORTS_PER_S)

    @property
    def resources(self) -> dict[str, int]:
        """What a pack asks of a node: any node with one idle GPU, or with idle cores, can take any pack."""
        return {"cpu": self.cores} | ({"gpu": 1} if self.device == "cuda" else {})

    def elsewhere(self) -> tuple[frozenset[str], set[str]]:
        """The trials that live in another sweep's packs just now, and the packs that nobody lives in."""
        states = self.watch.settle()
        live = {pack_id for pack_id, state in states.items() if state == "live"}
        trials = frozenset(t for m in manifests(self.lab) if m["pack_id"] in live for t in m["trials"])
        return trials, set(states) - live


def mark_of(sweep_id: str) -> str:
    """What stands in the lab while a sweep makes models for a run that is not told of yet."""
    return f"training/{sweep_id}.sweep"


def loaded(study: ResolvedStudy) -> Samples:
    """The samples of a study's pair."""
    return {(d.name, side): d.load(side) for side, d in zip(SIDES, study.pair, strict=True)}


def put(samples: Samples) -> Samples:
    """Samples in Ray's object store."""
    import ray

    return {whose: ray.put(of_splits) for whose, of_splits in samples.items()}


def prepare(work: Work, study: ResolvedStudy, judges: Sequence[ModelSpec], jobs: Sequence[BaseModelJob]) -> None:
    """Makes judges, base models and latents."""
    specs = [*judges, *(job.spec for job in jobs)]
    models = [spec.model_id for spec in specs if spec.config is not None]
    drawn = [job.spec.latents_id for job in jobs if job.spec.drawn is not None]
    told = {"study": study.study.name, "study_id": study.study_id, "models": models, "drawn": drawn}
    work.lab.publish(mark_of(work.sweep_id), canonical_json(told).encode())
    work.progress.models(0, len(specs))
    wanted = Pretraining(
        lab=work.lab,
        study=study,
        judges=judges,
        jobs=jobs,
        samples=work.samples,
        folder=work.folder,
        workers=work.workers,
        slots=n_slots(work.device, work.address),
        every_s=work.checkpoint_every_s,
        device=work.device,
    )
    for done, _ in enumerate(make_models(wanted), 1):
        work.progress.models(done, len(specs))
    work.lab.remove(mark_of(work.sweep_id))


class ObjectStore:
    """Latents, samples and the files of models from Ray's object store, to which each node copies them once."""

    def __init__(self, latents: Mapping[str, Any], samples: Samples, files: Mapping[str, Any]) -> None:
        self._latents, self._samples, self._files = latents, samples, files

    def lab(self, address: str) -> Lab:
        """A worker's lab, of which some files came along."""
        return _Equipped(address, self._files)

    def latents(self, latents_id: str) -> Any:
        import ray

        return ray.get(self._latents[latents_id])

    def samples(self, domain: str, side: Side) -> Any:
        import ray

        return ray.get(self._samples[domain, side])


class _Equipped(Lab):
    """A lab of which some published files are in Ray's object store."""

    def __init__(self, address: str, files: Mapping[str, Any]) -> None:
        super().__init__(address, LATER_S)
        self._files = files

    def read(self, path: str, most_bytes: int | None = None) -> bytes:
        import ray

        return bytes(ray.get(self._files[path])) if path in self._files else super().read(path, most_bytes)


def _train_pack(
    config: Mapping[str, str],
    shelf: Shelf,
    store: ObjectStore,
    sweep_id: str,
    address: str,
    device: str,
    checkpoint_every_s: float,
    report_every_s: float,
    files: tuple[UserFile, ...],
) -> None:
    """The trainable: a pack by its id. Reports steps done, and at the end the parts that hold its rows."""
    import torch
    from ray import tune

    from .memory import keep_freed
    from .trial import PackCheckpoint, Runtime, Surroundings, run_leg, run_pack

    torch.set_num_threads(1)
    keep_freed()
    for file in files:
        use_own(file)
    lab, taken_down = store.lab(address), shelf.take(config["pack"])
    pack = taken_down.pack
    n_new, first = sum(not entry.trained for entry in pack.entries), pack.leg.start if pack.leg else 0
    reported = time.monotonic()

    def on_chunk(step: int) -> None:
        nonlocal reported
        done = max(0, step - first) * n_new
        lease.at(done, pack.n_steps)
        if time.monotonic() - reported > report_every_s:
            reported = time.monotonic()
            tune.report({"steps": done})

    try:
        taken = Lease.take(
            lab, pack.pack_id, taken_down.manifest, sweep_id, {pack.pack_id} if taken_down.may_adopt else ()
        )
        if taken is None:
            tune.report({"elsewhere": True})
            return
        if _is_done(lab, pack):
            lab.remove(f"packs/{pack.pack_id}")  # another sweep published it after we planned
            tune.report({"elsewhere": True})
            return
        with taken as lease:
            checkpoint = PackCheckpoint(lab, f"packs/{pack.pack_id}", checkpoint_every_s, device)
            runtime = Runtime(pack.pack_id, device, checkpoint, on_chunk)
            around = Surroundings(lab, store)
            if pack.leg is not None and not pack.leg.is_last:
                met = run_leg(runtime, pack.entries, around, pack.leg)
                lease.check()
                tune.report({"steps": pack.n_steps, "met": met})
                return
            found = run_pack(runtime, pack.entries, around, pack.leg)
            lease.check()
        # The lease beats no more: whoever reads the report removes its folder.
        unevaluated = {trial_id: (f.kind, f.text) for trial_id, f in found.unevaluated.items()}
        tune.report({"steps": pack.n_steps, "parts": parts_of(found.rows), "unevaluated": unevaluated})
        with contextlib.suppress(Exception):  # the driver makes those that are missing in the end, and tells why
            _make_panels(lab, pack, taken_down.shown, store)
    except LostLeaseError:
        tune.report({"elsewhere": True})
    except LabError as error:
        tune.report({"lab_error": str(error)})


def _make_panels(lab: Lab, pack: PackPlan, shown: frozenset[str], store: ObjectStore) -> None:
    from . import panels

    for spec in (entry.spec for entry in pack.entries if entry.spec.trial_id in shown):
        if lab.exists(f"bridges/{spec.trial_id}.safetensors") and not lab.exists(f"panels/{spec.trial_id}.parquet"):
            domains: dict[Side, str] = {"a": spec.base_a.domain, "b": spec.base_b.domain}
            samples = {side: store.samples(domain, side)["test"] for side, domain in domains.items()}
            panels.make(lab, samples, [spec.trial_id])


def _is_done(lab: Lab, pack: PackPlan) -> bool:
    if pack.leg is not None and not pack.leg.is_last:
        leg, met = pack.leg, Results(lab).met()
        return all((leg.search_id, leg.generation, leg.rung + 1, e.spec.trial_id) in met for e in pack.entries)
    new = [entry for entry in pack.entries if not entry.trained]
    if not new or not (lab.exists(f"results/trials/part-{pack.pack_id}.parquet") or _have_bridges(lab, new)):
        return False  # two files tell, where each pack of a large sweep would read the parts of all others
    attempts = Results(lab).latest_attempts()
    return all(attempts.get(e.spec.trial_id, {"attempt": -1})["attempt"] >= e.attempt for e in new)


def _have_bridges(lab: Lab, entries: Iterable[Entry]) -> bool:
    return all(lab.exists(f"bridges/{entry.spec.trial_id}.safetensors") for entry in entries)


@dataclass(frozen=True)
class Batch:
    """Packs that may run side by side."""

    packs: tuple[PackPlan, ...]
    adoptable: set[str]
    "of packs that have begun: those that nobody lives in"
    shown: frozenset[str] = frozenset()
    "trials that have panels in the report"


def run_packs(
    work: Work, board: Board, study: ResolvedStudy, trials: Iterable[TrialSpec], batches: Iterator[Batch], n_kept: int
) -> None:
    """Runs batch after batch of packs in one Ray Tune run; the board hears of them.

    The next batch is asked for when the one before is done, and so many workers (`n_kept`) wait for it. `trials`
    have all the latents that packs are made of. Raises LabError where the lab cannot be read or written.
    """
    import ray
    from ray import tune
    from ray.tune.execution import class_cache

    from . import latents

    trials = list(trials)
    needed = {base.latents_id for trial in trials for base in (trial.base_a, trial.base_b)}
    models = {m for t in trials for m in (t.base_a, t.base_b, t.judge_a, t.judge_b) if m.is_trained}
    weights = {f"models/{model.model_id}/model.safetensors" for model in models}
    shelf = Shelf(work.sweep_id)

    def fill(batch: Batch) -> None:
        name, adoptable = study.study.name, batch.adoptable

        def shown_of(pack: PackPlan) -> frozenset[str]:
            return batch.shown.intersection(entry.spec.trial_id for entry in pack.entries)

        shelf.fill(OnTheShelf(p, manifest(name, p), p.pack_id in adoptable, shown_of(p)) for p in batch.packs)

    feed = _Feed(batches, board, fill)
    trainable = tune.with_parameters(
        _train_pack,
        shelf=shelf,
        store=ObjectStore(
            {name: ray.put(latents.read(work.lab, name)) for name in sorted(needed)},
            work.samples,
            {path: ray.put(work.lab.read(path)) for path in sorted(weights)},
        ),
        sweep_id=work.sweep_id,
        address=work.lab.address,
        device=work.device,
        checkpoint_every_s=work.checkpoint_every_s,
        report_every_s=work.report_every_s,
        files=study.domain_files,
    )
    class_cache.DEFAULT_ENV_VARS.clear()  # with an environment of its own a pack could not take a worker that waits
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(work.n_side_by_side, MOST_PENDING))
    tuner = tune.Tuner(
        tune.with_resources(trainable, work.resources),
        tune_config=tune.TuneConfig(
            search_alg=_searcher(feed),
            scheduler=_scheduler(n_kept),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex[:8],
            storage_path=str(work.folder / "tune"),
            callbacks=[_callback(board)],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=MOST_DEATHS - 1),
        ),
    )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what a worker died of is told by the board
    try:
        tuner.fit()
    finally:
        shelf.clear()
    if feed.error is not None:
        raise feed.error
    if board.lab_error:
        raise LabError(board.lab_error)


class _Feed:
    """What Tune asks for packs: batch after batch, the next one when the one before is done."""

    def __init__(self, batches: Iterator[Batch], board: Board, fill: Callable[[Batch], None]) -> None:
        self._batches, self._board, self._fill = batches, board, fill
        self._waiting: list[str] = []
        self._running: set[str] = set()
        self.error: Exception | None = None
        "what the batches raised: Tune would only log it"

    def has_ended(self) -> bool:
        """Whether no pack waits or runs, and no batch is left."""
        return not self._waiting and not self._running and not self._next_batch()

    def start(self, trial_id: str) -> dict[str, str] | None:
        """The pack that a trial of Tune is to be; None while the batch is done but for what runs."""
        if not self._waiting:
            return None
        self._running.add(trial_id)
        return {"pack": self._waiting.pop(0)}

    def end(self, trial_id: str) -> None:
        self._running.discard(trial_id)

    def _next_batch(self) -> bool:
        try:
            batch = None if self._board.lab_error else next(self._batches, None)
        except Exception as error:
            self.error, batch = error, None
        if batch is not None:
            self._board.expect(batch.packs)
            self._fill(batch)
            self._waiting = [pack.pack_id for pack in batch.packs]
        return batch is not None


def _searcher(feed: _Feed) -> Any:
    from ray import tune

    class Packs(tune.search.Searcher):  # type: ignore[misc]
        """Tune's side of the feed: a suggestion is the id of a pack."""

        def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[()]]:
            """As that of the callback."""
            return dict, ()

        def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
            """There is nothing for Tune to restore: the lab has it all."""

        def suggest(self, trial_id: str) -> Any:
            return tune.search.Searcher.FINISHED if feed.has_ended() else feed.start(trial_id)

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            feed.end(trial_id)

    return Packs()


def _scheduler(n_kept: int) -> Any:
    from ray import tune

    class InTurn(tune.schedulers.FIFOScheduler):  # type: ignore[misc]
        """Keeps workers that have nothing to do, where Tune keeps one: a batch may be shorter than a worker's start."""

        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            nonlocal n_kept
            tune_controller._actor_cache.increase_max(trial.placement_group_factory, by=n_kept)
            n_kept = 0

    return InTurn()


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
