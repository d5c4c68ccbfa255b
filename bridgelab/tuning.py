"""A plan on Ray: base models as tasks side by side, then packs as Ray Tune trials, one pack a trial.

The driver alone writes rows (`publication`); workers write models, latents and bridges.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pyarrow as pa

from .config import BaseModelJob, ModelSpec, Side
from .domains import Samples, Split, get_domain
from .errors import ClusterError, InvalidValueError, LabError
from .lab import Lab
from .planning import PackPlan, Plan, available_cpus, plan
from .publication import (
    drop_finished_manifests,
    failures,
    keep_best,
    lost_rows,
    publish_manifest,
    publish_members,
    publish_rows,
)
from .results import SCHEMAS
from .study import ResolvedStudy, Selection, resolve

KEEP = ("all", "tables", "best")
SIDES: tuple[Side, Side] = ("a", "b")
PROBE_TIMEOUT_S = 5.0
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
    progress: Progress | None = None,
) -> Outcome:
    """Everything of a study that is missing in a lab: judges, base models, latents, packs, rows.

    Trials that the lab has are not run again, from whichever study they come. `address` is that of a
    Ray cluster (None: a local one is started and ended). Raises ClusterError for a cluster or device
    that cannot be had, LabError for a lab that cannot be written.
    """
    started = time.monotonic()
    lab = lab if isinstance(lab, Lab) else Lab(lab)
    if keep not in KEEP:
        raise InvalidValueError(f"--keep {keep}: give one of {', '.join(KEEP)}")
    check(address, device)
    resolved = study if isinstance(study, ResolvedStudy) else resolve(study, selection)
    found = plan(resolved, lab=lab, pack=pack, retry=retry)
    chosen = choose_device(device) if found.packs else "cpu"
    lab.check_writable()
    publish_members(lab, resolved)
    if found.packs:
        with cluster(address, progress or Silent()):
            _run(lab, found, chosen, progress or Silent())
        if keep == "best":
            keep_best(lab, found)
    drop_finished_manifests(lab)
    return Outcome(found, found.n_to_run, failures(lab, resolved), time.monotonic() - started)


def check(address: str | None, device: str) -> None:
    """Raises ClusterError for a cluster that nobody answers at, or a device that is asked for and not there."""
    if address is not None:
        probe(address)
    if device == "cuda":
        choose_device(device)


def choose_device(device: str) -> str:
    """The device that packs train on. Raises ClusterError for CUDA where there is none."""
    if device == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise ClusterError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return "cpu"


def probe(address: str) -> None:
    """Raises ClusterError unless something listens at HOST:PORT; ray.init would retry for minutes."""
    if address == "auto":
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        raise ClusterError(f"--address {address}: write HOST:PORT or auto")
    try:
        socket.create_connection((host, int(port)), timeout=PROBE_TIMEOUT_S).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster at {address} ({error}); start one with `ray start --head`, or leave out --address"
        ) from None


@contextlib.contextmanager
def cluster(address: str | None, progress: Progress) -> Iterator[None]:
    """A connection to a Ray cluster; a local one, and its temporary folder, end with it."""
    progress.phase("starting Ray")
    folder = tempfile.mkdtemp(prefix="bridgelab-")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        # A token of this process alone: whoever reaches the ports of its cluster cannot use them.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.update(TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1", TUNE_DISABLE_SIGINT_HANDLER="1", RAY_AIR_NEW_OUTPUT="0")
    import ray

    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            local = {"num_cpus": available_cpus(), "include_dashboard": False, "_temp_dir": folder}
            ray.init(address="local", **local, **quiet)
        else:
            _join(address, quiet)
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _join(address: str, options: Mapping[str, Any]) -> None:
    import ray

    try:
        ray.init(address=address, **options)
    except ConnectionError as error:
        reason = str(error).splitlines()[0]
        raise ClusterError(f"no Ray cluster at {address}: {reason}; start one with `ray start --head`") from None


def _run(lab: Lab, found: Plan, device: str, progress: Progress) -> None:
    import ray

    samples = {
        (domain.name, side): ray.put(domain.load(side)) for side, domain in zip(SIDES, found.study.pair, strict=True)
    }
    n_models = len(found.judges) + len(found.jobs)
    progress.models(0, n_models)
    for done, _ in enumerate(_make_models(lab, found, samples), 1):
        progress.models(done, n_models)
    _run_packs(lab, found, samples, device, progress)


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


def _train_pack(config: Mapping[str, str], packs: Any, store: _ObjectStore, address: str, device: str) -> None:
    """The trainable: a pack by its id. Reports steps done, and at the end the rows."""
    import torch
    from ray import tune

    from .trial import Surroundings, run_pack

    torch.set_num_threads(1)
    pack: PackPlan = packs[config["pack"]]
    reported = time.monotonic()

    def on_chunk(step: int) -> None:
        nonlocal reported
        if time.monotonic() - reported > REPORT_EVERY_S:
            reported = time.monotonic()
            tune.report({"steps": step * sum(not entry.trained for entry in pack.entries)})

    try:
        rows = run_pack(pack.pack_id, pack.entries, Surroundings(Lab(address), store), device, on_chunk)
    except LabError as error:
        tune.report({"lab_error": str(error)})
        return
    tune.report({"steps": pack.n_steps, "rows": {table: _to_ipc(data) for table, data in rows.items()}})


def _run_packs(lab: Lab, found: Plan, samples: Mapping[tuple[str, Side], Any], device: str, progress: Progress) -> None:
    import ray
    from ray import tune

    from . import latents

    packs = {pack.pack_id: pack for pack in found.packs}
    needed = {s.latents_id for p in found.packs for e in p.entries for s in (e.spec.base_a, e.spec.base_b)}
    store = _ObjectStore({name: ray.put(latents.read(lab, name)) for name in sorted(needed)}, samples)
    publisher = _publisher(lab, found, packs, progress)
    resources = {"cpu": 1, "gpu": 1} if device == "cuda" else {"cpu": 1}
    trainable = tune.with_parameters(_train_pack, packs=packs, store=store, address=lab.address, device=device)
    with tempfile.TemporaryDirectory(prefix="bridgelab-tune-") as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources),
            param_space={"pack": tune.grid_search(list(packs))},
            tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=lambda trial: str(trial.trial_id)),
            run_config=tune.RunConfig(
                name="packs",
                storage_path=folder,
                callbacks=[publisher],
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=1),
            ),
        )
        tuner.fit()
    if publisher.lab_error:
        raise LabError(publisher.lab_error)


def _publisher(lab: Lab, found: Plan, packs: Mapping[str, PackPlan], progress: Progress) -> Any:
    from ray import tune

    class Publisher(tune.Callback):  # type: ignore[misc]
        """Publishes a pack's rows when it reports them, and a manifest while it runs."""

        def __init__(self) -> None:
            self.lab_error: str | None = None
            self._steps = dict.fromkeys(packs, 0)
            self._n_done = 0
            self._tell()

        def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[()]]:
            """Tune pickles its callbacks for a restore that is never made; ours holds open files and locks."""
            return dict, ()

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            publish_manifest(lab, found.study.study.name, packs[trial.config["pack"]])

        def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any) -> None:
            pack = packs[trial.config["pack"]]
            self.lab_error = result.get("lab_error", self.lab_error)
            if "rows" in result:
                rows = {table: _from_ipc(table, data) for table, data in result.pop("rows").items()}
                publish_rows(lab, pack, rows)
                self._n_done += len(pack.entries)
            self._steps[pack.pack_id] = result.get("steps", 0)
            self._tell()

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            pack = packs[trial.config["pack"]]
            publish_rows(lab, pack, {"trials": lost_rows(pack)})

        def _tell(self) -> None:
            n_steps = sum(pack.n_steps for pack in packs.values())
            progress.steps(sum(self._steps.values()), n_steps, self._n_done, found.n_to_run)

    return Publisher()


def _to_ipc(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.unify_dictionaries())
    return sink.getvalue()


def _from_ipc(table: str, data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all().cast(SCHEMAS[table])
