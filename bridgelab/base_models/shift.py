"""Images moved by whole pixels: what a base model or judge is trained on with `shift`. Shapes: B batch, X pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..domains import Domain
from ..errors import InvalidValueError


def shifted(x_BX: Tensor, domain: Domain, most: int, generator: torch.Generator) -> Tensor:
    """Images moved by up to `most` pixels down and across, each by its own draw; what comes in is black."""
    if most == 0:
        return x_BX
    down_B, across_B = torch.randint(2 * most + 1, (2, len(x_BX)), generator=generator).to(x_BX.device)
    return _moved(x_BX, domain, most, down_B, across_B)


def places(most: int) -> list[tuple[int, int]]:
    """(down, across) of the places at most so many steps of one pixel away: its own place, then the others."""
    steps = range(-most, most + 1)
    return sorted(
        ((i, j) for i in steps for j in steps if abs(i) + abs(j) <= most), key=lambda at: (abs(at[0]) + abs(at[1]), at)
    )


def in_all_places(x_BX: Tensor, domain: Domain, most: int) -> Tensor:
    """The images in each of the places, (B * places, X): all of them in the first place, then in the next."""
    if most == 0:
        return x_BX
    every = [(torch.full((len(x_BX),), most + i), torch.full((len(x_BX),), most + j)) for i, j in places(most)]
    return torch.cat([_moved(x_BX, domain, most, down_B, across_B) for down_B, across_B in every])


def _moved(x_BX: Tensor, domain: Domain, most: int, down_B: Tensor, across_B: Tensor) -> Tensor:
    """Windows of the padded images that begin `down_B` and `across_B` pixels in, of 2 * most."""
    if domain.picture_shape is None:
        raise InvalidValueError(f"{domain.name} has no images to shift; leave out vae.shift and judge.shift")
    rows, columns = domain.picture_shape
    padded_BHW = F.pad(x_BX.reshape(-1, rows, columns), (most, most, most, most))
    here = x_BX.device
    row_BH1 = (down_B[:, None] + torch.arange(rows, device=here))[:, :, None]
    column_B1W = (across_B[:, None] + torch.arange(columns, device=here))[:, None, :]
    image_B11 = torch.arange(len(x_BX), device=here)[:, None, None]
    return padded_BHW[image_B11, row_BH1, column_B1W].reshape(len(x_BX), -1)
