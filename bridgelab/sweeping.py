"""A sweep: base models, then packs until nothing is missing; of a search, its generations before that.

The driver alone writes rows (`publication`); workers write models, latents and bridges.
"""

from __future__ import annotations

import contextlib
import functools
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from .board import Board, Progress, Silent
from .config import CHECKPOINT_EVERY_S, Search, Study
from .errors import InvalidValueError, LabError
from .feed import Batch
from .history import History
from .lab import Lab
from .lease import BEAT_S, Watch, release
from .object_store import Samples, loaded, put
from .planning import Plan, missing_jobs, missing_models, plan
from .publication import drop_finished_packs, failures, keep_best, keep_members, publish_members
from .rehearsal import Place, measure_pack_sizes
from .results import Results
from .search import ResolvedSearch, resolve_any
from .searching import confirmation_of, legs, publish_meeting
from .session import check, check_workers, choose_device, cluster
from .sides import base_model, judge
from .specs import BaseModelJob, TrialSpec
from .study import ResolvedStudy, Selection, resolve
from .tuning import Work, mark_of, prepare, run_packs
from .wavegan_config import WaveGANConfig

Kept = Callable[[Lab, ResolvedStudy, Iterable[str]], None]
KEEP: Mapping[str, Kept] = {"all": lambda *of_a_sweep: None, "tables": keep_members, "best": keep_best}
"""What lets go of the bridges of trials that a sweep has trained."""


@dataclass(frozen=True)
class Outcome:
    """A sweep after it ran."""

    plan: Plan
    "as it was before anything ran; of a search, once it was known what confirms it"
    n_run: int
    "trials that were trained or evaluated"
    n_cached: int
    "trials that were there, whoever ran them"
    n_searched: int
    "trials of a search that were trained, to a rung at least"
    failed: Mapping[str, tuple[str, str]]
    "trial_id of this study -> (failure class, text), of training or of evaluation"
    seconds: float

    @property
    def exit_status(self) -> int:
        """0 every trial is there, whoever ran it; 1 some failed."""
        return 1 if self.failed else 0


def sweep(
    study: str | Study | Search | ResolvedStudy | ResolvedSearch,
    *,
    lab: str | Lab = "./lab",
    selection: Selection | None = None,
    data: str | Path | None = None,
    generations: int | None = None,
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

    Of a search: its generations, of which there can be more than it says (`generations`), and then the
    study that confirms what was found. Trials that the lab has are not run again, from whichever study
    they come. A sweep that was stopped, in whatever way, goes on from its checkpoints; two sweeps on one
    lab share the work. `address` is that of a Ray cluster (None: a local one is started and ended), and
    `workers` of Ray Train share each base model. Raises ClusterError for a cluster or device that cannot
    be had, LabError for a lab that cannot be read or written.
    """
    started = time.monotonic()
    lab, told = Lab.of(lab), progress or Silent()
    _check(keep, workers, checkpoint_every_s)
    check(address, device)
    asked = resolve_any(study, selection, data, generations)
    wanted = History(lab, asked, retry=retry) if isinstance(asked, ResolvedSearch) else asked
    start = asked.start if isinstance(asked, ResolvedSearch) else asked
    lab.check_writable()
    Results(lab).set_aside_damaged()
    watch = Watch(lab)
    watch.look()
    resolved = confirmation_of(wanted) if isinstance(wanted, History) else wanted
    found = None if resolved is None else plan(resolved, lab=lab, pack=pack, retry=retry)
    meeting = functools.partial(publish_meeting, wanted) if isinstance(wanted, History) else None
    board = Board(lab, told, meeting)
    if found is None or found.packs:
        sweep_id = uuid.uuid4().hex
        every_s = CHECKPOINT_EVERY_S if checkpoint_every_s is None else checkpoint_every_s
        told.phase("starting Ray")
        try:
            with _ray(lab, start, address) as (folder, samples):
                chosen = choose_device(device, address)
                work = Work(lab, sweep_id, folder, watch, samples, chosen, address, pack, workers, every_s, told)
                trials = _prepare(work, wanted, found)
                if pack is None:
                    place = Place(lab, chosen, work.n_side_by_side, start.domain_files)
                    cores = measure_pack_sizes(place, trials, told.phase)
                    work = replace(work, cores=cores if address is None else 1)  # a node may have one core only
                # Of a study, whoever is done makes room for others: there is hardly ever a second batch.
                n_kept = work.n_side_by_side if isinstance(wanted, History) else 0
                run_packs(work, board, start, trials, _batches(work, wanted, retry, board), n_kept)
        finally:
            with contextlib.suppress(LabError):  # a lab that cannot be written has told so already
                release(lab, sweep_id)
                lab.remove(mark_of(sweep_id))
        if isinstance(wanted, History):
            resolved = confirmation_of(wanted)
        assert resolved is not None
        found = found or plan(resolved, lab=lab)
        KEEP[keep](lab, resolved, board.trained)
    else:
        publish_members(lab, found.study)
    drop_finished_packs(lab)
    make_panels(lab, found.study)
    return outcome_of(lab, found, board, time.monotonic() - started)


def outcome_of(lab: Lab, found: Plan, board: Board, seconds: float) -> Outcome:
    """What a sweep came to whose packs a board has heard of."""
    asked = found.states.keys()
    failed = failures(lab, found.study) | {i: f for i, f in board.unevaluated.items() if i in asked}
    return Outcome(
        plan=found,
        n_run=len(board.done & asked),
        n_cached=len(asked - board.done - failed.keys()),
        n_searched=len(board.done - asked),
        failed=failed,
        seconds=seconds,
    )


@contextlib.contextmanager
def _ray(lab: Lab, study: ResolvedStudy, address: str | None) -> Iterator[tuple[Path, Samples]]:
    """A Ray cluster whose nodes see the lab, its temporary folder, and a study's samples in its object store."""
    with ThreadPoolExecutor(1) as meanwhile:
        loading = meanwhile.submit(loaded, study)
        with cluster(address) as folder:
            if address is not None:
                check_workers(lab)
            yield folder, put(loading.result())


def _with_imported(
    lab: Lab, resolved: ResolvedStudy, prefix: str | Path, selection: Selection, data: str | Path | None
) -> ResolvedStudy:
    """Publishes the WaveGAN of a checkpoint; returns the study with it as the base model."""
    from .base_models import checkpoint, imported

    domain = resolved.pair[0]
    if resolved.base.wavegan_a is None:
        raise InvalidValueError(f"--import: the base model of {domain.name} is no WaveGAN; take a domain of waveforms")
    found = imported.read_wavegan(prefix, domain.sample_shape[0])
    sizes = {f"wavegan.{name}": value for name, value in found.config.told.items()}
    resolved = resolve("transfer_pairs", replace(selection, overrides={**selection.overrides, **sizes}), data)
    spec = base_model(domain, "a", resolved.base, 0)
    lab.check_writable()
    checkpoint.save_state(lab, spec, found.state, {"imported": Path(prefix).name})
    return resolved


@dataclass(frozen=True)
class Made:
    """A base model that is in the lab."""

    model_id: str
    seed: int
    metrics: Mapping[str, float | str]
    keys: Mapping[str, int | str]
    "what a study sets to stand on it; empty for one that it trains anyway"


def pretrain(
    selection: Selection,
    n_seeds: int,
    *,
    lab: str | Lab = "./lab",
    data: str | Path | None = None,
    workers: int = 1,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    address: str | None = None,
    progress: Progress | None = None,
    imported: str | Path | None = None,
) -> list[Made]:
    """The base models of side a of a pair, with seeds 0, 1, ..., their judge, their latents. Raises as `sweep` does.

    With `imported`, the beginning of the files of a checkpoint, the WaveGAN in it is the base model; DataError
    where it cannot be.
    """
    lab, told = Lab.of(lab), progress or Silent()
    _check("all", workers, None)
    resolved = resolve("transfer_pairs", selection, data)
    if imported is not None:
        resolved, n_seeds = _with_imported(lab, resolved, imported, selection, data), 1
    if resolved.base.vae_a is None and resolved.base.wavegan_a is None:
        raise InvalidValueError(
            f"{resolved.pair[0].name} has no base model to train: its samples are latents already, or it is your own"
        )
    lab.check_writable()
    specs = [base_model(resolved.pair[0], "a", resolved.base, seed) for seed in range(n_seeds)]
    jobs = [BaseModelJob(spec, judge(resolved.pair[0], "a", resolved.base), "a") for spec in specs]
    judges, missing = missing_jobs(lab, jobs)
    if judges or missing:
        sweep_id = uuid.uuid4().hex
        told.phase("starting Ray")
        try:
            with _ray(lab, resolved, address) as (folder, samples):
                chosen, watch, every_s = choose_device(device, address), Watch(lab), CHECKPOINT_EVERY_S
                work = Work(lab, sweep_id, folder, watch, samples, chosen, address, None, workers, every_s, told)
                prepare(work, resolved, judges, missing)
        finally:
            with contextlib.suppress(LabError):
                lab.remove(mark_of(sweep_id))
    return [
        Made(s.model_id, s.seed, lab.read_json(f"models/{s.model_id}/metrics.json"), _keys_of(s.config)) for s in specs
    ]


def _keys_of(config: object) -> dict[str, int | str]:
    """What a study has to set to stand on an imported model."""
    if not isinstance(config, WaveGANConfig) or config.imported is None:
        return {}
    return {f"wavegan.{name}": value for name, value in config.told.items()}


def make_panels(lab: Lab, resolved: ResolvedStudy) -> None:
    """The panels that the lab lacks of a study; what is loaded for them is not where there are none."""
    first = first_trials(resolved)
    has_bridge, has_panels = set(lab.names("bridges")), set(lab.names("panels"))
    missing = [i for i in first if f"{i}.safetensors" in has_bridge and f"{i}.parquet" not in has_panels]
    if missing:
        from . import panels

        a, b = resolved.pair
        panels.make(lab, {"a": a.load("a")["test"], "b": b.load("b")["test"]}, missing)


def first_trials(resolved: ResolvedStudy) -> dict[str, None]:
    """The trials of each arm that have panels: those of the first replicate."""
    return dict.fromkeys(m.trial.trial_id for m in resolved.members if m.replicate == 0)


def _check(keep: str, workers: int, checkpoint_every_s: float | None) -> None:
    if keep not in KEEP:
        raise InvalidValueError(f"--keep {keep}: give one of {', '.join(KEEP)}")
    if not isinstance(workers, int) or workers < 1:
        raise InvalidValueError(f"--workers {workers}: give a whole number, 1 or more")
    if checkpoint_every_s is not None and not checkpoint_every_s >= 0:
        raise InvalidValueError(f"--checkpoint-every {checkpoint_every_s}: give seconds, 0 or more")


def _prepare(work: Work, wanted: ResolvedStudy | History, found: Plan | None) -> list[TrialSpec]:
    """Makes all models that a study, or a search and its confirmation, still needs; returns trials that have them."""
    if found is not None:
        prepare(work, found.study, found.judges, found.jobs)
        return [entry.spec for pack in found.packs for entry in pack.entries]
    assert isinstance(wanted, History)
    trials = wanted.search.some_trials
    prepare(work, wanted.search.start, *missing_models(work.lab, trials))
    return trials


def _batches(work: Work, wanted: ResolvedStudy | History, retry: bool, board: Board) -> Iterator[Batch]:
    """What has to run, until nothing is missing."""
    if isinstance(wanted, History):
        wanted = yield from legs(work, wanted, board)
    publish_members(work.lab, wanted)  # not before: models that cannot be made are no run
    while True:
        elsewhere, adoptable = work.elsewhere()
        found = plan(
            wanted,
            lab=work.lab,
            pack=work.pack,
            n_workers=work.n_side_by_side,
            device=work.device,
            retry=retry,
            elsewhere=elsewhere,
            left_out=frozenset(board.unevaluated),
        )
        board.check_new(found.packs)
        if found.packs:
            yield Batch(found.packs, adoptable, frozenset(first_trials(found.study)))
            retry = False  # what fails again waits for the next request
        elif found.n_elsewhere:
            work.progress.phase(f"waiting for {found.n_elsewhere} trials of another sweep")
            time.sleep(BEAT_S)
        else:
            return
