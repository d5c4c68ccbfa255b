"""What a few replicates can say: intervals, an exact paired test, its correction. Arrays in, numbers out.

Shapes: n replicates, R resamples, F comparisons of a family; ... leading axes, so that many studies go at once.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

N_RESAMPLES = 9_999
MOST_EXACT = 16
"""Up to so many pairs all sign flips are enumerated; beyond, N_FLIPS of them are drawn."""
N_FLIPS = 100_000
SMALLEST_GAP = 0.25
"""In accuracy: arms whose replicates fall into two groups so far apart have no mean worth the name."""


def student_t(values_n: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """The ends of Student's interval of the mean along the last axis, (...); nan for fewer than two values."""
    n = values_n.shape[-1]
    mean = values_n.mean(-1) if n else np.full(values_n.shape[:-1], math.nan)
    if n < 2:
        return np.full_like(mean, math.nan), np.full_like(mean, math.nan)
    half = special.stdtrit(n - 1, 0.5 + level / 2) * values_n.std(-1, ddof=1) / math.sqrt(n)
    return mean - half, mean + half


def studentized(
    values_n: Floats, level: float = 0.95, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> tuple[Floats, Floats]:
    """The ends of the studentized (bootstrap-t) interval of the mean along the last axis, (...).

    Resampled means are measured in their own standard errors, so that a skew moves the interval. Resamples
    of one value only have no standard error and are left out.
    """
    n = values_n.shape[-1]
    if n < 2:
        return student_t(values_n, level)
    index_Rn = np.random.default_rng(seed).integers(n, size=(n_resamples, n))
    resampled = values_n[..., index_Rn]
    mean, error = values_n.mean(-1), values_n.std(-1, ddof=1) / math.sqrt(n)
    errors_R = resampled.std(-1, ddof=1) / math.sqrt(n)
    distances_R = resampled.mean(-1) - mean[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        t_R = np.where(errors_R > 0, distances_R / errors_R, math.nan)
    if not np.isfinite(t_R).any():
        return mean.copy(), mean.copy()  # every replicate has the same value
    low, high = np.nanquantile(t_R, [0.5 - level / 2, 0.5 + level / 2], axis=-1)
    return mean - high * error, mean - low * error


def skewness(values_n: Floats) -> float:
    """The third standardised moment; 0 where nothing varies."""
    centred = values_n - values_n.mean()
    sd = math.sqrt(float((centred**2).mean()))
    return float((centred**3).mean()) / sd**3 if sd > 0 else 0.0


def sign_flip(differences_n: Floats, seed: int = 0) -> float:
    """The two-sided p of paired differences whose signs are arbitrary if the arms are alike.

    Exact for up to MOST_EXACT pairs: the share of all 2^n choices of signs whose mean is as far from 0.
    The smallest that it can be is 2 / 2^n. nan for no pair.
    """
    n = len(differences_n)
    if n == 0:
        return math.nan
    if n <= MOST_EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
        means = signs @ differences_n
        as_far = np.abs(means) >= abs(differences_n.sum()) * (1 - 1e-12)
        return float(as_far.mean())
    signs = np.random.default_rng(seed).choice((1.0, -1.0), size=(N_FLIPS, n))
    as_far = np.abs(signs @ differences_n) >= abs(differences_n.sum()) * (1 - 1e-12)
    return float((as_far.sum() + 1) / (N_FLIPS + 1))


def smallest_p(n_pairs: int, n_comparisons: int) -> float:
    """The least p after Holm that a sign-flip test of so many pairs can reach."""
    return min(1.0, n_comparisons * 2.0 ** (1 - n_pairs))


def holm(p_F: Floats) -> Floats:
    """p after Holm's step-down correction, (F,); nan stays nan and is no member of the family."""
    adjusted = np.full_like(p_F, math.nan)
    order = [i for i in np.argsort(p_F) if not math.isnan(p_F[i])]
    highest = 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, float(p_F[i]) * (len(order) - place)))
        adjusted[i] = highest
    return adjusted


def is_bimodal(values_n: Floats) -> bool:
    """Whether some replicates collapsed: two groups, further apart than SMALLEST_GAP and than each is wide."""
    ordered = np.sort(values_n)
    if len(ordered) < 3:
        return False
    gaps = np.diff(ordered)
    at = int(gaps.argmax())
    widest = max(ordered[at] - ordered[0], ordered[-1] - ordered[at + 1])
    return bool(gaps[at] > max(SMALLEST_GAP, widest))


def over_items(values_n: Floats, item_means_m: Floats, level: float = 0.95) -> tuple[float, float]:
    """The interval of a mean over replicates and over test items: s^2 / n + variance of item means / m.

    Replicates share their test items, which do not average out: against a number from elsewhere, or a
    target, this interval holds. `item_means_m` is how often each item was right, over the replicates.
    """
    n, m = len(values_n), len(item_means_m)
    if n < 2 or m < 2:
        return math.nan, math.nan
    mean = float(values_n.mean())
    seeds, items = float(values_n.var(ddof=1)) / n, float(item_means_m.var(ddof=1)) / m
    total = seeds + items
    if total == 0:
        return mean, mean
    # Welch and Satterthwaite: two sources, each with its own degrees of freedom.
    freedom = total**2 / (seeds**2 / (n - 1) + items**2 / (m - 1))
    half = float(special.stdtrit(freedom, 0.5 + level / 2)) * math.sqrt(total)
    return mean - half, mean + half
