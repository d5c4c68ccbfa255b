"""One step of K bridges together: the loss of `model` with one more axis, its gradient, and Adam.

A step reads and writes tensors that stay where they are, and asks the host for nothing: on a GPU it is captured
once, as a CUDA graph, and then replayed. On a CPU it is run as it stands. Two operations differ between the two,
the sort in `losses` and Adam here; and on an x86-64 CPU `openblas` does the products in float32.

Shapes: T steps of a chunk, K members, R rows (2B of the batches, then 2L labelled), B batch, L labelled batch,
D latent, S shared, I a latent and its domain label, P directions, C classes, E terms, n a row's parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import CHUNK_STEPS, BridgeConfig
from .layout import Layout
from .losses import cross_entropy, kl, l2_weight, sliced_wasserstein, squared_error
from .stacked import StackedBridges
from .streams import Chunk

TERMS = ("total", "l2_a", "l2_b", "kl_a", "kl_b", "swd", "cls_a", "cls_b")
"""What a learning curve records: the loss, and its terms before their weights."""
ADAM: Any = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False, "maximize": False}
N_WARM_UP = 3
"""Steps before a capture, which are taken back: CUDA's libraries set themselves up in them."""


@dataclass(frozen=True)
class State:
    """Where K members stand: their parameters and Adam's moments (K, n), and the steps that each has taken (K,)."""

    parameters: Tensor
    first: Tensor
    second: Tensor
    steps: Tensor

    @classmethod
    def beginning(cls, parameters_Kn: Tensor) -> State:
        """Of members that have taken no step."""
        zeros = torch.zeros_like(parameters_Kn), torch.zeros_like(parameters_Kn)
        return cls(parameters_Kn, *zeros, torch.zeros(len(parameters_Kn), device=parameters_Kn.device))

    def of(self, slots: Tensor) -> State:
        """A copy of some members'."""
        return State(*(tensor.index_select(0, slots) for tensor in vars(self).values()))

    def copy_(self, other: State) -> None:
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.copy_(theirs)


class Lockstep:
    """K members of equal shape, and the step that they take together.

    `draws[k]` is where the streams of member k put what its next CHUNK_STEPS steps see; `take` takes them.
    """

    def __init__(self, layout: Layout, state: State, configs: Sequence[BridgeConfig], latent_dim: int) -> None:
        device, c = state.parameters.device, configs[0]
        self.state, self._configs, self._c = state, configs, c

        def per_member(values: list[float]) -> Tensor:
            return torch.tensor(values, device=device)[:, None]

        self._beta_l2 = per_member([l2_weight(c.reconstruction, latent_dim) for c in configs])
        self._beta_kl = per_member([c.beta_kl for c in configs])
        self._beta_cls = per_member([c.beta_cls for c in configs])
        self._beta_swd = per_member([c.beta_swd for c in configs])[:, 0]
        trained = [float(c.classifier_trained) for c in configs]
        self._trained_f_K11 = None if all(trained) else per_member(trained)[:, None]
        low = c.precision == "bfloat16"
        self._weights = state.parameters.to(torch.bfloat16) if low else state.parameters
        "what the products see: the parameters themselves, or a copy of them that each step renews"
        views = {name: view.detach().requires_grad_() for name, view in layout.views(self._weights).items()}
        self._gradient = torch.zeros_like(state.parameters)
        self._gradients = layout.views(self._gradient)
        self._bridges = StackedBridges(views, configs, self._gradients, training=True)
        # On a CPU each member by itself, so that its arithmetic is its own; on a GPU all of one rate in one kernel.
        self._updated_together = [[k] for k in range(len(configs))] if device.type == "cpu" else _by_rate(configs)
        self._make_inputs(latent_dim, device)
        self._graph: torch.cuda.CUDAGraph | None = None

    def _make_inputs(self, latent_dim: int, device: torch.device) -> None:
        c, k, t = self._c, len(self._configs), CHUNK_STEPS
        extra = 0 if c.labelled_batch == "masked" else c.labelled_batch_size
        counts = torch.tensor([c.batch_size, c.batch_size, extra, extra], device=device)
        side_R = torch.tensor([0, 1, 0, 1], device=device).repeat_interleave(counts)
        n_labelled = extra or c.batch_size
        self._x = torch.zeros(t, k, len(side_R), latent_dim + 2, device=device)
        self._x[..., latent_dim:] = self._bridges.domain(side_R, "encoder")
        self._decoded_as = self._bridges.domain(side_R[: 2 * c.batch_size], "decoder")
        self._noise = torch.zeros(t, k, len(side_R), c.shared_dim, device=device)
        self._labels = torch.zeros(t, k, 2, n_labelled, dtype=torch.long, device=device)
        self._directions = torch.zeros(t, k, c.n_projections, c.shared_dim, device=device)
        self._rates = torch.zeros(t, k, device=device)
        self._terms = torch.zeros(t, k, len(TERMS), device=device)
        self._t = torch.zeros(1, dtype=torch.long, device=device)
        "the place in the chunk"
        self.draws = [
            Chunk(self._x[:, i, :, :latent_dim], self._noise[:, i], self._labels[:, i], self._directions[:, i])
            for i in range(k)
        ]

    def take(self, start: int, n: int) -> Tensor:
        """Takes steps `start` to `start + n`, the first n of the chunk that was drawn; their TERMS (n, K, E)."""
        steps_T = np.arange(start, start + CHUNK_STEPS)
        rates_KT = np.stack([learning_rate(c, steps_T) for c in self._configs])
        self._rates.copy_(torch.from_numpy(rates_KT.T))
        self._t.zero_()
        step = self._step if self.state.parameters.device.type == "cpu" else self._captured().replay
        for _ in range(n):
            step()
        return self._terms[:n].cpu()

    def gradients(self) -> Tensor:
        """The gradients (K, n) of the loss of the chunk's first step, without taking it."""
        self._t.zero_()
        self._backward()
        return self._gradient

    def _captured(self) -> torch.cuda.CUDAGraph:
        if self._graph is None:
            beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                self._warm_up()
            torch.cuda.current_stream().wait_stream(beside)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):  # which records, and runs nothing
                self._step()
        return self._graph

    def _warm_up(self) -> None:
        """Takes N_WARM_UP steps and takes them back."""
        before = State(*(tensor.clone() for tensor in vars(self.state).values()))
        for _ in range(N_WARM_UP):
            self._step()
        self.state.copy_(before)
        self._t.zero_()

    def _step(self) -> None:
        """One step of Adam for each member."""
        terms_KE = self._backward()
        self._terms.index_copy_(0, self._t, terms_KE[None])
        self._adam(self._rates.index_select(0, self._t)[0])
        self._t += 1

    def _backward(self) -> Tensor:
        if self._weights is not self.state.parameters:
            self._weights.copy_(self.state.parameters)
        at = (tensor.index_select(0, self._t)[0] for tensor in (self._x, self._noise, self._labels, self._directions))
        terms_KE = self._loss(*at)
        # Members share nothing, so the gradient of their sum is each one's own. The products write it.
        terms_KE[:, 0].sum().backward()  # type: ignore[no-untyped-call]
        if self._trained_f_K11 is not None:
            for name in ("classifier.weight", "classifier.bias"):
                self._gradients[name].mul_(self._trained_f_K11)
        return terms_KE.detach()

    def _loss(self, x_KRI: Tensor, noise_KRS: Tensor, labels_K2L: Tensor, directions_KPS: Tensor) -> Tensor:
        """L = sum_d [L2_d + beta_KL KL_d] + beta_SWD SWD + beta_Cls sum_d H_d, and its terms: (K, E)."""
        c, b = self._c, self._c.batch_size

        def by_side(rows: Tensor) -> Tensor:
            return rows[:, : 2 * b].reshape(len(rows), 2, b, -1)

        mu_KRS, sigma_KRS = self._bridges.encode(x_KRI)
        shared_KRS = mu_KRS + sigma_KRS * noise_KRS
        z_hat_KRD = self._bridges.decode(torch.cat([shared_KRS[:, : 2 * b], self._decoded_as], dim=-1))
        l2_K2 = squared_error(by_side(x_KRI)[..., :-2], by_side(z_hat_KRD))
        kl_K2 = kl(by_side(mu_KRS), by_side(sigma_KRS))
        swd_K = sliced_wasserstein(shared_KRS[:, :b], shared_KRS[:, b : 2 * b], directions_KPS, c.swd)
        labelled_KRS = shared_KRS if c.labelled_batch == "masked" else shared_KRS[:, 2 * b :]
        logits_K2LC = self._bridges.classify(labelled_KRS).view(*labels_K2L.shape, -1)
        cls_K2 = cross_entropy(logits_K2LC, labels_K2L)
        total_K = (self._beta_l2 * l2_K2 + self._beta_kl * kl_K2 + self._beta_cls * cls_K2).sum(1)
        total_K = total_K + self._beta_swd * swd_K
        return torch.cat([total_K[:, None], l2_K2, kl_K2, swd_K[:, None], cls_K2], dim=1)

    def _adam(self, rates_K: Tensor) -> None:
        """Adam's update of every member, each at its own rate."""
        self.state.steps.add_(1)
        rows = (self.state.parameters, self._gradient, self.state.first, self.state.second)
        for slots in self._updated_together:
            p, g, m, v = ([tensor[slot] for slot in slots] for tensor in rows)
            steps = [self.state.steps[slot] for slot in slots]
            torch._fused_adam_(p, g, m, v, [], steps, lr=rates_K[slots[0]], **ADAM)


def _by_rate(configs: Sequence[BridgeConfig]) -> list[list[int]]:
    slots: dict[tuple[float, float], list[int]] = {}
    for slot, c in enumerate(configs):
        slots.setdefault((c.learning_rate, c.lr_decay_from), []).append(slot)
    return list(slots.values())


def learning_rate(config: BridgeConfig, step: int | NDArray[np.int64]) -> NDArray[np.float64]:
    """The rate of a step, or of each: constant, then falling linearly to zero from lr_decay_from on."""
    done = np.asarray(step) / config.n_steps
    falling = (1 - done) / max(1 - config.lr_decay_from, 1e-9)
    return config.learning_rate * np.where(done < config.lr_decay_from, 1.0, np.clip(falling, 0.0, 1.0))
