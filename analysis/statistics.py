"""What a few replicates can say: intervals, an exact paired test, its correction. Arrays in, numbers out.

Shapes: n replicates, R resamples, F comparisons of a family; ... leading axes, so that many studies go at once.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bridgelab.power import MOST_EXACT, N_FLIPS, least_p

Floats = NDArray[np.float64]

N_RESAMPLES = 9_999
N_CACHED = 512
"""So many flips stay near the processor while all arms are flipped by them."""
SMALLEST_GAP = 0.25
"""In accuracy: arms whose replicates fall into two groups so far apart have no mean worth the name."""
SKEWED = 1.0
"""Beyond this skewness the studentized interval is the one to read."""
MANY = 100
"""From so many values on the mean is as good as normal, and t is read whatever the skewness."""
MOST_PLACES = 9
"""Up to so many places the orders that a trend may have by chance are counted; beyond, their sum is taken as normal."""
ENOUGH_LEVELS = 4
"""With fewer levels of a source of variance nothing is said of how large it is elsewhere."""


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
    drawn_nR = _drawn(n, seed, n_resamples)
    mean, error = values_n.mean(-1), values_n.std(-1, ddof=1) / math.sqrt(n)
    centred_n = values_n - mean[..., None]
    distances_R = centred_n @ drawn_nR / n
    variance_R = np.maximum(0.0, (centred_n**2) @ drawn_nR / n - distances_R**2)
    errors_R = np.sqrt(variance_R / (n - 1))
    # What is left of no variance by rounding is none.
    errors_R[errors_R <= 1e-9 * np.abs(centred_n).max(-1, initial=0.0)[..., None]] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        t_R = np.where(errors_R > 0, distances_R / errors_R, math.nan)
    if not np.isfinite(t_R).any():
        return mean.copy(), mean.copy()  # every replicate has the same value
    quantile = np.nanquantile if np.isnan(t_R).any() else np.quantile
    low, high = quantile(t_R, [0.5 - level / 2, 0.5 + level / 2], axis=-1)
    return mean - high * error, mean - low * error


@functools.lru_cache(maxsize=4)
def _drawn(n: int, seed: int, n_resamples: int) -> Floats:
    """How often each of n values is in each resample, (n, R): drawn once for all cells of a table."""
    index_Rn = np.random.default_rng(seed).integers(n, size=(n_resamples, n))
    return np.ascontiguousarray(times_drawn(index_Rn).T)


def times_drawn(index_Rn: NDArray[np.integer[Any]]) -> Floats:
    """How often each of n values is in each resample, (R, n)."""
    n_resamples, n = index_Rn.shape
    places = index_Rn + n * np.arange(n_resamples)[:, None]
    return np.bincount(places.ravel(), minlength=n_resamples * n).reshape(n_resamples, n).astype(np.float64)


def skewness(values_n: Floats) -> Floats:
    """The third standardised moment along the last axis, (...); 0 where nothing varies."""
    centred_n = values_n - values_n.mean(-1, keepdims=True)
    sd = np.sqrt((centred_n**2).mean(-1))
    found: Floats = np.divide((centred_n**3).mean(-1), sd**3, out=np.zeros(sd.shape), where=sd > 0)
    return found


def sign_flip(differences_n: Floats, seed: int = 0) -> Floats:
    """The two-sided p of paired differences whose signs are arbitrary if the arms are alike, of the last axis, (...).

    Exact for up to MOST_EXACT pairs: the share of all 2^n choices of signs whose mean is as far from 0.
    Beyond, of N_FLIPS that are sampled, and of what was found. nan for no pair.
    """
    *before, n = differences_n.shape
    if n == 0:
        return np.full(before, math.nan)[()]
    signs_Fn, others = (_all_signs(n), 0) if n <= MOST_EXACT else (_drawn_signs(n, seed), 1)
    arms_An = differences_n.reshape(-1, n)
    least_A = np.abs(arms_An.sum(-1)) * (1 - 1e-12)
    as_far_A = np.full(len(arms_An), float(others))
    for first in range(0, len(signs_Fn), N_CACHED):
        some_Fn = signs_Fn[first : first + N_CACHED]
        for arm, arm_n in enumerate(arms_An):
            as_far_A[arm] += np.count_nonzero(np.abs(some_Fn @ arm_n) >= least_A[arm])
    return (as_far_A / (len(signs_Fn) + others)).reshape(before)[()]


def page_trend(values_nP: Floats) -> float:
    """The one-sided p of Page's test that values rise along P places, each row an order of its own; 1 for no row.

    Page (1963), "Ordered hypotheses for multiple treatments". Exact, with ties too: the share of all orders of each
    row's ranks whose sum of place times rank is as large.
    """
    less_nP = (values_nP[:, None, :] < values_nP[:, :, None]).sum(-1)
    same_nP = (values_nP[:, None, :] == values_nP[:, :, None]).sum(-1)
    doubled_nP = 2 * less_nP + same_nP + 1  # ranks from 1, those of ties halfway, and so twice as much
    n_places = doubled_nP.shape[1]
    place_P = np.arange(1, n_places + 1)
    found = int((doubled_nP * place_P).sum())
    if n_places <= MOST_PLACES:
        chances = np.ones(1)
        for row_P in doubled_nP:
            chances = np.convolve(chances, _chances_of_sums(tuple(sorted(row_P.tolist()))))
        return float(min(1.0, chances[found:].sum()))
    mean = float(doubled_nP.sum() * (n_places + 1) / 2)
    sd = math.sqrt(place_P.var() * doubled_nP.var(-1).sum() * n_places**2 / (n_places - 1))
    return float(special.ndtr((mean - found) / sd)) if sd > 0 else 1.0


@functools.lru_cache(maxsize=64)
def _chances_of_sums(ranks: tuple[int, ...]) -> Floats:
    """Of all orders of these ranks, the share whose sum of place times rank is 0, 1, 2, ..."""
    n_places = len(ranks)
    sums = np.zeros((1 << n_places, 1 + sum(place * rank for place, rank in enumerate(ranks, start=1))))
    sums[0, 0] = 1.0  # by which ranks have been taken, at the first places
    for taken in range(1, 1 << n_places):
        place = taken.bit_count()
        for at in (at for at in range(n_places) if taken >> at & 1):
            further = place * ranks[at]
            sums[taken, further:] += sums[taken ^ (1 << at), : sums.shape[1] - further] / place
    return np.asarray(sums[-1])


@functools.lru_cache(maxsize=4)
def _all_signs(n: int) -> Floats:
    """(2^n, n)."""
    return np.array(list(itertools.product((1.0, -1.0), repeat=n)))


@functools.lru_cache(maxsize=2)
def _drawn_signs(n: int, seed: int) -> Floats:
    """(N_FLIPS, n): drawn once for all arms of a table."""
    return np.asarray(2 * np.random.default_rng(seed).integers(2, size=(N_FLIPS, n)) - 1, np.float64)


def smallest_p(n_pairs: int, n_comparisons: int) -> float:
    """The least p after Holm that a sign-flip test of so many pairs can reach."""
    return min(1.0, n_comparisons * least_p(n_pairs))


def flips(n_pairs: int) -> str:
    """Which sign-flip test it is that so many pairs have, in a word."""
    return "exact" if n_pairs <= MOST_EXACT else "sampled"


def holm(p_F: Floats) -> Floats:
    """p after Holm's step-down correction, (F,); nan stays nan and is no member of the family."""
    adjusted = np.full_like(p_F, math.nan)
    order = [i for i in np.argsort(p_F) if not math.isnan(p_F[i])]
    highest = 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, float(p_F[i]) * (len(order) - place)))
        adjusted[i] = highest
    return adjusted


def is_bimodal(values_n: Floats) -> NDArray[np.bool_]:
    """Whether some replicates collapsed: two groups, further apart than SMALLEST_GAP and than each is wide.

    Along the last axis, (...).
    """
    if values_n.shape[-1] < 3:
        return np.zeros(values_n.shape[:-1], np.bool_)
    ordered_n = np.sort(values_n, axis=-1)
    at = np.diff(ordered_n).argmax(-1)[..., None]
    below, above = (np.take_along_axis(ordered_n, place, -1)[..., 0] for place in (at, at + 1))
    widest = np.maximum(below - ordered_n[..., 0], ordered_n[..., -1] - above)
    bimodal: NDArray[np.bool_] = above - below > np.maximum(SMALLEST_GAP, widest)
    return bimodal


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


def iqm(values_k: Floats) -> Floats:
    """The interquartile mean along the last axis, (...): a quarter is left out at each end (as in rliable)."""
    left_out = int(0.25 * values_k.shape[-1])
    middle: Floats = np.sort(values_k, axis=-1)[..., left_out : values_k.shape[-1] - left_out].mean(-1)
    return middle


def probability_of_improvement(a_n: Floats, b_m: Floats) -> Floats:
    """How often a value of the one beats a value of the other, (...); a tie is half a win (as in rliable)."""
    share: Floats = wins(a_n, b_m).mean((-2, -1))
    return share


def wins(a_n: Floats, b_m: Floats) -> Floats:
    """Which value of the one beats which value of the other, (..., n, m): 1, and for a tie 1/2."""
    won: Floats = (a_n[..., :, None] > b_m[..., None, :]) + 0.5 * (a_n[..., :, None] == b_m[..., None, :])
    return won


def percentile(
    statistic: Callable[..., Floats],
    samples: Sequence[NDArray[Any]],
    level: float = 0.95,
    seed: int = 0,
    n_resamples: int | None = None,
) -> tuple[float, float]:
    """The ends of a percentile bootstrap interval of a statistic of samples, resampled each along its first axis.

    Approximate: with 8 replicates it covers less than it says. For statistics that have no t. The statistic
    is called once, with a leading axis of resamples: 2,000, and fewer where many values would not fit into memory.
    """
    n_resamples = n_resamples or max(200, min(2_000, 2_000_000 // max(1, max(map(len, samples))) ** 2))
    if any(len(sample) < 2 for sample in samples):
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    found = statistic(*(s[rng.integers(len(s), size=(n_resamples, len(s)))] for s in samples))
    low, high = np.quantile(found, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def preferred(values_n: Floats, level: float = 0.95) -> tuple[Floats, Floats, NDArray[np.str_]]:
    """The ends of the interval of a mean that suits its values, and which one it is, along the last axis, (...).

    t, or studentized where the values are skewed.
    """
    low, high = map(np.array, student_t(values_n, level))
    is_few = 2 < values_n.shape[-1] < MANY
    skewed = np.abs(skewness(values_n)) > SKEWED if is_few else np.zeros(low.shape, np.bool_)
    for place in map(tuple, np.argwhere(skewed)):
        low[place], high[place] = studentized(values_n[place], level)
    return low, high, np.where(skewed, "studentized", "t")


def stacks(places: NDArray[np.integer[Any]], n_places: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows by their place: for each number of rows n the places P that have so many, and their rows in order, (P, n).

    So that all places with equally many rows are computed with at once, each as by itself.
    """
    order, n_rows = np.argsort(places, kind="stable"), np.bincount(places, minlength=n_places)
    ends = np.cumsum(n_rows)
    for n in np.unique(n_rows):
        alike_P = np.flatnonzero(n_rows == n)
        yield alike_P, order[(ends[alike_P] - n)[:, None] + np.arange(n)]


def variance_of(
    total_ss: float, freedom: int, n_per_level: float, error_ms: float, error_freedom: int, level: float = 0.95
) -> tuple[float, float, float]:
    """A component of variance of a balanced crossed design, and the ends of its interval (Williams and Tukey).

    (MS - MS_error) / n, never below 0; the interval is nan for fewer than ENOUGH_LEVELS levels.
    """
    mean_square = total_ss / freedom
    found = max(0.0, (mean_square - error_ms) / n_per_level)
    if freedom + 1 < ENOUGH_LEVELS or error_freedom < 1:
        return found, math.nan, math.nan
    if error_ms == 0:
        ends = [total_ss / float(special.chdtri(freedom, tail)) / n_per_level for tail in _tails(level)]
        return found, ends[0], ends[1]
    ratio = mean_square / error_ms
    ends = []
    for tail in _tails(level):
        quantile = float(special.fdtri(freedom, error_freedom, 1 - tail))
        ends.append(total_ss * (1 - quantile / ratio) / float(special.chdtri(freedom, tail)) / n_per_level)
    return found, max(0.0, ends[0]), max(0.0, ends[1])


def _tails(level: float) -> tuple[float, float]:
    """Upper tails, of the lower end first."""
    return 0.5 - level / 2, 0.5 + level / 2
