"""What arms of a search may be expected to gain: a Gaussian process over all that its arms have gained.

The most of many noisy numbers is mostly luck. Neighbours share what is not, so the arm that the process expects most of
is a better one than that which had most (benchmarks/incumbents.py). Shapes: N gains, M arms, X coordinates.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import Categorical, Float, Int

FEWEST = 8
"""Of fewer gains no process is made."""
MOST = 500
"""The latest ones; its time grows with their cube."""


def place(parameters: Mapping[str, Any], space: Mapping[str, Float | Int | Categorical]) -> list[float]:
    """Where an arm is in a space whose ranges are all 0 to 1; each choice of a categorical has a coordinate."""
    found: list[float] = []
    for key, d in space.items():
        value = parameters[key]
        if isinstance(d, Categorical):
            found += [float(value == choice) for choice in d.choices]
        else:
            low, high, x = (math.log(v) for v in (d.low, d.high, value)) if d.log else (d.low, d.high, value)
            found.append((x - low) / (high - low))
    return found


def expected(places_NX: NDArray[np.float64], gains_N: NDArray[np.float64], at_MX: NDArray[np.float64]) -> list[float]:
    """The posterior means at some places."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    scales = np.ones(places_NX.shape[1])
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(scales, (0.1, 10.0)) + WhiteKernel(0.5, (1e-2, 10.0))
    process = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a scale at its bound: a setting without effect
        process.fit(places_NX[-MOST:], gains_N[-MOST:])
    means: list[float] = process.predict(at_MX).tolist()
    return means
