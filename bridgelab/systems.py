"""The systems that are compared, each by what training makes of it and how it is crossed.

Shapes: K trained systems, N items, D latent, S shared.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from .baselines.closed_form import StackedMaps
from .baselines.pixels import StackedPixels
from .bridge.transfer import Crossing, cross, stack
from .config import PIXEL_SYSTEMS
from .domains import get_domain
from .specs import TrialSpec

Way = Callable[[Tensor, Tensor, int], Crossing]
"""From latents (K, N, D) of a side (0 is a, 1 is b), and the noise (K, N, S) that chooses z', to both sides."""


def ways(specs: Sequence[TrialSpec], weights: Sequence[Mapping[str, Tensor]], n_classes: int) -> Way:
    """How trained systems of equal shape are crossed."""
    if specs[0].settings.system == "bridge":
        return functools.partial(cross, stack(weights, [spec.settings.bridge for spec in specs], n_classes))
    if specs[0].settings.system in PIXEL_SYSTEMS:
        shape = get_domain(specs[0].base_a.domain).image_shape
        assert shape is not None, "a study of pictures was resolved"
        return StackedPixels(specs, weights, shape).cross
    return StackedMaps(weights).cross
