"""Training of base models and judges: one plain torch loop, the best state on validation is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import BaseModelJob, ClassifierConfig, ModelSpec, VAEConfig, stream_seed
from ..domains import Domain, Samples, Split, get_domain
from ..errors import InvalidValueError, ModelError
from ..lab import Lab
from ..metrics import agreement
from . import BaseModel, Judge, checkpoint
from .classifier import Classifier
from .vae import VAE

N_CHECKS = 20
"""How often a model is scored on validation while it trains; the best state is kept."""

Loss = Callable[[Tensor], Tensor]
Score = Callable[[], float]


def train_vae(spec: ModelSpec, domain: Domain, samples: Mapping[Split, Samples]) -> VAE:
    """A VAE at its best validation ELBO."""
    model, config = checkpoint.build(spec, domain), spec.config
    assert isinstance(model, VAE)
    assert isinstance(config, VAEConfig)
    train_x, validation_x = (torch.from_numpy(samples[split].x.copy()) for split in ("train", "validation"))
    noise, moved = _stream(spec, "posterior"), _stream(spec, "shift")
    fixed = torch.randn(len(validation_x), config.latent_dim, generator=_stream(spec, "validation"))

    def loss(index_B: Tensor) -> Tensor:
        noise_BD = torch.randn(len(index_B), config.latent_dim, generator=noise)
        return model.negative_elbo(shifted(train_x[index_B], domain, config.shift, moved), noise_BD)

    def score() -> float:
        return -float(model.negative_elbo(validation_x, fixed))

    _fit(spec, model, loss, score, len(train_x))
    return model


def train_classifier(spec: ModelSpec, domain: Domain, samples: Mapping[Split, Samples]) -> Classifier:
    """A classifier at its best validation accuracy, and among equals at its best cross entropy."""
    model, config = checkpoint.build(spec, domain), spec.config
    assert isinstance(model, Classifier)
    assert isinstance(config, ClassifierConfig)
    train_x, validation_x = (torch.from_numpy(samples[split].x.copy()) for split in ("train", "validation"))
    train_y, validation_y = (torch.from_numpy(samples[split].labels.copy()) for split in ("train", "validation"))
    noise, moved = _stream(spec, "noise"), _stream(spec, "shift")

    def loss(index_B: Tensor) -> Tensor:
        x_BX = shifted(train_x[index_B], domain, config.shift, moved)
        x_BX = x_BX + config.noise * torch.randn(x_BX.shape, generator=noise)
        return F.cross_entropy(model(x_BX), train_y[index_B])

    def score() -> float:
        logits = model(validation_x)
        correct = float((logits.argmax(1) == validation_y).float().mean())
        return correct - 1e-3 * float(F.cross_entropy(logits, validation_y))

    _fit(spec, model, loss, score, len(train_x))
    return model


def _fit(spec: ModelSpec, model: nn.Module, loss: Loss, score: Score, n_train: int) -> None:
    """AdamW with a rate that falls linearly in the second half; leaves the best state in the model."""
    config = spec.config
    assert config is not None
    decay = config.weight_decay if isinstance(config, ClassifierConfig) else 0.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=decay, fused=True)
    order = _stream(spec, "batches")
    every = max(1, config.n_steps // N_CHECKS)
    best_score, best_state = float("-inf"), copy.deepcopy(model.state_dict())
    for step in range(1, config.n_steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, 2 * (1 - (step - 1) / config.n_steps))
        index_B = torch.randint(n_train, (config.batch_size,), generator=order)
        optimizer.zero_grad(set_to_none=True)
        loss(index_B).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % every == 0 or step == config.n_steps:
            with torch.inference_mode():
                current = score()
            if current > best_score:
                best_score, best_state = current, copy.deepcopy(model.state_dict())
    if best_score == float("-inf"):
        prefix = "judge" if isinstance(config, ClassifierConfig) else "vae"
        raise ModelError(
            f"the {spec.kind} of {spec.domain} with seed {spec.seed} diverged: no validation score was finite; "
            f"try --set {prefix}.learning_rate={config.learning_rate / 10:g}"
        )
    model.load_state_dict(best_state)
    model.eval().requires_grad_(False)


def shifted(x_BX: Tensor, domain: Domain, most: int, generator: torch.Generator) -> Tensor:
    """Images moved by up to `most` pixels down and across, each by its own draw; what comes in is black."""
    if most == 0:
        return x_BX
    if domain.image_shape is None:
        raise InvalidValueError(f"{domain.name} has no images to shift; leave out --set vae.shift and judge.shift")
    rows, columns = domain.image_shape
    padded_BHW = F.pad(x_BX.reshape(-1, rows, columns), (most, most, most, most))
    down_B, across_B = torch.randint(2 * most + 1, (2, len(x_BX)), generator=generator)
    row_BH = (down_B[:, None] + torch.arange(rows))[:, :, None]
    column_BW = (across_B[:, None] + torch.arange(columns))[:, None, :]
    return padded_BHW[torch.arange(len(x_BX))[:, None, None], row_BH, column_BW].reshape(len(x_BX), -1)


def _stream(spec: ModelSpec, name: str) -> torch.Generator:
    seed = stream_seed("base_model", spec.domain, spec.kind, spec.seed, name)
    return torch.Generator().manual_seed(seed)


def make_judge(lab: Lab, spec: ModelSpec, samples: Mapping[Split, Samples]) -> None:
    """Trains a judge and publishes it with its accuracy on validation and test, unless it is there."""
    if spec.kind == "rule" or lab.exists(f"models/{spec.model_id}"):
        return
    model = train_classifier(spec, get_domain(spec.domain), samples)
    metrics = {
        f"accuracy_{split}": agreement(model.classify(torch.from_numpy(part.x.copy())).numpy(), part.labels)
        for split, part in samples.items()
        if split != "train"
    }
    checkpoint.save(lab, spec, model, metrics)


def make_base_model(
    lab: Lab, job: BaseModelJob, samples: Mapping[Split, Samples], wait_for_judge: Callable[[], object] = lambda: None
) -> None:
    """Trains a base model and publishes it with its reconstruction accuracy, unless it is there.

    The accuracy is measured under the job's judge, which must be in the lab once `wait_for_judge` has
    returned.
    """
    spec, domain = job.spec, get_domain(job.spec.domain)
    if spec.kind == "identity" or lab.exists(f"models/{spec.model_id}"):
        return
    model = train_vae(spec, domain, samples)
    wait_for_judge()
    judge = checkpoint.load_judge(lab, job.judge, domain, job.side)
    metrics: dict[str, float | str] = {"judge_id": job.judge.model_id}
    for split, part in samples.items():
        if split != "train":
            metrics[f"reconstruction_accuracy_{split}"] = reconstruction_accuracy(model, judge, part)
    checkpoint.save(lab, spec, model, metrics)


def reconstruction_accuracy(model: BaseModel, judge: Judge, samples: Samples) -> float:
    """The share of samples whose reconstruction from the posterior's mean keeps the judge's class."""
    x = torch.from_numpy(samples.x.copy())
    return agreement(judge.classify(x).numpy(), judge.classify(model.decode(model.encode(x)[0])).numpy())
