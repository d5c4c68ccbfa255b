"""WaveGAN: a generator of waveforms and its critic, as published (Donahue, McAuley, Puckette; ICLR 2019).

The layers are those of a graph that keeps channels last and pads by the rule "same": a clip is a row of
samples, and what is reshaped or flattened is time-major. Shapes: B batch, D latent, C channels, T time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InvalidValueError
from ..wavegan_config import WaveGANConfig

KERNEL, STRIDE = 25, 4
BEFORE, AFTER = 10, 11
"""What "same" adds to a signal whose length the stride divides: KERNEL - STRIDE zeros, the odd one at the end."""
SLOPE = 0.2


def sizes(n_samples: int, config: WaveGANConfig) -> tuple[int, list[int]]:
    """The length of the innermost signal, and the channels from there to the clip. Raises InvalidValueError."""
    start, rest = divmod(n_samples, STRIDE**config.n_layers)
    if start == 0 or rest:
        most = next(n for n in itertools.count() if n_samples % STRIDE ** (n + 1))
        raise InvalidValueError(
            f"wavegan.n_layers={config.n_layers}: {n_samples:,} samples can be quartered {most} times; "
            f"give at most {most}"
        )
    if config.phase_shuffle >= STRIDE * start:
        raise InvalidValueError(
            f"wavegan.phase_shuffle={config.phase_shuffle}: the critic has a layer of {STRIDE * start} steps; give less"
        )
    return start, [*(config.n_filters * 2**i for i in reversed(range(config.n_layers))), 1]


class WaveGAN(nn.Module):
    """The generator: it decodes latents that are drawn from N(0, I). No clip can be encoded."""

    def __init__(self, n_samples: int, config: WaveGANConfig) -> None:
        super().__init__()
        self.config = config
        self.start, channels = sizes(n_samples, config)
        self.project = nn.Linear(config.latent_dim, self.start * channels[0])
        self.up = nn.ModuleList(
            nn.ConvTranspose1d(n_in, n_out, KERNEL, STRIDE, padding=BEFORE)
            for n_in, n_out in itertools.pairwise(channels)
        )

    def forward(self, z_BD: Tensor) -> Tensor:
        """Clips (B, T) in [-1, 1]."""
        x_BTC = self.project(z_BD).reshape(len(z_BD), self.start, -1)
        x_BCT = x_BTC.transpose(1, 2)
        for layer in self.up:
            x_BCT = layer(F.relu(x_BCT))[..., : STRIDE * x_BCT.shape[2]]  # "same" leaves out the last one
        return torch.tanh(x_BCT[:, 0])

    def decode(self, z_BD: Tensor) -> Tensor:
        """A clip (B, T) for each latent."""
        clips: Tensor = self(z_BD)
        return clips


class Critic(nn.Module):
    """Scores clips: the higher, the more they look real to it. It is needed for training alone."""

    def __init__(self, n_samples: int, config: WaveGANConfig) -> None:
        super().__init__()
        start, channels = sizes(n_samples, config)
        self.down = nn.ModuleList(
            nn.Conv1d(n_in, n_out, KERNEL, STRIDE) for n_in, n_out in itertools.pairwise(reversed(channels))
        )
        self.score = nn.Linear(start * channels[0], 1)

    def forward(self, x_BT: Tensor, shifts: Sequence[int]) -> Tensor:
        """The score of each clip, (B,); `shifts` are those of the phase shuffle after every layer but the last."""
        x_BCT = x_BT[:, None]
        for i, layer in enumerate(self.down):
            x_BCT = F.leaky_relu(layer(F.pad(x_BCT, (BEFORE, AFTER))), SLOPE)
            if i < len(self.down) - 1:
                x_BCT = shuffled(x_BCT, shifts[i])
        score_B1: Tensor = self.score(x_BCT.transpose(1, 2).flatten(1))
        return score_B1[:, 0]


def shuffled(x_BCT: Tensor, shift: int) -> Tensor:
    """Signals moved later by `shift` steps, or earlier where it is negative; what comes in is a reflection."""
    if shift == 0:
        return x_BCT
    padded_BCT = F.pad(x_BCT, (max(shift, 0), max(-shift, 0)), mode="reflect")
    return padded_BCT[..., max(-shift, 0) :][..., : x_BCT.shape[2]]


def draw_shifts(config: WaveGANConfig, generator: torch.Generator) -> tuple[int, ...]:
    """One shift of up to `phase_shuffle` steps for each layer that shuffles: all clips of a call share them."""
    most = config.phase_shuffle
    drawn: list[int] = torch.randint(-most, most + 1, (config.n_layers - 1,), generator=generator).tolist()
    return tuple(drawn)
