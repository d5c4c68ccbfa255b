"""The whole paper: every study that rebuilds a part of it, in its order, on the data that are there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .board import Progress
from .domains import check_there
from .duration import expected_seconds
from .errors import DataError
from .lab import Lab
from .planning import Plan, available_cpus, plan
from .session import cluster
from .study import ResolvedStudy, Selection, resolve
from .sweeping import Outcome, sweep


@dataclass(frozen=True)
class Part:
    """A study on a pair, and what of the paper it rebuilds."""

    rebuilds: str
    study: str
    pair: str
    recipe: str = "default"
    most_replicates: int | None = None
    "of what takes hours on a CPU; None: as many as the study has"
    apart: str | None = None
    "what its time is told apart as; None: with that of all other parts"

    @property
    def name(self) -> str:
        return f"{self.study} {self.pair}" + (f", recipe {self.recipe}" if self.recipe != "default" else "")


PARTS = (
    Part("Table 1", "reconstruction", "mnist-fashion_mnist"),
    Part("Table 2", "transfer_pairs", "mnist-mnist"),
    Part("Table 2", "transfer_pairs", "mnist-fashion_mnist"),
    Part("Table 2", "transfer_pairs", "mnist-sc09"),
    Part("beside Table 2", "transfer_pairs", "mnist-fsdd"),
    Part("Table 3", "label_efficiency", "mnist-mnist"),
    Part("beyond Table 3", "label_efficiency", "mnist-mnist", "few_labels"),
    Part("Table 3, C3", "no_labels", "mnist-mnist"),
    Part("Table 4", "component_ablation", "mnist-mnist"),
    Part("Table 4, by the text", "component_ablation", "mnist-mnist", "paper"),
    Part("Table 4, C5", "conditioning", "mnist-mnist"),
    Part("Table 5", "baselines", "mnist-fashion_mnist"),
    Part("C1, C2, C7", "heads", "mnist-mnist"),
    Part("Fig. 7, C10", "synthetic", "plane-plane"),
    Part("the text's ambiguities", "ambiguities", "mnist-mnist", "paper"),
    Part("Table 5, Fig. 9", "pixel_baselines", "mnist-fashion_mnist", apart="the pixel baselines"),
    Part("Table 2, WaveGAN", "transfer_pairs", "mnist-sc09_wave", most_replicates=2, apart="the WaveGAN"),
)
"""What takes longest comes last."""
NOT_YET = {"C9": "clocks: a WaveGAN at the paper's size beside its bridge"}
"""What of the paper no study rebuilds so far."""


@dataclass(frozen=True)
class Asked:
    """A part as it would run; or why it cannot."""

    part: Part
    study: ResolvedStudy | None
    plan: Plan | None
    missing: str | None
    seconds: float = 0.0
    "with the models that no earlier part has made"


@dataclass(frozen=True)
class Whole:
    """All parts before they run."""

    asked: tuple[Asked, ...]

    @property
    def seconds(self) -> dict[str | None, float]:
        """By what a part's time is told apart as; None: of all others together."""
        found: dict[str | None, float] = {None: 0.0}
        for one in self.possible:
            found[one.part.apart] = found.get(one.part.apart, 0.0) + one.seconds
        return found

    @property
    def possible(self) -> tuple[Asked, ...]:
        return tuple(one for one in self.asked if one.study is not None)

    def as_json(self) -> dict[str, Any]:
        parts = [
            {
                "rebuilds": one.part.rebuilds,
                "study": one.part.study,
                "pair": one.part.pair,
                "recipe": one.part.recipe,
                "trials": len(one.plan.states) if one.plan else 0,
                "to_run": one.plan.n_to_run if one.plan else 0,
                "seconds": round(one.seconds, 1),
                "missing": one.missing,
            }
            for one in self.asked
        ]
        return {"parts": parts, "seconds": round(sum(self.seconds.values()), 1), "not_yet": NOT_YET}


def plan_whole(
    *,
    lab: str | Lab = "./lab",
    data: str | Path | None = None,
    preset: str | None = None,
    n_replicates: int | None = None,
) -> Whole:
    """What `reproduce` would do. A trial that two parts share is counted where it comes first."""
    lab, planned, made, asked = Lab.of(lab), set[str](), set[str](), []
    for part in PARTS:
        n = part.most_replicates if n_replicates is None else n_replicates
        chosen = Selection(pair=part.pair, preset=preset, recipe=part.recipe, n_replicates=n)
        try:
            check_there(part.pair, data)
            study = resolve(part.study, chosen, data)
        except DataError as error:
            asked.append(Asked(part, None, None, str(error)))
            continue
        found = plan(study, lab=lab, left_out=frozenset(planned))
        judges = [judge for judge in found.judges if judge.model_id not in made]
        jobs = [job for job in found.jobs if job.spec.latents_id not in made]
        seconds = expected_seconds(lab, judges, jobs, [pack.entries for pack in found.packs], available_cpus())
        planned |= found.states.keys()
        made |= {judge.model_id for judge in judges} | {job.spec.latents_id for job in jobs}
        asked.append(Asked(part, study, found, None, seconds))
    return Whole(tuple(asked))


def _untold(part: Part) -> contextlib.AbstractContextManager[None]:
    """Nobody is told of a part's progress."""
    return contextlib.nullcontext()


def reproduce(
    whole: Whole,
    *,
    lab: str | Lab = "./lab",
    address: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    retry: bool = False,
    keep: str = "all",
    progress: Callable[[Part], contextlib.AbstractContextManager[Progress | None]] = _untold,
) -> Iterator[tuple[Part, Outcome]]:
    """Runs every part that can be run, one after the other under one Ray, and yields what each came to.

    What was stopped goes on where it was: each part is a sweep. Raises as `sweep` does.
    """
    with contextlib.ExitStack() as stack:
        if any(one.plan and one.plan.packs for one in whole.asked):
            stack.enter_context(cluster(address))
        for one in whole.possible:
            assert one.study is not None
            with progress(one.part) as told:
                outcome = sweep(
                    one.study, lab=lab, address=address, device=device, retry=retry, keep=keep, progress=told
                )
            yield one.part, outcome
