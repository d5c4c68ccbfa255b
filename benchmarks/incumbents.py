"""Which arm a search should return: the one that gained most, or the one that a Gaussian process expects most of?

    python benchmarks/incumbents.py --json

On a toy where the truth is known: a bowl over three settings, whose best is drawn anew each time and gains 0.04, as
much as the digits have to offer; what is seen of an arm is its gain and normal noise. Optuna's TPE asks six generations
of 16 as in a search without rungs. Regret is by how much the arm that is returned is worse than the best there is.
"""

from __future__ import annotations

import argparse
import json
import warnings
from typing import Any

import numpy as np
import optuna
from throughput import machine

from bridgelab.config import Float
from bridgelab.surrogate import expected, place

MOST, STEEPNESS = 0.04, (0.1, 0.05, 0.02)
SPACE = {key: Float(-1.0, 1.0) for key in "xyz"}
DISTRIBUTIONS: dict[str, Any] = {key: optuna.distributions.FloatDistribution(-1.0, 1.0) for key in SPACE}


def regrets(seed: int, noise: float, n_generations: int, bracket: int) -> tuple[float, float]:
    """Of the arm that gained most, and of the one that is expected to gain most."""
    rng = np.random.default_rng(seed)
    centre = dict(zip(SPACE, rng.uniform(-0.6, 0.6, len(SPACE)), strict=True))

    def regret(arm: dict[str, float]) -> float:
        return sum(s * (arm[key] - centre[key]) ** 2 for s, key in zip(STEEPNESS, SPACE, strict=True))

    arms: list[dict[str, float]] = []
    gains: list[float] = []
    for generation in range(n_generations):
        sampler = optuna.samplers.TPESampler(seed=100 * seed + generation, n_startup_trials=bracket, multivariate=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for arm, gain in zip(arms, gains, strict=True):
            study.add_trial(optuna.create_trial(params=arm, distributions=DISTRIBUTIONS, value=gain))
        asked = [study.ask(DISTRIBUTIONS).params for _ in range(bracket)]
        arms += asked
        gains += [MOST - regret(arm) + rng.normal(0, noise) for arm in asked]
    places = np.array([place(arm, SPACE) for arm in arms])
    hopes = expected(places, np.array(gains), places)
    return regret(arms[int(np.argmax(gains))]), regret(arms[int(np.argmax(hopes))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--seeds", type=int, default=60, help="searches at each noise")
    parser.add_argument("--generations", type=int, default=6)
    chosen = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # TPE's multivariate
    rows: list[dict[str, Any]] = []
    for noise in (0.01, 0.02, 0.03):
        found = np.array([regrets(seed, noise, chosen.generations, 16) for seed in range(chosen.seeds)])
        for way, regret in zip(("most_gained", "most_expected"), found.T, strict=True):
            within = float(np.mean(regret < 0.01))
            rows.append({"noise": noise, "way": way, "regret": float(np.median(regret)), "within": within})
    if chosen.json:
        notes = {"seeds": chosen.seeds, "within": "share of searches whose regret is under 0.01"}
        print(
            json.dumps({"benchmark": "incumbents", "machine": machine("cpu"), "rows": rows, "notes": notes}, indent=2)
        )
        return
    for row in rows:
        print("noise {noise:.2f}  {way:<13}  median regret {regret:.4f}  within 0.01: {within:.0%}".format(**row))


if __name__ == "__main__":
    main()
