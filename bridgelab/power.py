"""What a number of replicates can show at best, before anything has run. Imports neither torch nor ray."""

from __future__ import annotations

import math

LEVEL = 0.05
POWER = 0.8
MOST_EXACT = 16
"""Up to so many pairs all sign flips are enumerated; beyond, N_FLIPS of them are sampled."""
N_FLIPS = 20_000


def least_p(n_pairs: int) -> float:
    """The smallest p that a two-sided sign-flip test of so many pairs can have."""
    return float(2.0 ** (1 - n_pairs)) if n_pairs <= MOST_EXACT else max(2.0 ** (1 - n_pairs), 1 / (N_FLIPS + 1))


def enough_for(n_comparisons: int) -> int | None:
    """The fewest pairs that can show so many differences after Holm; None where no number of them can."""
    return next((n for n in range(2, MOST_EXACT + 1) if n_comparisons * least_p(n) <= LEVEL), None)


def is_enough(n_comparisons: int) -> str:
    """How many replicates are enough, in words."""
    n = enough_for(n_comparisons)
    return "no number of replicates is enough for so many" if n is None else f"--seeds {n} is enough"


def can_show(n: int, n_comparisons: int = 0) -> str:
    """What n replicates can show, in words, of so many arms that are compared with a reference.

    Arms of one replicate share seeds and base models, so they can be compared in pairs. A two-sided sign-flip test
    has the smallest p 2 / 2^n while it is exact; Holm's correction divides 0.05 by the number of comparisons.
    """
    if n < 2:
        return "one replicate: no interval and no comparison; use --seeds 8 or more"
    from scipy import special  # takes longer to load than most plans take

    half_width = special.stdtrit(n - 1, 1 - LEVEL / 2) / math.sqrt(n)
    smallest_p = least_p(n)
    interval = f"95 % intervals reach {half_width:.2f} standard deviations to each side"
    comparisons = math.floor(min(1000.0, LEVEL / smallest_p))
    if comparisons == 0:
        return (
            f"{n} replicates: {interval}; no paired test can reach p < 0.05 (smallest p {smallest_p:.3f}): underpowered"
        )
    said = (
        f"{n} replicates: {interval}, and a paired difference of {detectable(n):.2f} of its own is shown in four of "
        f"five studies; paired tests reach p = {smallest_p:.2g}, "
        f"enough for {comparisons}{' or more' * (comparisons == 1000)} comparisons (Holm)"
    )
    if not n_comparisons:
        return said
    least = min(1.0, n_comparisons * smallest_p)
    said += f"; the {n_comparisons} here reach {least:.2g} at best"
    if n_comparisons <= comparisons:
        return said
    return f"{said}: underpowered, {is_enough(n_comparisons)}"


def detectable(n_pairs: int) -> float:
    """The paired difference, in its own standard deviations, that n pairs show with POWER by Student's t.

    inf for fewer than two pairs.
    """
    if n_pairs < 2:
        return math.inf
    from scipy import special

    critical = float(special.stdtrit(n_pairs - 1, 1 - LEVEL / 2))
    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        missed = float(special.nctdtr(n_pairs - 1, middle * math.sqrt(n_pairs), critical))
        low, high = (middle, high) if missed > 1 - POWER else (low, middle)
    return high
