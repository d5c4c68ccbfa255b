"""The paper's claims in prose, each with what a lab's studies say of it.

A claim holds or fails by paired differences in the same replicates: their 95 % interval has to lie on one
side of what was fixed beforehand, or their 90 % interval within MARGIN of nothing.
Shapes: n pairs, P places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import statistics
from .replication import MARGIN
from .summary import Run

Floats = NDArray[np.float64]
HOLDS, FAILS, OPEN, NOT_RUN = "holds here", "does not hold here", "inconclusive", "not run"
CHANCE = 0.1
LEVEL = 0.05


@dataclass(frozen=True)
class Found:
    """What a study says of a claim."""

    verdict: str
    evidence: str


@dataclass(frozen=True)
class Claim:
    """A claim, and the study that it is read from."""

    number: str
    text: str
    study: str
    pair: str
    judge: Callable[[Run], Found]


def judge_claims(runs: Iterable[Run]) -> pd.DataFrame:
    """Each claim of the paper with a verdict, from runs of the studies that test it.

    Columns: claim, text, study, pair, n, verdict (holds here, does not hold here, inconclusive,
    not run), evidence. A run on another pair than the paper's says nothing of a claim, and one of the paper
    recipe nothing but that it does not train. The last run of a study counts.
    """
    by_study = {(run.study, run.pair): run for run in runs if run.recipe == "default"}
    rows = []
    for claim in CLAIMS:
        run = by_study.get((claim.study, claim.pair))
        missing = Found(NOT_RUN, f"bridgelab sweep {claim.study} --pair {claim.pair}")
        found = missing if run is None else _judged(claim, run)
        n = 0 if run is None else int(run.members["replicate"].nunique())
        columns = {"claim": claim.number, "text": claim.text, "study": claim.study, "pair": claim.pair, "n": n}
        rows.append({**columns, "verdict": found.verdict, "evidence": found.evidence})
    for number, (text, lacking) in NOT_MEASURED.items():
        about = {"claim": number, "text": text, "study": "-", "pair": "-", "n": 0}
        rows.append({**about, "verdict": NOT_RUN, "evidence": lacking})
    return pd.DataFrame(rows).sort_values("claim", key=lambda c: c.str[1:].astype(int), ignore_index=True)


def _judged(claim: Claim, run: Run) -> Found:
    try:
        return claim.judge(run)
    except KeyError as missing:
        return Found(NOT_RUN, f"the run has no value of {missing.args[0]}")


def _values(run: Run, arm: str, metric: str = "transfer_accuracy_ab") -> pd.Series[float]:
    """By replicate. Raises KeyError where there is none."""
    index = run.members.loc[run.members["arm_name"] == arm, "arm_index"]
    found = run.values[(run.values["metric"] == metric) & run.values["arm_index"].isin(index.unique())]
    if found.empty:
        raise KeyError(f"{metric} in '{arm}'")
    return found.drop_duplicates("replicate").set_index("replicate")["value"]


def _pairs(run: Run, arm: str, reference: str, metric: str = "transfer_accuracy_ab") -> pd.Series[float]:
    """The differences arm - reference by replicate, of those that both have."""
    return (_values(run, arm, metric) - _values(run, reference, metric)).dropna()


def _shown(what: str, values_n: Floats) -> str:
    low, high = statistics.student_t(values_n)
    return f"{what} {values_n.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def _more(what: str, differences: pd.Series[float] | NDArray[Any], than: float = 0.0) -> Found:
    """Whether differences are more than so much; that they are not is shown within MARGIN of it."""
    values_n = np.asarray(differences, np.float64)
    low, _ = statistics.student_t(values_n)
    _, high90 = statistics.student_t(values_n, 0.90)
    can = statistics.sign_flip(values_n - than) <= LEVEL
    if low > than and can:
        return Found(HOLDS, _shown(what, values_n))
    at_most = than if than > 0 else MARGIN
    return Found(FAILS if high90 < at_most else OPEN, _shown(what, values_n))


def _all_of(*found: Found) -> Found:
    """Holds where all do, fails where one does."""
    verdicts = [one.verdict for one in found]
    verdict = FAILS if FAILS in verdicts else HOLDS if set(verdicts) == {HOLDS} else OPEN
    return Found(verdict, "; ".join(one.evidence for one in found))


def _no_gain(run: Run, *arms: str) -> Found:
    """Whether arms bring no more than MARGIN over the gated heads."""
    found = []
    for arm in arms:
        values_n = np.asarray(_pairs(run, arm, "gated"), np.float64)
        low, _ = statistics.student_t(values_n)
        _, high90 = statistics.student_t(values_n, 0.90)
        verdict = HOLDS if high90 < MARGIN else FAILS if low > MARGIN else OPEN
        found.append(Found(verdict, _shown(f"{arm} minus gated", values_n)))
    return _all_of(*found)


def _without_labels(run: Run) -> Found:
    above = _more("above chance by", _values(run, "with SWD") - CHANCE)
    return _all_of(above, _more("with minus without SWD", _pairs(run, "with SWD", "without SWD")))


def _rises(run: Run) -> Found:
    """Page's trend test on the replicates, by the number of labels."""
    arms = run.members.drop_duplicates("arm_index").sort_values("arm_index")
    columns = [_values(run, str(name)) for name in arms["arm_name"]]
    table = pd.concat(columns, axis=1, join="inner").to_numpy(float)
    if len(table) < 2:
        return Found(OPEN, "one replicate")
    p = statistics.page_trend(table)
    steps = [_more("", table[:, i + 1] - table[:, i]) for i in range(table.shape[1] - 1)]
    n_up = sum(step.verdict == HOLDS for step in steps)
    falls = any(statistics.student_t(table[:, i + 1] - table[:, i])[1] < 0 for i in range(len(steps)))
    verdict = FAILS if falls else HOLDS if p <= LEVEL and n_up == len(steps) else OPEN
    return Found(verdict, f"Page's trend p {p:.2g}; {n_up} of {len(steps)} steps up shown by themselves")


def _conditioning_first(run: Run) -> Found:
    of_conditioning = _pairs(run, "conditional", "vanilla")
    of_swd = _pairs(run, "full", "conditional")
    return _all_of(
        _more("conditioning", of_conditioning),
        _more("more than SWD by", (of_conditioning - of_swd).dropna()),
    )


def _each_term(run: Run) -> Found:
    """On the plane: where samples land, how near the sides are in the shared space, which class they get."""
    ladder = ("vanilla", "conditional", "conditional + SWD", "all terms")
    return _all_of(
        _more("landing by conditioning", _pairs(run, ladder[1], ladder[0], "landing_ab")),
        _more("nearness by SWD", -_pairs(run, ladder[2], ladder[1], "shared_distance")),
        _more("accuracy by the classifier", _pairs(run, ladder[3], ladder[2])),
    )


def _jumps(run: Run) -> Found:
    """In both directions: a path between classes is less even than one within, and keeps nearer to the data than the

    target's own straight path between the same ends.
    """
    found = []
    for direction, shown in ("ab", "a→b"), ("ba", "b→a"):
        between, within, off, chord = (
            _values(run, "bridge", f"{kind}_{direction}")
            for kind in ("path_jump_between", "path_jump_within", "path_distance_between", "chord_distance_between")
        )
        found += [
            _more(f"{shown}: jumps between classes minus within", (between - within).dropna()),
            _more(f"{shown}: nearer to the data than a straight path by", (chord - off).dropna()),
        ]
    return _all_of(*found)


MNIST = "mnist-mnist"
CLAIMS = (
    Claim(
        "C1", "gated heads beat linear ones by a large margin", "heads", MNIST,
        lambda run: _more("gated minus linear", _pairs(run, "gated", "linear"), MARGIN),
    ),
    Claim(
        "C2", "residual links and batch norm bring nothing", "heads", MNIST,
        lambda run: _no_gain(run, "residual", "batch norm"),
    ),
    Claim("C3", "without labels, transfer is above chance because of SWD", "no_labels", MNIST, _without_labels),
    Claim("C4", "accuracy grows with every further label", "label_efficiency", MNIST, _rises),
    Claim("C5", "conditioning contributes most", "component_ablation", MNIST, _conditioning_first),
    Claim(
        "C6", "SWD raises transfer accuracy", "component_ablation", MNIST,
        lambda run: _more("with minus without SWD", _pairs(run, "full", "conditional")),
    ),
    Claim("C7", "a linear f suffices", "heads", MNIST, lambda run: _no_gain(run, "gated f")),
    Claim("C8", "a transferred path is smooth within a class, jumps between classes and stays with the data",
          "transfer_pairs", "mnist-fashion_mnist", _jumps),
    Claim("C10", "every term of the loss helps on the plane", "synthetic", "plane-plane", _each_term),
)  # fmt: skip
NOT_MEASURED = {
    "C9": (
        "a bridge trains in an hour where a WaveGAN takes four days",
        "needs a WaveGAN at the paper's size: --pair mnist-sc09_wave --preset full",
    ),
}
"""Claims that no study puts to the test: text, and what is missing."""


def counted(verdicts: Iterable[str]) -> dict[str, int]:
    """How often each verdict was given, by its first words."""
    found = [verdict.partition(":")[0] for verdict in verdicts]
    return {verdict: found.count(verdict) for verdict in dict.fromkeys(found)} if found else {}
