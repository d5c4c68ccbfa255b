"""The generator of a WaveGAN that was trained elsewhere, from a checkpoint in the names of its authors' code."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from ..wavegan_config import WaveGANConfig
from .tensor_bundle import TensorBundle, open_bundle
from .wavegan import KERNEL, sizes

Array = NDArray[Any]
SLOT = re.compile(r".*/Adam(_\d+)?$")
"""What an optimizer remembers; it is no part of the generator."""
MOST_LAYERS, MOST = 7, 65_536
"""Of a generator that one would import."""


@dataclass(frozen=True)
class Imported:
    """A generator: its sizes, with the digest of its weights, and its state dict."""

    config: WaveGANConfig
    state: dict[str, Tensor]


def read_wavegan(prefix: str | Path, n_samples: int) -> Imported:
    """The generator in a checkpoint, for clips of so many samples. Raises DataError for one that is another's.

    Its sizes follow from the shapes of its tensors.
    """
    bundle = open_bundle(prefix)
    n_layers = sum(re.fullmatch(r"G/upconv_\d+/conv2d_transpose/kernel", name) is not None for name in bundle.entries)
    config = _sizes_of(bundle, n_layers, n_samples)
    plan = _plan(config, n_samples)
    known = {name for name, _, _ in plan.values()}
    unknown = sorted(n for n in bundle.entries if n.startswith("G/") and n not in known and not SLOT.fullmatch(n))
    if unknown:
        raise DataError(f"{prefix} has {unknown[0]}, which a WaveGAN without batch norm and filters has not")
    state = {ours: _converted(bundle, *of_theirs) for ours, of_theirs in plan.items()}
    digest = hashlib.sha256(b"".join(ours.encode() + state[ours].numpy().tobytes() for ours in sorted(state)))
    imported = f"sha256:{digest.hexdigest()[:20]}"
    return Imported(replace(config, imported=imported).as_imported, state)


def _sizes_of(bundle: TensorBundle, n_layers: int, n_samples: int) -> WaveGANConfig:
    """By the shapes of the projection and of the innermost layer."""
    names = ("G/z_project/dense/kernel", "G/upconv_0/conv2d_transpose/kernel")
    shapes = [bundle.entries[name].shape for name in names if name in bundle.entries]
    if [len(shape) for shape in shapes] != [2, 4] or not 1 <= n_layers <= MOST_LAYERS:
        raise DataError(f"{bundle.prefix} has no generator of a WaveGAN: G/z_project and G/upconv_0 are not there")
    (latent_dim, n_projected), n_channels = shapes[0], shapes[1][3]
    n_filters, rest = divmod(n_channels, 2 ** (n_layers - 1))
    if rest or not (1 <= latent_dim <= MOST and 1 <= n_filters <= MOST):
        raise DataError(f"{bundle.prefix} has a generator of other sizes: {latent_dim} to {n_channels} channels")
    length = n_projected // n_channels * 4**n_layers
    if length != n_samples:
        raise DataError(
            f"{bundle.prefix} makes clips of {length:,} samples, and those of the domain have {n_samples:,}; "
            "take a domain whose clips are as long"
        )
    return WaveGANConfig(latent_dim=latent_dim, n_filters=n_filters, n_layers=n_layers)


def _plan(config: WaveGANConfig, n_samples: int) -> dict[str, tuple[str, tuple[int, ...], Callable[[Array], Array]]]:
    """By our name: theirs, the shape that theirs has, and how it becomes ours.

    Their kernels are of pictures one row high, (1, taps, out, in), and their matrices (in, out).
    """
    start, channels = sizes(n_samples, config)
    n_out = start * channels[0]
    plan: dict[str, tuple[str, tuple[int, ...], Callable[[Array], Array]]] = {
        "project.weight": ("G/z_project/dense/kernel", (config.latent_dim, n_out), np.transpose),
        "project.bias": ("G/z_project/dense/bias", (n_out,), np.asarray),
    }
    for i, (n_in, n_out) in enumerate(itertools.pairwise(channels)):
        theirs = f"G/upconv_{i}/conv2d_transpose"
        plan[f"up.{i}.weight"] = (f"{theirs}/kernel", (1, KERNEL, n_out, n_in), _kernel)
        plan[f"up.{i}.bias"] = (f"{theirs}/bias", (n_out,), np.asarray)
    return plan


def _kernel(kernel_1KOI: Array) -> Array:
    """(in, out, taps): none is turned round."""
    ours: Array = kernel_1KOI[0].transpose(2, 1, 0)
    return ours


def _converted(bundle: TensorBundle, name: str, shape: tuple[int, ...], convert: Callable[[Array], Array]) -> Tensor:
    entry = bundle.entries.get(name)
    if entry is not None and (entry.shape, entry.dtype_name) != (shape, "float32"):
        what = f"{entry.dtype_name} {entry.shape}"
        raise DataError(f"{bundle.prefix}: {name} is {what}, and should be float32 {shape}; give that of a WaveGAN")
    found = bundle.read(name)
    if not np.isfinite(found).all():
        raise DataError(f"{bundle.prefix}: {name} has values that are not finite; give a checkpoint that trained well")
    return torch.from_numpy(np.ascontiguousarray(convert(found)).copy())
