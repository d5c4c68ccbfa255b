"""What base models and judges are trained for, and how they come into the lab."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..config import CHECKPOINT_EVERY_S, ClassifierConfig, VAEConfig, stream_seed
from ..domains import Domain, Samples, Split, get_domain
from ..domains.clips import sound_bytes
from ..errors import InvalidValueError, ModelError
from ..lab import Lab
from ..metrics import agreement
from ..specs import BaseModelJob, ModelSpec
from ..wavegan_config import WaveGANConfig
from . import BaseModel, Examiner, Judge, checkpoint
from .adversarial import score_of_classes, train_wavegan
from .classifier import Classifier
from .fit import ALONE, ModelCheckpoint, Module, Objective, Team, fit
from .shift import shifted
from .vae import VAE
from .wavegan import WaveGAN

N_CLIPS = 8
"""Samples that are saved with a WaveGAN."""

Splits = Mapping[Split, Samples]


def train_vae(
    spec: ModelSpec, domain: Domain, samples: Splits, team: Team = ALONE, kept: ModelCheckpoint | None = None
) -> VAE:
    """A VAE at its best validation ELBO."""
    model, config = checkpoint.build(spec, domain), spec.config
    assert isinstance(model, VAE)
    assert isinstance(config, VAEConfig)
    train_x, validation_x = (_tensor(samples[split].x, team) for split in ("train", "validation"))
    streams = {name: _stream(spec, name) for name in ("posterior", "shift")}
    fixed = _normal((len(validation_x), config.latent_dim), _stream(spec, "validation"), team)

    def loss(module: Module, index_B: Tensor, rows: slice) -> Tensor:
        noise_BD = _normal((len(index_B), config.latent_dim), streams["posterior"], team)
        x_BX = shifted(train_x[index_B], domain, config.shift, streams["shift"])
        return module(x_BX[rows], noise_BD[rows])

    def score() -> float:
        return -float(model(validation_x, fixed))

    fit(spec, model, Objective(loss, score, streams, len(train_x)), _stream(spec, "batches"), team, kept)
    return model


def train_classifier(
    spec: ModelSpec, domain: Domain, samples: Splits, team: Team = ALONE, kept: ModelCheckpoint | None = None
) -> Classifier:
    """A classifier at its best validation accuracy, and among equals at its best cross entropy."""
    model, config = checkpoint.build(spec, domain), spec.config
    assert isinstance(model, Classifier)
    assert isinstance(config, ClassifierConfig)
    samples = {split: part.labelled for split, part in samples.items()}
    train_x, validation_x = (_tensor(domain.pictures(samples[split].x), team) for split in ("train", "validation"))
    train_y, validation_y = (_tensor(samples[split].labels, team) for split in ("train", "validation"))
    streams = {name: _stream(spec, name) for name in ("noise", "shift")}

    def loss(module: Module, index_B: Tensor, rows: slice) -> Tensor:
        x_BX = shifted(train_x[index_B], domain, config.shift, streams["shift"])
        x_BX = x_BX + config.noise * _normal(x_BX.shape, streams["noise"], team)
        return F.cross_entropy(module(x_BX[rows]), train_y[index_B][rows])

    def score() -> float:
        logits = model(validation_x)
        correct = float((logits.argmax(1) == validation_y).float().mean())
        return correct - 1e-3 * float(F.cross_entropy(logits, validation_y))

    fit(spec, model, Objective(loss, score, streams, len(train_x)), _stream(spec, "batches"), team, kept)
    return model


def _tensor(array: NDArray[Any], team: Team) -> Tensor:
    return torch.from_numpy(array.copy()).to(team.device)


def _normal(shape: Sequence[int], generator: torch.Generator, team: Team) -> Tensor:
    """Drawn on the CPU, whatever the device: a model's draws are the same everywhere."""
    return torch.randn(*shape, generator=generator).to(team.device)


def _stream(spec: ModelSpec, name: str) -> torch.Generator:
    seed = stream_seed("base_model", spec.domain, spec.kind, spec.seed, name)
    return torch.Generator().manual_seed(seed)


def make_judge(
    lab: Lab, spec: ModelSpec, samples: Splits, team: Team = ALONE, checkpoint_every_s: float = CHECKPOINT_EVERY_S
) -> None:
    """Trains a judge and publishes it with its accuracy on validation and test, unless it is there."""
    if spec.kind == "rule" or lab.exists(f"models/{spec.model_id}"):
        return
    kept, domain = ModelCheckpoint(lab, spec.model_id, checkpoint_every_s), get_domain(spec.domain)
    model = train_classifier(spec, domain, samples, team, kept)
    pace = kept.pace(model.config.n_steps)
    if team.rank == 0:
        accuracy = {
            f"accuracy_{split}": agreement(model.classify(_tensor(domain.pictures(part.x), ALONE)).numpy(), part.labels)
            for split, part in ((split, samples[split].labelled) for split in ("validation", "test"))
        }
        checkpoint.save(lab, spec, model, accuracy, pace)
        kept.remove()


def make_base_model(
    lab: Lab,
    job: BaseModelJob,
    samples: Splits,
    team: Team = ALONE,
    wait_for_judge: Callable[[], object] = lambda: None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> None:
    """Trains a base model and publishes it with what its judge says of it, unless it is there.

    Of a VAE that is its reconstruction accuracy, of a WaveGAN its inception score. The job's judge must be
    in the lab once `wait_for_judge` has returned.
    """
    spec = job.spec
    if not spec.is_trained or lab.exists(f"models/{spec.model_id}"):
        return
    kept = ModelCheckpoint(lab, spec.model_id, checkpoint_every_s)
    make = _make_wavegan if spec.kind == "wavegan" else _make_vae
    make(lab, job, samples, team, wait_for_judge, kept)
    if team.rank == 0:
        kept.remove()


def _make_vae(
    lab: Lab,
    job: BaseModelJob,
    samples: Splits,
    team: Team,
    wait_for_judge: Callable[[], object],
    kept: ModelCheckpoint,
) -> None:
    spec, domain = job.spec, get_domain(job.spec.domain)
    model = train_vae(spec, domain, samples, team, kept)
    pace = kept.pace(model.config.n_steps)
    if team.rank == 0:
        wait_for_judge()
        judge = checkpoint.load_judge(lab, job.judge, domain, job.side)
        metrics: dict[str, float | str] = {"judge_id": job.judge.model_id}
        for split, part in samples.items():
            if split != "train":
                metrics[f"reconstruction_accuracy_{split}"] = reconstruction_accuracy(model, judge, part)
        checkpoint.save(lab, spec, model, metrics, pace)


def _make_wavegan(
    lab: Lab,
    job: BaseModelJob,
    samples: Splits,
    team: Team,
    wait_for_judge: Callable[[], object],
    kept: ModelCheckpoint,
) -> None:
    """It is scored while it trains, so the judge comes first."""
    spec, domain = job.spec, get_domain(job.spec.domain)
    if isinstance(spec.config, WaveGANConfig) and spec.config.imported is not None:
        raise ModelError(
            f"{lab.location} has no imported WaveGAN {spec.config.imported}; "
            f"bring it there by `bridgelab pretrain {spec.domain} --import CHECKPOINT_PREFIX`"
        )
    wait_for_judge()
    judge = examiner(lab, job, domain)
    found = train_wavegan(spec, domain, _tensor(samples["train"].x, team), judge, team, kept)
    pace = kept.pace(found.model.config.n_steps)
    if team.rank == 0:
        step, score = found.best
        of_real = judge.features(_tensor(samples["validation"].x, ALONE)).softmax
        metrics: dict[str, float | str] = {
            "judge_id": job.judge.model_id,
            "inception_score": score,
            "inception_score_step": float(step),
            "inception_score_real_validation": score_of_classes(of_real),
        }
        files = {"inception_scores.json": json.dumps(found.scores).encode(), **_clips(spec, domain, found.model)}
        checkpoint.save(lab, spec, found.model, metrics, pace, files)


def examiner(lab: Lab, job: BaseModelJob, domain: Domain) -> Examiner:
    """The judge of a job as one that says how sure it is. Raises InvalidValueError where it is a rule."""
    judge = checkpoint.load_judge(lab, job.judge, domain, job.side)
    if not isinstance(judge, Examiner):
        raise InvalidValueError(f"the judge of {domain.name} is a rule: a WaveGAN needs one that is trained")
    return judge


def _clips(spec: ModelSpec, domain: Domain, model: WaveGAN) -> dict[str, bytes]:
    """A few samples, to be heard."""
    assert domain.sound is not None, "a WaveGAN makes sounds"
    z_ND = torch.randn(N_CLIPS, model.config.latent_dim, generator=_stream(spec, "clips"))
    with torch.inference_mode():
        clips_NT = domain.sound.clips(model.decode(z_ND).numpy())
    return {f"sample-{i}.wav": sound_bytes(clip, domain.sound.rate) for i, clip in enumerate(clips_NT)}


def reconstruction_accuracy(model: BaseModel, judge: Judge, samples: Samples) -> float:
    """The share of samples whose reconstruction from the posterior's mean keeps the judge's class."""
    x = torch.from_numpy(samples.x.copy())
    return agreement(judge.classify(x).numpy(), judge.classify(model.decode(model.encode(x)[0])).numpy())
