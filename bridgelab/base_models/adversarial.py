"""The training of a WaveGAN: Wasserstein distance with gradient penalty, and its inception score meanwhile.

The generator of the best score is kept. The loop goes on from its checkpoint, alone to the same bits.
Shapes: B batch, D latent, T time, N clips, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import stream_seed
from ..domains import Domain
from ..errors import InvalidValueError
from ..specs import ModelSpec
from ..wavegan_config import WaveGANConfig
from . import Examiner
from .checkpoint import build, initialise_glorot
from .fit import ALONE, N_CHECKS, ModelCheckpoint, Team, below, diverged, restore, tensors_of, with_prefix
from .wavegan import Critic, WaveGAN, draw_shifts

Shifts = Sequence[int]
STREAMS = ("batches", "prior", "mixture", "phase")
BETAS = (0.5, 0.9)
N_AT_ONCE = 256
"""Clips that are scored at once."""


class CriticLoss(nn.Module):
    """What the critic minimises. A module, for a team to average its gradients."""

    def __init__(self, critic: Critic, penalty: float) -> None:
        super().__init__()
        self.critic, self.penalty = critic, penalty

    def forward(self, real_BT: Tensor, fake_BT: Tensor, mixture_B: Tensor, shifts: Sequence[Shifts]) -> Tensor:
        """E score(fake) - E score(real) + penalty * E (slope - 1)^2; `shifts` are of real, fake and mixed clips.

        The slope is taken at `mixture_B` of the way from a real clip to a fake one.
        """
        distance = self.critic(fake_BT, shifts[1]).mean() - self.critic(real_BT, shifts[0]).mean()
        mixed_BT = (real_BT + mixture_B[:, None] * (fake_BT - real_BT)).detach().requires_grad_()
        (slope_BT,) = torch.autograd.grad(self.critic(mixed_BT, shifts[2]).sum(), mixed_BT, create_graph=True)
        loss: Tensor = distance + self.penalty * (slope_BT.norm(dim=1) - 1).square().mean()
        return loss


class GeneratorLoss(nn.Module):
    """What the generator minimises: the critic's score of what it makes, negated."""

    def __init__(self, generator: WaveGAN) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z_BD: Tensor, critic: Critic, shifts: Shifts) -> Tensor:
        loss: Tensor = -critic(self.generator(z_BD), shifts).mean()
        return loss


@dataclass(frozen=True)
class Scored:
    """A trained generator and how its inception score went."""

    model: WaveGAN
    scores: Sequence[tuple[int, float]]
    "(step, inception score)"

    @property
    def best(self) -> tuple[int, float]:
        return max(self.scores, key=lambda scored: (scored[1], -scored[0]))


def train_wavegan(
    spec: ModelSpec,
    domain: Domain,
    real_NT: Tensor,
    judge: Examiner,
    team: Team = ALONE,
    kept: ModelCheckpoint | None = None,
) -> Scored:
    """The generator of the best inception score under a judge. Raises ModelError where none was finite."""
    training = _Training(spec, domain, team)
    config = training.config
    if kept is not None and (state := kept.load()) is not None:
        kept.restore(training.restore, state)
    every = max(1, config.n_steps // N_CHECKS)
    while training.step < config.n_steps:
        for _ in range(config.n_critic):
            training.improve_critic(real_NT)
        training.improve_generator()
        training.step += 1
        if training.step % every == 0 or training.step == config.n_steps:
            training.keep_if_best(inception_score(training.generator, judge, training.fixed, team.device))
        if kept is not None and team.rank == 0:
            kept.save_if_due(training.state)
    return training.finish()


@torch.inference_mode()
def inception_score(model: WaveGAN, judge: Examiner, z_ND: Tensor, device: str = "cpu") -> float:
    """exp of the mean KL divergence from the classes of all clips to those of each, as a judge sees them."""
    parts = [judge.features(model.decode(part.to(device)).cpu()).softmax for part in torch.split(z_ND, N_AT_ONCE)]
    return score_of_classes(torch.cat(parts))


def score_of_classes(p_NC: Tensor) -> float:
    """The inception score of class probabilities: from 1 to C."""
    p_NC = p_NC.double()
    kl_N = (torch.xlogy(p_NC, p_NC) - torch.xlogy(p_NC, p_NC.mean(0))).sum(1)
    return float(kl_N.mean().exp())


class _Training:
    """A generator and its critic: the step, both optimizers, what is drawn from, the best generator so far."""

    def __init__(self, spec: ModelSpec, domain: Domain, team: Team) -> None:
        config, generator = spec.config, build(spec, domain)
        assert isinstance(config, WaveGANConfig)
        assert isinstance(generator, WaveGAN)
        if config.batch_size % team.size:
            raise InvalidValueError(
                f"--workers {team.size}: batches of {config.batch_size} rows cannot be shared evenly"
            )
        names = ("base_model", spec.domain, spec.kind, spec.seed)
        self.config, self.generator, self._spec, self._team = config, generator, spec, team
        critic = Critic(domain.sample_shape[0], config)
        initialise_glorot(critic, *names, "critic")
        self._critic = critic.to(team.device)
        self.generator.to(team.device)
        self._optimizers = {
            name: torch.optim.Adam(module.parameters(), lr=config.learning_rate, betas=BETAS)
            for name, module in self._modules.items()
        }
        self._critic_loss = team.wrap(CriticLoss(self._critic, config.penalty))
        self._generator_loss = team.wrap(GeneratorLoss(self.generator))
        self._streams = {n: torch.Generator().manual_seed(stream_seed(*names, n)) for n in STREAMS}
        fixed = torch.Generator().manual_seed(stream_seed(*names, "validation"))
        self.fixed = torch.randn(config.n_scored, config.latent_dim, generator=fixed)
        self.step, self._scores = 0, list[tuple[int, float]]()
        self._best = copy.deepcopy(self.generator.state_dict())

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "critic": self._critic}

    def improve_critic(self, real_NT: Tensor) -> None:
        config, streams = self.config, self._streams
        index_B = torch.randint(len(real_NT), (config.batch_size,), generator=streams["batches"])
        z_BD = self._latents()
        mixture_B = torch.rand(config.batch_size, generator=streams["mixture"]).to(z_BD.device)
        shifts = [draw_shifts(config, streams["phase"]) for _ in range(3)]
        rows = self._team.rows
        with torch.no_grad():
            fake_BT = self.generator(z_BD[rows])
        real_BT = real_NT[index_B.to(real_NT.device)][rows]
        self._optimizers["critic"].zero_grad(set_to_none=True)
        self._critic_loss(real_BT, fake_BT, mixture_B[rows], shifts).backward()
        self._optimizers["critic"].step()

    def improve_generator(self) -> None:
        shifts, z_BD = draw_shifts(self.config, self._streams["phase"]), self._latents()
        self._optimizers["generator"].zero_grad(set_to_none=True)
        self._critic.requires_grad_(False)
        self._generator_loss(z_BD[self._team.rows], self._critic, shifts).backward()
        self._critic.requires_grad_(True)
        self._optimizers["generator"].step()

    def _latents(self) -> Tensor:
        shape = (self.config.batch_size, self.config.latent_dim)
        return torch.randn(shape, generator=self._streams["prior"]).to(self._team.device)

    def keep_if_best(self, score: float) -> None:
        if all(score > earlier for _, earlier in self._scores) and score < float("inf"):
            self._best = copy.deepcopy(self.generator.state_dict())
        if score == score:  # not nan
            self._scores.append((self.step, score))

    def finish(self) -> Scored:
        if not self._scores:
            raise diverged(self._spec, "wavegan", "inception score")
        self.generator.load_state_dict(self._best)
        self.generator.cpu().eval().requires_grad_(False)
        return Scored(self.generator, tuple(self._scores))

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs to go on to the same bits."""
        state = {"step": torch.tensor(self.step)} | with_prefix("best", self._best)
        state["scores"] = torch.tensor(self._scores, dtype=torch.float64).reshape(-1, 2)
        state |= {f"stream/{name}": generator.get_state() for name, generator in self._streams.items()}
        for name, module in self._modules.items():
            state |= with_prefix(f"model/{name}", module.state_dict())
            state |= with_prefix(f"optimizer/{name}", tensors_of(self._optimizers[name]))
        return {name: tensor.cpu() for name, tensor in state.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.step, self._best = int(state["step"]), below("best", state)
        self._scores = [(int(step), score) for step, score in state["scores"].tolist()]
        for name, place in below("stream", state).items():
            self._streams[name].set_state(place)
        for name, module in self._modules.items():
            module.load_state_dict(below(f"model/{name}", state))
            restore(self._optimizers[name], below(f"optimizer/{name}", state))
