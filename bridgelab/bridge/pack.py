"""The training loop: K bridges of equal shape as one batched model.

The same equations as `model`, with one more axis: every tensor begins with K, the members. A member's
result does not depend on who else is in its pack. In eager float32 on a CPU it is the same to the bit,
alone and in company: each member has its own row of parameters, random streams and optimizer step, and
each operation treats members alike.

Shapes: K members, R rows (2B of the batches, then 2L labelled), B batch, L labelled batch, D latent,
S shared, H hidden, P directions, C classes, T steps of a chunk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base_models.checkpoint import initialise
from ..config import CHUNK_STEPS, BridgeConfig
from ..latents import Latents
from ..specs import TrialSpec
from .layout import Layout
from .losses import cross_entropy, kl, l2_weight, sliced_wasserstein, squared_error
from .model import BridgingVAE
from .stacked import StackedBridges, fold
from .streams import Chunk, TrialStreams

TERMS = ("total", "l2_a", "l2_b", "kl_a", "kl_b", "swd", "cls_a", "cls_b")
"""What a learning curve records: the loss, and its terms before their weights."""

N_CURVE_POINTS = 40
VALIDATED = ("transfer_accuracy_ab", "transfer_accuracy_ba")
"""What is measured on validation while bridges train."""
N_VALIDATIONS = 8
BUFFERS = ("parameters", "adam_first", "adam_second")
N_POPULATION = 1024
"""Rows of each side that the fixed statistics of batch norm are taken over."""
ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Member:
    """A trial of a pack with the training latents of its two sides."""

    spec: TrialSpec
    a: Latents
    b: Latents
    n_classes: int

    @property
    def latent_dim(self) -> int:
        return int(self.a.mu.shape[1])


@dataclass
class Trained:
    """What training made of one member."""

    weights: dict[str, Tensor] | None
    "the reference module's tensors; None where the loss was not finite"
    curve: list[tuple[int, NDArray[np.float32]]] = field(default_factory=list)
    "(step, TERMS)"
    validation: list[tuple[int, NDArray[np.float32]]] = field(default_factory=list)
    "(step, VALIDATED)"
    failed_at: int | None = None
    "the first step whose loss, or the last one whose gradient, was not finite"


class Pack:
    """K members in training. `run` is the loop; a pack of one is the ordinary trial."""

    def __init__(self, members: Sequence[Member], device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.configs = [member.spec.settings.bridge for member in members]
        self.results = [Trained(weights=None) for _ in members]
        self.alive = list(range(len(members)))
        self.layout = Layout(members[0].latent_dim, members[0].n_classes, self.configs[0])
        self._streams = [TrialStreams(member.spec, member.a, member.b) for member in members]
        initial = [initial_weights(member) for member in members]
        self._names = [list(state) for state in initial]
        parameters = torch.zeros(len(members), self.layout.row_size)
        for row, state in zip(parameters, initial, strict=True):
            self.layout.fill(row, state)
        parameters = parameters.to(self.device)
        self._buffers = (parameters, torch.zeros_like(parameters), torch.zeros_like(parameters))
        self._steps = torch.zeros(len(members), device=self.device)
        self.n_done = 0
        "steps that all living members have taken"
        self._prepare(members[0].latent_dim)

    def run(self, on_chunk: Callable[[int], None] = lambda step: None, until: int | None = None) -> list[Trained]:
        """Trains all members to their last step, or to step `until`; results in the order of the members.

        `until` is a multiple of CHUNK_STEPS. `on_chunk` is called with the number of steps done. A member
        whose loss is not finite leaves the pack with `failed_at` set; the others go on.
        """
        n_steps = self.configs[0].n_steps
        every = max(1, n_steps // N_CURVE_POINTS)
        while self.n_done < (until or n_steps) and self.alive:
            start = self.n_done
            chunk = self._next_chunk()
            stop = min(start + CHUNK_STEPS, n_steps)
            terms_TKE = torch.stack([self._step(step, step - start, chunk) for step in range(start, stop)]).cpu()
            self._record(start, every, terms_TKE)
            self.n_done = stop
            on_chunk(stop)
        if self.n_done == n_steps:
            self._finish()
        return self.results

    def _finish(self) -> None:
        for row, member in zip(self._trained(), self.alive, strict=True):
            if torch.isfinite(row).all():
                self.results[member].weights = self.layout.extract(row, self._names[member])
            else:
                self.results[member].failed_at = self.n_done  # the loss was still finite, its gradient was not

    def validation_due(self) -> bool:
        """Whether the chunk that was just done went past one of N_VALIDATIONS evenly spaced places."""
        every = max(CHUNK_STEPS, self.configs[0].n_steps // N_VALIDATIONS)
        last = self.n_done == self.configs[0].n_steps
        return bool(self.alive) and (last or self.n_done // every > (self.n_done - CHUNK_STEPS) // every)

    def bridges(self) -> StackedBridges:
        """The living members as they stand, on the CPU."""
        return StackedBridges(self.layout.views(self._trained()), [self.configs[member] for member in self.alive])

    def _trained(self) -> Tensor:
        """The rows of the living members as bridges have them that train no longer, on the CPU."""
        configs = [self.configs[member] for member in self.alive]
        if not any(c.batch_norm for c in configs):
            return self._buffers[0].cpu()
        parameters = self._buffers[0].cpu().clone()
        populations = [self._streams[member].population(N_POPULATION) for member in self.alive]
        z_KRD, noise_KRS = (torch.stack(tensors) for tensors in zip(*populations, strict=True))
        side_R = torch.tensor([0, 1]).repeat_interleave(N_POPULATION)
        fold(StackedBridges(self.layout.views(parameters), configs, training=True), z_KRD, noise_KRS, side_R)
        return parameters

    def record_validation(self, values_KM: Tensor) -> None:
        """Keeps VALIDATED of the living members."""
        for member, values in zip(self.alive, values_KM, strict=True):
            self.results[member].validation.append((self.n_done, values.numpy().copy()))

    def snapshot(self) -> dict[str, Tensor]:
        """All that `restore` needs to go on to the same bits, between two chunks."""
        return joined([self.state_of(member) for member in range(len(self.results))], self.n_done)

    def state_of(self, member: int) -> dict[str, Tensor]:
        """A member's part of a snapshot: it goes on from it in whatever company."""
        result = self.results[member]
        state = {"failed_at": torch.tensor(result.failed_at or 0)}
        for name, points, width in ("curve", result.curve, len(TERMS)), ("val", result.validation, len(VALIDATED)):
            state[f"{name}_steps"] = torch.tensor([step for step, _ in points], dtype=torch.long)
            state[name] = torch.from_numpy(np.array([values for _, values in points], np.float32).reshape(-1, width))
        if member in self.alive:
            slot = self.alive.index(member)
            state["steps"] = self._steps[slot].cpu().clone()
            state |= {n: buffer[slot].cpu().clone() for n, buffer in zip(BUFFERS, self._buffers, strict=True)}
            state |= {f"stream/{name}": place for name, place in self._streams[member].state().items()}
        return state

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """Goes back to a snapshot of a pack of the same members."""
        self.n_done = int(snapshot["n_done"])
        states = [_below(f"{member}/", snapshot) for member in range(len(self.results))]
        self.alive = [member for member, state in enumerate(states) if "steps" in state]
        for member, state in enumerate(states):
            result = self.results[member]
            result.failed_at = int(state["failed_at"]) or None
            result.curve, result.validation = (
                list(zip(state[f"{name}_steps"].tolist(), state[name].numpy(), strict=True))
                for name in ("curve", "val")
            )
        if self.alive:
            living = [states[member] for member in self.alive]
            steps, parameters, first, second = (
                torch.stack([state[name] for state in living]).to(self.device) for name in ("steps", *BUFFERS)
            )
            self._steps, self._buffers = steps, (parameters, first, second)
            for member, state in zip(self.alive, living, strict=True):
                self._streams[member].restore(_below("stream/", state))
            self._prepare(self._latent_dim)

    def gradients(self) -> Tensor:
        """The gradients of the first step's loss, (K, n), without taking the step."""
        self._backward(self._next_chunk(), 0)
        return self._gradient

    def _prepare(self, latent_dim: int) -> None:
        """Everything that depends on who is in the pack: per-member coefficients, views, row labels."""
        configs = [self.configs[member] for member in self.alive]

        def per_member(values: list[float]) -> Tensor:
            return torch.tensor(values, device=self.device)[:, None]

        self._latent_dim = latent_dim
        self._beta_l2 = per_member([l2_weight(c.reconstruction, latent_dim) for c in configs])
        self._beta_kl = per_member([c.beta_kl for c in configs])
        self._beta_cls = per_member([c.beta_cls for c in configs])
        self._beta_swd = per_member([c.beta_swd for c in configs])[:, 0]
        self._frozen_f = [slot for slot, c in enumerate(configs) if not c.classifier_trained]
        self._gradient = torch.zeros_like(self._buffers[0])
        low = configs[0].precision == "bfloat16"
        self._weights = self._buffers[0].to(torch.bfloat16) if low else self._buffers[0]
        "what the products see: the parameters themselves, or a copy of them that each step renews"
        self._leaves = {n: view.detach().requires_grad_() for n, view in self.layout.views(self._weights).items()}
        self._bridges = StackedBridges(self._leaves, configs, training=True)
        b = configs[0].batch_size
        labelled = 0 if configs[0].labelled_batch == "masked" else configs[0].labelled_batch_size
        sides = torch.tensor([0, 1, 0, 1], device=self.device)
        counts = torch.tensor([b, b, labelled, labelled], device=self.device)
        self._encoded_as = self._bridges.domain(sides.repeat_interleave(counts), "encoder")
        self._decoded_as = self._bridges.domain(sides.repeat_interleave(counts)[: 2 * b], "decoder")

    def _next_chunk(self) -> Chunk:
        """The next draws of all members, with K after T: z (T, K, R, D) and so on."""
        drawn = [self._streams[member].next_chunk() for member in self.alive]
        return Chunk(
            *(
                torch.stack([getattr(chunk, f.name) for chunk in drawn], dim=1).to(self.device)
                for f in dataclasses.fields(Chunk)
            )
        )

    def _step(self, step: int, t: int, chunk: Chunk) -> Tensor:
        """One step of Adam for each member; returns TERMS, (K, E)."""
        terms_KE = self._backward(chunk, t)
        parameters, first, second = self._buffers
        self._steps += 1
        for slot, member in enumerate(self.alive):
            # One call a row: each member has its own rate, and a row's arithmetic is its own.
            torch._fused_adam_(
                [parameters[slot]],
                [self._gradient[slot]],
                [first[slot]],
                [second[slot]],
                [],
                [self._steps[slot]],
                lr=learning_rate(self.configs[member], step),
                beta1=ADAM_BETAS[0],
                beta2=ADAM_BETAS[1],
                weight_decay=0.0,
                eps=ADAM_EPS,
                amsgrad=False,
                maximize=False,
            )
        return terms_KE

    def _backward(self, chunk: Chunk, t: int) -> Tensor:
        if self._weights is not self._buffers[0]:
            self._weights.copy_(self._buffers[0])
        terms_KE = self._terms(chunk.z[t], chunk.noise[t], chunk.labels[t], chunk.directions[t])
        # Members share nothing, so the gradient of their sum is each one's own.
        found = torch.autograd.grad(terms_KE[:, 0].sum(), list(self._leaves.values()))
        for (name, view), gradient in zip(self.layout.views(self._gradient).items(), found, strict=True):
            view.copy_(gradient)
            if self._frozen_f and name.startswith("classifier"):
                view[self._frozen_f] = 0
        return terms_KE.detach()

    def _terms(self, z_KRD: Tensor, noise_KRS: Tensor, labels_K2L: Tensor, directions_KPS: Tensor) -> Tensor:
        """L = sum_d [L2_d + beta_KL KL_d] + beta_SWD SWD + beta_Cls sum_d H_d, and its terms: (K, E)."""
        c, b = self.configs[0], self.configs[0].batch_size

        def by_side(rows: Tensor) -> Tensor:
            return rows[:, : 2 * b].reshape(len(rows), 2, b, -1)

        mu_KRS, sigma_KRS = self._bridges.encode(z_KRD, self._encoded_as)
        shared_KRS = mu_KRS + sigma_KRS * noise_KRS
        z_hat_KRD = self._bridges.decode(shared_KRS[:, : 2 * b], self._decoded_as)
        l2_K2 = squared_error(by_side(z_KRD), by_side(z_hat_KRD))
        kl_K2 = kl(by_side(mu_KRS), by_side(sigma_KRS))
        swd_K = sliced_wasserstein(shared_KRS[:, :b], shared_KRS[:, b : 2 * b], directions_KPS, c.swd)
        labelled_KRS = shared_KRS if c.labelled_batch == "masked" else shared_KRS[:, 2 * b :]
        logits_K2LC = self._bridges.classify(labelled_KRS).reshape(*labels_K2L.shape, -1)
        cls_K2 = cross_entropy(logits_K2LC, labels_K2L)
        total_K = (self._beta_l2 * l2_K2 + self._beta_kl * kl_K2 + self._beta_cls * cls_K2).sum(1)
        total_K = total_K + self._beta_swd * swd_K
        return torch.cat([total_K[:, None], l2_K2, kl_K2, swd_K[:, None], cls_K2], dim=1)

    def _record(self, start: int, every: int, terms_TKE: Tensor) -> None:
        """Keeps the points of the curves, and lets members go whose loss was not finite."""
        finite_TK = torch.isfinite(terms_TKE[..., 0])
        for slot, member in enumerate(self.alive):
            bad = (~finite_TK[:, slot]).nonzero()
            n_good = int(bad[0]) if len(bad) else len(terms_TKE)
            result = self.results[member]
            result.failed_at = start + n_good + 1 if len(bad) else None
            for t in range(n_good):
                step = start + t + 1
                if step % every == 0 or step == self.configs[0].n_steps:
                    result.curve.append((step, terms_TKE[t, slot].numpy().copy()))
        survivors = [slot for slot, member in enumerate(self.alive) if self.results[member].failed_at is None]
        if len(survivors) < len(self.alive):
            self._keep(survivors)

    def _keep(self, slots: list[int]) -> None:
        """Goes on with some members only; what they compute stays the same."""
        index = torch.tensor(slots, dtype=torch.long, device=self.device)
        self.alive = [self.alive[slot] for slot in slots]
        parameters, first, second = (buffer.index_select(0, index) for buffer in self._buffers)
        self._buffers = (parameters, first, second)
        self._steps = self._steps.index_select(0, index)
        if slots:
            self._prepare(self._latent_dim)


def joined(states: Sequence[Mapping[str, Tensor]], n_done: int) -> dict[str, Tensor]:
    """The snapshot of a pack after n_done steps, of its members' states in their order."""
    return {"n_done": torch.tensor(n_done)} | {
        f"{member}/{name}": tensor for member, state in enumerate(states) for name, tensor in state.items()
    }


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def initial_weights(member: Member) -> dict[str, Tensor]:
    """The reference module's tensors before training, from the trial's own streams."""
    with torch.device("meta"):  # no draw from the global generator
        module = BridgingVAE(member.latent_dim, member.n_classes, member.spec.settings.bridge)
    module.to_empty(device="cpu")
    initialise(module, "bridge", member.spec.bridge_seed)
    return dict(module.state_dict())


def learning_rate(config: BridgeConfig, step: int) -> float:
    """The rate of a step: constant, then falling linearly to zero from lr_decay_from on."""
    done = step / config.n_steps
    if done < config.lr_decay_from:
        return config.learning_rate
    return config.learning_rate * (1 - done) / (1 - config.lr_decay_from)
