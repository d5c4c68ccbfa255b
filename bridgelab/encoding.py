"""Latents of samples, made once: by a base model's encoder, a chunk at a time.

A base model that is trained on moved images has its training images encoded in each of their places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch

from .base_models import BaseModel
from .base_models.shift import in_all_places, places
from .domains import Samples, Split, get_domain
from .lab import Lab
from .latents import Latents, write
from .specs import ModelSpec

CHUNK = 128
"""Rows a pass: enough for full speed, few enough to stay in the cache. Every chunk is filled up, so that a row's result
does not depend on N."""


@torch.inference_mode()
def encode(model: BaseModel, samples: Samples) -> Latents:
    """The posteriors of all samples under a base model."""
    mu, sigma = [], []
    for chunk, n in chunks(torch.from_numpy(samples.x)):
        mu_BD, sigma_BD = model.encode(chunk)
        mu.append(mu_BD[:n])
        sigma.append(sigma_BD[:n])
    return Latents(torch.cat(mu).numpy(), torch.cat(sigma).numpy(), samples.labels)


def chunks(rows: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
    """Rows (N, ...) in chunks of CHUNK, the last one filled with zeros, and how many are real."""
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        n = len(chunk)
        if n < CHUNK:
            chunk = torch.cat([chunk, chunk.new_zeros(CHUNK - n, *chunk.shape[1:])])
        yield chunk, n


def make(lab: Lab, spec: ModelSpec, model: BaseModel, samples: Mapping[Split, Samples]) -> None:
    """Encodes every split and publishes lab/latents/<latents_id>, unless it is there."""
    if not lab.exists(f"latents/{spec.latents_id}"):
        train = encode_in_all_places(spec, model, samples["train"])
        others = {split: encode(model, part) for split, part in samples.items() if split != "train"}
        write(lab, spec.latents_id, others | {"train": train})


def encode_in_all_places(spec: ModelSpec, model: BaseModel, samples: Samples) -> Latents:
    """The posteriors of all samples in each of the places that the base model was trained to see them in."""
    n_places = len(places(spec.shift))
    x = in_all_places(torch.from_numpy(samples.x.copy()), get_domain(spec.domain), spec.shift).numpy()
    return replace(encode(model, Samples(x, np.tile(samples.labels, n_places))), n_places=n_places)
