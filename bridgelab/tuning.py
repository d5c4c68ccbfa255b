"""Packs on Ray Tune, one pack a trial.

The driver alone writes rows (`publication`); workers write models, latents and bridges.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .board import Board, Progress
from .config import canonical_json
from .errors import LabError
from .feed import Batch, Feed, callback, scheduler, searcher
from .lab import Lab
from .lease import Watch
from .object_store import ObjectStore, Samples
from .planning import PackPlan, manifests
from .pretraining import Pretraining, make_models
from .publication import manifest
from .session import n_slots
from .shelf import OnTheShelf, Shelf
from .specs import BaseModelJob, ModelSpec, TrialSpec
from .study import ResolvedStudy
from .trainable import train_pack

REPORT_EVERY_S = 0.5
MOST_REPORTS_PER_S = 50
"""Of all packs together: a pack waits until the driver has taken its report, and the driver takes one at a time."""
MOST_PENDING = 64
"""So many workers are started at once. Tune would start one, wait for it, and then start the next."""
MOST_DEATHS = 4
"""A pack whose worker died so often is lost."""


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

    feed = Feed(batches, board, fill)
    trainable = tune.with_parameters(
        train_pack,
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
            search_alg=searcher(feed),
            scheduler=scheduler(n_kept),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex[:8],
            storage_path=str(work.folder / "tune"),
            callbacks=[callback(board)],
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
