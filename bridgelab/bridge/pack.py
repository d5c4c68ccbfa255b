"""The training loop: K bridges of equal shape as one batched model.

Each member has its own row of parameters, random streams and optimizer step, and each operation of their
step, in `lockstep`, treats members alike: on a CPU a member's result is the same to the bit alone and in
whatever company. A member whose loss is not finite leaves, and the others go on.

Shapes: K members, D latent, S shared, R rows, T steps of a chunk, E terms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base_models.checkpoint import give_memory, initialise
from ..config import CHUNK_STEPS
from ..latents import Latents
from ..specs import TrialSpec
from .layout import Layout
from .lockstep import TERMS, Lockstep, State
from .model import BridgingVAE
from .stacked import StackedBridges, fold
from .streams import Shared, TrialStreams

N_CURVE_POINTS = 40
VALIDATED = ("transfer_accuracy_ab", "transfer_accuracy_ba")
"""What is measured on validation while bridges train."""
N_VALIDATIONS = 8
SAVED_AS = {"parameters": "parameters", "first": "adam_first", "second": "adam_second", "steps": "steps"}
"""The fields of a State, as a snapshot names them."""
N_POPULATION = 1024
"""Rows of each side that the fixed statistics of batch norm are taken over."""


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
        shared = Shared(self.device)
        self._streams = [TrialStreams(m.spec, m.a, m.b, self.device, shared) for m in members]
        initial = [initial_weights(member) for member in members]
        self._names = [list(state) for state in initial]
        parameters = torch.zeros(len(members), self.layout.row_size)
        for row, state in zip(parameters, initial, strict=True):
            self.layout.fill(row, state)
        self._latent_dim = members[0].latent_dim
        self.n_done = 0
        "steps that all living members have taken"
        self._go_on_from(State.beginning(parameters.to(self.device)))

    def run(self, on_chunk: Callable[[int], None] = lambda step: None, until: int | None = None) -> list[Trained]:
        """Trains all members to their last step, or to step `until`; results in the order of the members.

        `until` is a multiple of CHUNK_STEPS. `on_chunk` is called with the number of steps done. A member
        whose loss is not finite leaves the pack with `failed_at` set; the others go on.
        """
        n_steps = self.configs[0].n_steps
        every = max(1, n_steps // N_CURVE_POINTS)
        while self.n_done < (until or n_steps) and self.alive:
            start = self.n_done
            stop = min(start + CHUNK_STEPS, n_steps)
            self._draw()
            self._record(start, every, self._together.take(start, stop - start))
            self.n_done = stop
            on_chunk(stop)
        if self.n_done == n_steps:
            self._finish()
        return self.results

    def rehearse(self, n_steps: int) -> None:
        """Draws a chunk and takes up to that many of its steps, as a first step each time: to see how long it takes."""
        self._draw()
        self._together.take(0, n_steps)

    def _finish(self) -> None:
        if not self.alive:
            return
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
        if not configs or not configs[0].batch_norm:
            return self._together.state.parameters.cpu()
        parameters = self._together.state.parameters.cpu().clone()
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
            of_all = vars(self._together.state)
            state |= {SAVED_AS[name]: tensor[slot].cpu().clone() for name, tensor in of_all.items()}
            state |= {f"stream/{name}": place for name, place in self._streams[member].state().items()}
        return state

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """Goes back to a snapshot of a pack of the same members.

        Raises KeyError, RuntimeError or ValueError for one of another, and then the pack is good for nothing.
        """
        self.n_done = int(snapshot["n_done"])
        states = [_below(f"{member}/", snapshot) for member in range(len(self.results))]
        if not 0 <= self.n_done <= self.configs[0].n_steps or not all(map(self._fits, self.alive, states)):
            raise ValueError("it is a snapshot of another pack")
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
            for member, state in zip(self.alive, living, strict=True):
                self._streams[member].restore(_below("stream/", state))
            saved = {n: torch.stack([s[there] for s in living]).to(self.device) for n, there in SAVED_AS.items()}
            self._go_on_from(State(**saved))

    def _fits(self, member: int, state: Mapping[str, Tensor]) -> bool:
        """Whether a member's state has the shapes of this pack, where it is alive."""
        ours = {name: tensor for name, tensor in self.state_of(member).items() if name in SAVED_AS.values()}
        return "steps" not in state or all(
            state[name].shape == tensor.shape and state[name].dtype == tensor.dtype for name, tensor in ours.items()
        )

    def gradients(self) -> Tensor:
        """The gradients of the first step's loss, (K, n), without taking the step."""
        self._draw()
        return self._together.gradients()

    def _draw(self) -> None:
        for member, draws in zip(self.alive, self._together.draws, strict=True):
            self._streams[member].draw(draws)

    def _go_on_from(self, state: State) -> None:
        """With the living members, which stand there."""
        configs = [self.configs[member] for member in self.alive]
        self._together = Lockstep(self.layout, state, configs, self._latent_dim)

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
        self.alive = [self.alive[slot] for slot in slots]
        if slots:
            self._go_on_from(self._together.state.of(torch.tensor(slots, device=self.device)))


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
    give_memory(module)
    initialise(module, "bridge", member.spec.bridge_seed)
    return dict(module.state_dict())
