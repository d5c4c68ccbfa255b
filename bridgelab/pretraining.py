"""Judges and base models on Ray: tasks side by side, or Ray Train workers that share each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .causes import as_raised
from .config import NUMERICS, SIDES, Side
from .domains import Samples, Split, get_domain, use_own
from .errors import ClusterError
from .lab import Lab
from .specs import BaseModelJob, ModelSpec
from .study import ResolvedStudy
from .user_file import UserFile

MODELS_A_GPU = 4
"""How many base models or judges share one: they are small, and one alone would leave most of it idle."""
MOST_RESTARTS = 3
"""How often the workers of a base model are started again after one of them died."""

Store = Mapping[tuple[str, Side], Any]
"""The samples of (domain, side) in Ray's object store."""
Files = tuple[UserFile, ...]


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """Judges and base models that are to be made, and in what."""

    lab: Lab
    study: ResolvedStudy
    judges: Sequence[ModelSpec]
    jobs: Sequence[BaseModelJob]
    samples: Store
    folder: Path
    "temporary, of Ray"
    workers: int
    "that share each model"
    slots: int
    "how many workers there is room for, on the cluster as large as it may grow"
    every_s: float
    "between two checkpoints"
    device: str

    def by_data(self, data_id: str) -> Any:
        """The samples that a judge learns from."""
        sides = zip(SIDES, self.study.pair, strict=True)
        return next(self.samples[domain.name, side] for side, domain in sides if domain.data_id(side) == data_id)


def make_models(wanted: Pretraining) -> Iterator[ModelSpec]:
    """Makes models and their latents; yields each spec when it is done.

    They train side by side: with one worker each, one a core, or MODELS_A_GPU on each GPU; with several,
    each of which has a core or a GPU, as many groups of them as there is room for. Each keeps checkpoints
    in the lab, from which whoever makes it next goes on. Raises ModelError for one that does not train.
    """
    yield from _side_by_side(wanted) if wanted.workers == 1 else _in_groups(wanted)


def _in_groups(wanted: Pretraining) -> Iterator[ModelSpec]:
    """Judges, then base models, which need them: each trained by workers of its own."""
    if wanted.workers > wanted.slots:
        said = "GPUs" if wanted.device == "cuda" else "CPU cores"
        raise ClusterError(f"--workers {wanted.workers}: the cluster has {wanted.slots} {said}; give at most as many")
    address, common = wanted.lab.address, (wanted.every_s, wanted.study.domain_files)
    judges = [
        Share(spec, _judge_loop, (address, spec, wanted.by_data(spec.data_id), *common)) for spec in wanted.judges
    ]
    base_models = [
        Share(job.spec, _base_model_loop, (address, job, wanted.samples[job.spec.domain, job.side], *common))
        for job in wanted.jobs
    ]
    yield from _share_all(wanted, judges)
    yield from _share_all(wanted, base_models)


@dataclass(frozen=True)
class Share:
    """What a group of workers does together."""

    spec: ModelSpec
    loop: Any
    given: tuple[Any, ...]


def _share_all(wanted: Pretraining, shares: Sequence[Share]) -> Iterator[ModelSpec]:
    """As many at once as there is room for, but never two of a model, whose latents may be drawn in several ways."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Where the driver's temporary folder is. The workers of a group are wherever there is room.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    task = ray.remote(num_cpus=0, scheduling_strategy=here)(_share)
    waiting, running = list(shares), dict[Any, Share]()
    while waiting or running:
        busy = {share.spec.model_id for share in running.values()}
        following = next((share for share in waiting if share.spec.model_id not in busy), None)
        if following is not None and len(running) < wanted.slots // wanted.workers:
            waiting.remove(following)
            running[task.remote(wanted.folder, wanted.workers, wanted.device, following)] = following
            continue
        done, _ = ray.wait(list(running), num_returns=1)
        with as_raised():
            ray.get(done[0])
        yield running.pop(done[0]).spec


def _set_up_torch() -> None:
    """One thread, and convolutions in float32 on a GPU too, as NUMERICS has it."""
    import torch

    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = NUMERICS["tf32"] is True


def _know(files: Files) -> None:
    """Makes the user's own domains known in a worker."""
    for file in files:
        use_own(file)


def _side_by_side(wanted: Pretraining) -> Iterator[ModelSpec]:
    """A base model trains while its judge still does, and waits for it at the end."""
    import ray

    place = ray.remote(num_cpus=1, num_gpus=1 / MODELS_A_GPU if wanted.device == "cuda" else 0)
    judge_task, base_task = place(_judge_task), place(_base_model_task)
    common = (wanted.every_s, wanted.study.domain_files, wanted.device)
    judges: dict[ModelSpec, Any] = {
        spec: judge_task.remote(wanted.lab.address, spec, wanted.by_data(spec.data_id), *common)
        for spec in wanted.judges
    }
    pending = {ref: spec for spec, ref in judges.items()}
    begun: dict[str, Any] = {}
    for job in wanted.jobs:
        before = [judges[job.judge]] if job.judge in judges else []
        if job.spec.model_id in begun:
            before.append(begun[job.spec.model_id])  # one model, from which latents are drawn in several ways
        samples = wanted.samples[job.spec.domain, job.side]
        ref = base_task.remote(wanted.lab.address, job, samples, *common, before)
        begun[job.spec.model_id] = ref
        pending[ref] = job.spec
    while pending:
        done, _ = ray.wait(list(pending), num_returns=1)
        with as_raised():
            ray.get(done[0])
        yield pending.pop(done[0])


def _judge_task(
    address: str, spec: ModelSpec, samples: Mapping[Split, Samples], every_s: float, files: Files, device: str
) -> None:
    from .base_models import pretrain
    from .base_models.fit import Team

    _set_up_torch()
    _know(files)
    pretrain.make_judge(Lab.in_use(address), spec, samples, Team(device=device), every_s)


def _base_model_task(
    address: str,
    job: BaseModelJob,
    samples: Mapping[Split, Samples],
    every_s: float,
    files: Files,
    device: str,
    before: list[Any],
) -> None:
    import ray

    from .base_models import pretrain
    from .base_models.fit import Team

    _set_up_torch()
    _know(files)
    if job.spec.drawn is not None:
        ray.get(before)  # a judge has its part in the training, and in the latents
    pretrain.make_base_model(Lab.in_use(address), job, samples, Team(device=device), lambda: ray.get(before), every_s)
    _make_latents(address, job, samples, device)


def _make_latents(address: str, job: BaseModelJob, samples: Mapping[Split, Samples], device: str) -> None:
    """Encodes the samples, or draws latents where the base model cannot encode."""
    from . import encoding, rejection
    from .base_models import checkpoint, pretrain, with_encoder

    lab, domain = Lab.in_use(address), get_domain(job.spec.domain)
    base = checkpoint.load_base_model(lab, job.spec, domain)
    if job.spec.drawn is None:
        encoding.make(lab, job.spec, with_encoder(base, domain), samples)
    else:
        judge = pretrain.examiner(lab, job, domain)
        rejection.make(lab, job.spec, checkpoint.on_device(base, device), judge, samples, device)


def _share(folder: Path, workers: int, device: str, share: Share) -> None:
    """Runs a loop under Ray Train. After a death the workers start again, from the checkpoint in the lab."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    kind = "GPU" if device == "cuda" else "CPU"
    trainer = TorchTrainer(
        share.loop,
        train_loop_config={"given": share.given},
        torch_config=TorchConfig(backend="nccl" if device == "cuda" else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=device == "cuda", resources_per_worker={kind: 1}),
        run_config=RunConfig(
            name=f"{share.spec.kind}-{share.spec.model_id}",
            storage_path=str(folder / "train"),
            failure_config=FailureConfig(max_failures=MOST_RESTARTS),
        ),
    )
    with as_raised():
        trainer.fit()


def _judge_loop(config: Mapping[str, Any]) -> None:
    import ray

    from .base_models import pretrain

    address, spec, samples, every_s, files = config["given"]
    _know(files)
    pretrain.make_judge(Lab.in_use(address), spec, ray.get(samples), _team(), every_s)


def _base_model_loop(config: Mapping[str, Any]) -> None:
    import ray

    from .base_models import pretrain

    address, job, ref, every_s, files = config["given"]
    _know(files)
    samples, team = ray.get(ref), _team()
    pretrain.make_base_model(Lab.in_use(address), job, samples, team, checkpoint_every_s=every_s)
    if team.rank == 0:
        _make_latents(address, job, samples, team.device)


def _team() -> Any:
    """This worker's place among those that Ray Train started."""
    from ray import train
    from ray.train.torch import get_device
    from torch.nn.parallel import DistributedDataParallel

    from .base_models.fit import Team

    _set_up_torch()
    context = train.get_context()
    device = str(get_device())
    return Team(context.get_world_rank(), context.get_world_size(), DistributedDataParallel, device)
