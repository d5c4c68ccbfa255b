"""Where the tensors of a bridge lie in its row of a pack.

A pack keeps its members' parameters as rows of one buffer (K, n). Tensors that one matrix product can
serve lie side by side: the four parts of the encoder's two gated heads, the two of the decoder's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import BridgeConfig

ALIGN = 64
"""Floats that every block is filled up to: vectorised and scalar code then never meet inside a row at a
place that depends on the pack, which would change the last bits."""


@dataclass(frozen=True)
class Block:
    """A matrix (rows, cols) of the buffer, at `start` in each row."""

    start: int
    rows: int
    cols: int

    @property
    def size(self) -> int:
        return self.rows * self.cols


@dataclass(frozen=True)
class Piece:
    """Where a tensor of the reference module lies: some columns of a block, transposed."""

    block: str
    column: int
    width: int


class Layout:
    """The blocks of a row, and the pieces of the reference module in them."""

    def __init__(self, latent_dim: int, n_classes: int, config: BridgeConfig) -> None:
        self.blocks: dict[str, Block] = {}
        self.pieces: dict[str, Piece] = {}
        self.row_size = 0
        s, n_in, n_shared = config.shared_dim, latent_dim + 2, config.shared_dim + 2
        self._trunk("encoder", n_in, config)
        self._linear(
            "encoder.head",
            config.hidden_dim,
            s,
            "encoder_mu.delta encoder_sigma.delta encoder_mu.gate encoder_sigma.gate",
        )
        self._linear("encoder.skip", n_in, s, "encoder_mu.skip encoder_sigma.skip")
        self._trunk("decoder", n_shared, config)
        self._linear("decoder.head", config.hidden_dim, latent_dim, "decoder_head.delta decoder_head.gate")
        self._linear("decoder.skip", n_shared, latent_dim, "decoder_head.skip")
        gate = " classifier.gate" if config.classifier == "gated" else ""
        self._linear("classifier", s, n_classes, "classifier.linear" + gate)

    def views(self, buffer: Tensor) -> dict[str, Tensor]:
        """Every block of a buffer (K, n) as matrices (K, rows, cols) that share its memory."""
        return {
            name: buffer[:, b.start : b.start + b.size].view(len(buffer), b.rows, b.cols)
            for name, b in self.blocks.items()
        }

    def fill(self, row: Tensor, state: Mapping[str, Tensor]) -> None:
        """Writes the reference module's tensors into a row (n,); blocks that it lacks stay zero."""
        blocks = self.views(row.unsqueeze(0))
        for name, tensor in state.items():
            piece = self.pieces[name]
            matrix = tensor.T if tensor.ndim == 2 else tensor.unsqueeze(0)
            blocks[piece.block][0, :, piece.column : piece.column + piece.width] = matrix

    def extract(self, row: Tensor, names: list[str]) -> dict[str, Tensor]:
        """The named tensors of the reference module from a row (n,), as copies."""
        blocks = self.views(row.unsqueeze(0))
        state = {}
        for name in names:
            piece = self.pieces[name]
            matrix = blocks[piece.block][0, :, piece.column : piece.column + piece.width]
            state[name] = (matrix.T if name.endswith("weight") else matrix[0]).clone(
                memory_format=torch.contiguous_format
            )
        return state

    def _trunk(self, name: str, n_in: int, config: BridgeConfig) -> None:
        for i in range(config.n_layers):
            self._linear(
                f"{name}.{i}", n_in if i == 0 else config.hidden_dim, config.hidden_dim, f"{name}_trunk.{2 * i}"
            )

    def _linear(self, block: str, n_in: int, width: int, modules: str) -> None:
        names = modules.split()
        self._add(f"{block}.weight", n_in, width * len(names))
        self._add(f"{block}.bias", 1, width * len(names))
        for i, module in enumerate(names):
            for kind in ("weight", "bias"):
                self.pieces[f"{module}.{kind}"] = Piece(f"{block}.{kind}", i * width, width)

    def _add(self, name: str, rows: int, cols: int) -> None:
        self.blocks[name] = Block(self.row_size, rows, cols)
        self.row_size += -(-rows * cols // ALIGN) * ALIGN
