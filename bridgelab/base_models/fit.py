"""The training loop of base models and judges: plain torch, alone or as one of several workers.

The best state on validation is kept. The loop goes on from its checkpoint, alone to the same bits.
Shapes: B batch.
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor, nn

from ..config import CHECKPOINT_EVERY_S, ClassifierConfig, VAEConfig
from ..errors import InvalidValueError, LabError, ModelError
from ..lab import Lab
from ..specs import ModelSpec
from ..weights import decode

N_CHECKS = 20
"""How often a model is scored on validation while it trains; the best state is kept."""

UNFIT = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What restoring a state raises that is of something else."""

Module = Callable[..., Tensor]


@dataclass(frozen=True)
class Objective:
    """What a model is trained for."""

    loss: Callable[[Module, Tensor, slice], Tensor]
    "of a module on the rows of a batch (positions in train, (B,)) that are this worker's: a mean"
    score: Callable[[], float]
    "on validation, the higher the better"
    streams: Mapping[str, torch.Generator]
    "what the loss draws from"
    n_train: int


@dataclass(frozen=True)
class Team:
    """The workers that train one model together. Each draws the whole batch, and takes every size-th row."""

    rank: int = 0
    size: int = 1
    wrap: Callable[[nn.Module], nn.Module] = lambda module: module
    "makes backward average gradients over the workers"
    device: str = "cpu"

    @property
    def rows(self) -> slice:
        return slice(self.rank, None, self.size)


ALONE = Team()


class ModelCheckpoint:
    """Where the training of a model stands, in its own folder of the lab, at most `every_s` seconds old."""

    def __init__(self, lab: Lab, model_id: str, every_s: float = CHECKPOINT_EVERY_S) -> None:
        self._lab, self._path, self._every_s = lab, f"training/{model_id}.checkpoint", every_s
        self._saved = time.monotonic()
        self._began, self._whole = time.perf_counter(), True

    def load(self) -> dict[str, Tensor] | None:
        """The latest state; None where there is none that can be read."""
        data = self._lab.read_sealed(self._path)
        self._whole = data is None
        if data is None:
            return None  # it begins anew, and comes to the same
        with contextlib.suppress(ValueError):
            return decode(data)
        self._whole = True
        return None

    def restore(self, restored: Callable[[dict[str, Tensor]], None], state: dict[str, Tensor]) -> None:
        """Restores a state that was loaded. Raises LabError for one of another model."""
        try:
            restored(state)
        except UNFIT as error:
            reason = " ".join(str(error).split())
            path = self._lab.show(self._path)
            raise LabError(f"{path} is of another training ({reason:.80}); remove it and run again") from None

    def save_if_due(self, state: Callable[[], Mapping[str, Tensor]]) -> None:
        if time.monotonic() - self._saved >= self._every_s:
            self._lab.publish_sealed(self._path, safetensors.torch.save(dict(state())))
            self._saved = time.monotonic()

    def pace(self, n_steps: int) -> dict[str, float]:
        """{"step_s": seconds of each of so many steps}; nothing where some were taken before this began."""
        return {"step_s": (time.perf_counter() - self._began) / n_steps} if self._whole else {}

    def remove(self) -> None:
        self._lab.remove(self._path)


def fit(
    spec: ModelSpec,
    model: nn.Module,
    objective: Objective,
    batches: torch.Generator,
    team: Team = ALONE,
    checkpoint: ModelCheckpoint | None = None,
) -> None:
    """AdamW with a rate that falls linearly in the second half; leaves the best state in the model, on the CPU.

    Raises ModelError where no score on validation was finite.
    """
    config, device = spec.config, torch.device(team.device)
    assert isinstance(config, (VAEConfig, ClassifierConfig))
    model.to(device)
    if config.batch_size % team.size:
        raise InvalidValueError(f"--workers {team.size}: batches of {config.batch_size} rows cannot be shared evenly")
    progress = _Progress(spec, model, {**objective.streams, "batches": batches})
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        checkpoint.restore(progress.restore, state)
    module, every = team.wrap(model), max(1, config.n_steps // N_CHECKS)
    while progress.step < config.n_steps:
        for group in progress.optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, 2 * (1 - progress.step / config.n_steps))
        index_B = torch.randint(objective.n_train, (config.batch_size,), generator=batches)
        progress.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            loss = objective.loss(module, index_B.to(device), team.rows)
        loss.backward()  # type: ignore[no-untyped-call]
        progress.optimizer.step()
        progress.step += 1
        if progress.step % every == 0 or progress.step == config.n_steps:
            with torch.inference_mode():
                progress.keep_if_best(objective.score())
        if checkpoint is not None and team.rank == 0:
            checkpoint.save_if_due(progress.state)
    progress.finish()


def tensors_of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimizer remembers of each of its parameters, by place and name."""
    moments = optimizer.state_dict()["state"]
    return {f"{i}/{name}": tensor.clone() for i, of_one in moments.items() for name, tensor in of_one.items()}


def restore(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Gives an optimizer back what `tensors_of` told. Raises ValueError for what is of another one's parameters.

    Torch's fused steps look at no shape: a moment that is too small would have them write beyond it.
    """
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        i, _, what = name.partition("/")
        moments.setdefault(int(i), {})[what] = tensor
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for place, of_one in moments.items():
        shapes = {"step": torch.Size([]), **dict.fromkeys(("exp_avg", "exp_avg_sq"), parameters[place].shape)}
        if {what: tensor.shape for what, tensor in of_one.items() if tensor.dtype == torch.float32} != shapes:
            raise ValueError("it is the state of another optimizer")
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor.clone() for name, tensor in tensors.items()}


def below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a state whose names begin so, by the rest of their names."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in state.items() if name.startswith(start)}


def diverged(spec: ModelSpec, prefix: str, what: str) -> ModelError:
    """The error of a model none of whose scores was finite."""
    assert spec.config is not None
    rate = min(spec.config.learning_rate / 10, 1e-3)
    return ModelError(
        f"the {spec.kind} of {spec.domain} with seed {spec.seed} diverged: no {what} was finite; "
        f"try --set {prefix}.learning_rate={rate:g}"
    )


class _Progress:
    """A model in training: the step, the optimizer, the best state so far."""

    def __init__(self, spec: ModelSpec, model: nn.Module, streams: Mapping[str, torch.Generator]) -> None:
        config = spec.config
        assert isinstance(config, (VAEConfig, ClassifierConfig))
        decay = config.weight_decay if isinstance(config, ClassifierConfig) else 0.0
        self._spec, self._model, self._streams = spec, model, streams
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=decay, fused=True)
        self.step = 0
        self._best_score, self._best = float("-inf"), copy.deepcopy(model.state_dict())

    def keep_if_best(self, score: float) -> None:
        if score > self._best_score:
            self._best_score, self._best = score, copy.deepcopy(self._model.state_dict())

    def finish(self) -> None:
        if self._best_score == float("-inf"):
            prefix = "judge" if isinstance(self._spec.config, ClassifierConfig) else "vae"
            raise diverged(self._spec, prefix, "validation score")
        self._model.load_state_dict(self._best)
        self._model.cpu().eval().requires_grad_(False)

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs to go on to the same bits."""
        state = {"step": torch.tensor(self.step), "best_score": torch.tensor(self._best_score, dtype=torch.float64)}
        state |= with_prefix("model", self._model.state_dict()) | with_prefix("best", self._best)
        state |= {f"stream/{name}": generator.get_state() for name, generator in self._streams.items()}
        state |= with_prefix("optimizer", tensors_of(self.optimizer))
        return {name: tensor.cpu() for name, tensor in state.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.step, self._best_score = int(state["step"]), float(state["best_score"])
        self._best = below("best", state)
        self._model.load_state_dict(self._best)
        self._model.load_state_dict(below("model", state))
        for name, place in below("stream", state).items():
            self._streams[name].set_state(place)
        restore(self.optimizer, below("optimizer", state))
