"""A search: generations of arms that Optuna proposes, each generation a bracket that meets at rungs.

Everything here is a function of the rows in `proposals` (`history.py`): Optuna's study is rebuilt from the
complete generations, and its sampler is seeded by the search and the generation, so a search that was killed
anywhere proposes what it would have proposed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .config import (
    CHUNK_STEPS,
    Categorical,
    Float,
    Int,
    Search,
    Study,
    canonical,
    canonical_json,
    content_id,
    stream_seed,
)
from .errors import InvalidValueError, LabError, UnknownNameError
from .keys import KEYS, value_of, with_keys
from .results import PASSING
from .specs import Leg, TrialSpec
from .study import Loaded, ResolvedStudy, Selection, load, resolve_loaded
from .surrogate import FEWEST, expected, place

if TYPE_CHECKING:
    import optuna

REFERENCE = 0
"""The number of the reference in each generation: what Optuna is told is the gain over it."""
FIRST_REPLICATE = 1_000
"""Generation g is trained in replicate 1,000 + g: tables, and what is found, never share it."""
MOST_GENERATIONS = 1_000
N_DIGITS = 3
"""Significant digits of a proposed number: what is found can be typed."""


@dataclass(frozen=True)
class Proposal:
    """An arm of a generation, and how it has done so far."""

    generation: int
    number: int
    parameters: Mapping[str, Any]
    trial: TrialSpec
    values: tuple[float, ...] = ()
    "validation accuracy at each rung that it came to; nan: it failed on the way there"
    failure: str | None = None
    "nan, oom, error or lost: what it failed of"


Generation = tuple[Proposal, ...]


@dataclass(frozen=True)
class ResolvedSearch:
    """A search over one pair at one size from one recipe."""

    search: Search
    start: ResolvedStudy
    "a study of one arm, the reference"

    @cached_property
    def choices(self) -> dict[str, Any]:
        """What search_id is the hash of. The number of generations is not part of it: a longer search goes on."""
        space = {key: [type(d).__name__, canonical(d)] for key, d in self.search.space.items()}
        form = {"bracket": self.search.bracket, "rungs": canonical(self.search.rungs), "space": space}
        seed = {"seed": self.search.seed} if self.search.seed else {}  # 0 is what searches had before they had seeds
        return {**self.start.choices, **form, **seed}

    @cached_property
    def search_id(self) -> str:
        return content_id("search", self.choices)

    @cached_property
    def definition(self) -> str:
        return canonical_json({**self.choices, "search": self.search, "base": self.start.base})

    @cached_property
    def rungs(self) -> tuple[int, ...]:
        """Steps after which a bracket meets; the last one is the end of training."""
        n_steps = self.start.base.bridge.n_steps
        met = {math.ceil(share * n_steps / CHUNK_STEPS) * CHUNK_STEPS for share in self.search.rungs}
        return (*sorted(step for step in met if step < n_steps), n_steps)

    def leg(self, generation: int, rung: int) -> Leg:
        """The steps before a rung."""
        start = 0 if rung == 0 else self.rungs[rung - 1]
        return Leg(self.search_id, generation, rung, start, self.rungs[rung], is_last=rung == len(self.rungs) - 1)

    def proposal(self, generation: int, number: int, parameters: Mapping[str, Any]) -> Proposal:
        settings = with_keys(self.start.base, parameters)
        n_base, replicate = self.start.n_base, FIRST_REPLICATE + generation
        base = FIRST_REPLICATE if n_base is None else FIRST_REPLICATE + generation % n_base
        ordered = dict(sorted(parameters.items()))  # as they are read back
        return Proposal(generation, number, ordered, self.start.trial(settings, replicate, base))

    def confirmation(self, found: Sequence[Proposal]) -> ResolvedStudy:
        """The grid that compares the reference with what was found, on fresh replicates and base models."""
        arms: dict[str, Mapping[str, Any]] = {"reference": self.reference_parameters}
        arms |= {f"found {place}": proposal.parameters for place, proposal in enumerate(found, 1)}
        study = _study_of(self.search, arms)
        return replace(self.start, study=study, arms=self.start.arms_of(study))

    @property
    def some_trials(self) -> list[TrialSpec]:
        """Trials that have, together, all base models and judges of the search and of its confirmation."""
        asked = [self.proposal(g, REFERENCE, {}).trial for g in range(self.search.n_generations)]
        return [*asked, *(member.trial for member in self.start.members)]

    @cached_property
    def reference_parameters(self) -> dict[str, Any]:
        return {key: value_of(self.start.base, key) for key in self.search.space}


def _study_of(s: Search, arms: Mapping[str, Mapping[str, Any]]) -> Study:
    """A study of some arms of a search, the reference among them."""
    return Study(
        name=s.name,
        question=s.question,
        rebuilds=s.rebuilds,
        pair=s.pair,
        recipe=s.recipe,
        class_map=s.class_map,
        base=s.base,
        arms=arms,
        reference="reference",
    )


def resolve_search(
    name: str | Search, selection: Selection | None = None, data: str | Path | None = None
) -> ResolvedSearch:
    """A search, by itself, by name or by path. Raises what `resolve` raises for a study."""
    found = resolve_any(name, selection, data)
    if isinstance(found, ResolvedStudy):
        raise InvalidValueError(f"'{found.study.name}' is a study, not a search")
    return found


def resolve_any(
    wanted: str | Study | Search | Loaded | ResolvedStudy | ResolvedSearch,
    selection: Selection | None = None,
    data: str | Path | None = None,
    generations: int | None = None,
) -> ResolvedStudy | ResolvedSearch:
    """A study or a search, whichever is given or named; `generations`: how many a search has."""
    if isinstance(wanted, (ResolvedStudy, ResolvedSearch)):
        return wanted
    known = load(wanted)
    if isinstance(known.study, Study):
        if generations is not None:
            raise InvalidValueError(f"--generations {generations}: study '{known.name}' has none; leave it out")
        return resolve_loaded(known, known.study, selection, data)
    search = known.study
    _check_space(search, selection or Selection())
    if generations is not None:
        if not isinstance(generations, int) or not 1 <= generations <= MOST_GENERATIONS:
            raise InvalidValueError(f"--generations {generations}: give a whole number, 1 to {MOST_GENERATIONS}")
        search = replace(search, n_generations=generations)
    start = resolve_loaded(known, _study_of(search, {"reference": {}}), selection, data)
    if start.base.system != "bridge":
        raise InvalidValueError(f"system={start.base.system}: search '{search.name}' is of bridges; compare in a study")
    for key, d in search.space.items():
        for value in d.choices if isinstance(d, Categorical) else (d.low, d.high):
            with_keys(start.base, {key: value})  # raises for what the setting cannot be
    return ResolvedSearch(search, start)


def _check_space(search: Search, selection: Selection) -> None:
    for key in search.space:
        if key not in KEYS:
            raise UnknownNameError(f"key in search '{search.name}',", key, KEYS)
        if key in selection.overrides:
            raise InvalidValueError(f"--set {key}: '{search.name}' searches it; leave it out, or copy the search")
        if key == "system":
            raise InvalidValueError(f"search '{search.name}' varies system: a bracket is of bridges; compare in a grid")
        if key.partition(".")[0] in ("vae", "wavegan", "rejection", "judge") or key == "bridge.n_steps":
            raise InvalidValueError(f"search '{search.name}' varies {key}: a bracket shares base models and steps")


@dataclass(frozen=True)
class Bracket:
    """A generation between two meetings."""

    rung: int
    "the meeting that it is on its way to; the number of rungs: it has ended"
    living: Generation
    waiting: Generation = ()
    "of the living, those that have yet to come to it"


def bracket_of(generation: Generation, n_rungs: int) -> Bracket:
    """Where a generation stands: at every rung the better half goes on, and the reference always does."""
    living = generation
    for rung in range(n_rungs):
        waiting = tuple(p for p in living if len(p.values) <= rung and p.failure is None)
        if waiting:
            return Bracket(rung, living, waiting)
        living = _survivors(living, rung) if rung < n_rungs - 1 else living
    return Bracket(n_rungs, living)


def _survivors(living: Generation, rung: int) -> Generation:
    sound = [p for p in living if not math.isnan(p.values[rung])]  # who fails later came on from here all the same
    asked = sorted((p for p in sound if p.number != REFERENCE), key=lambda p: (-p.values[rung], p.number))
    kept = {p.number for p in asked[: math.ceil((len(living) - 1) / 2)]} | {REFERENCE}
    return tuple(p for p in sound if p.number in kept)


def gains(proposal: Proposal, generation: Generation) -> list[float]:
    """How much better than the reference it was at each rung: one replicate is easier than another."""
    reference = next(p for p in generation if p.number == REFERENCE)
    return [ours - theirs for ours, theirs in zip(proposal.values, reference.values, strict=False)]


def ended(generations: Sequence[Generation], n_rungs: int) -> list[Generation]:
    """The complete ones. Raises LabError where the reference failed: there is nothing to compare with."""
    for generation in generations:
        if (failure := generation[REFERENCE].failure) is not None:
            cure = "run it again with --retry"
            if failure not in PASSING:
                cure = "try a lower --set bridge.learning_rate, or another --recipe"
            what = f"the reference of generation {generation[0].generation + 1} failed ({failure})"
            raise LabError(f"{what}: nothing can be compared with it; {cure}")
    return [generation for generation in generations if bracket_of(generation, n_rungs).rung == n_rungs]


def best(search: ResolvedSearch, generations: Sequence[Generation], n_wanted: int) -> list[Proposal]:
    """Of the proposals that came to the end those of most expected gain, the best one first."""
    n_rungs = len(search.rungs)
    candidates = [
        (p, gains(p, generation)[-1])
        for generation in generations
        for p in bracket_of(generation, n_rungs).living
        if p.number != REFERENCE and len(p.values) == n_rungs and p.failure is None
    ]
    order = zip(_expected_gains(search, generations, candidates), (p for p, _ in candidates), strict=True)
    ranked = sorted(order, key=lambda pair: (-pair[0], pair[1].generation, pair[1].number))
    return [p for _, p in ranked[:n_wanted]]


def _expected_gains(
    search: ResolvedSearch, generations: Sequence[Generation], candidates: Sequence[tuple[Proposal, float]]
) -> list[float]:
    """What candidates may gain at full length, by where all arms were and what they had gained when they left."""
    space = search.search.space
    known = [
        ([*place(p.parameters, space), _remaining(search, len(found))], found[-1])
        for generation in generations
        for p in generation
        if all(_is_in(p.parameters[key], d) for key, d in space.items())
        and (found := [gain for gain in gains(p, generation) if not math.isnan(gain)])
    ]
    if len(known) < FEWEST or not candidates:
        return [gain for _, gain in candidates]
    places, gained = (np.array(values) for values in zip(*known, strict=True))
    return expected(places, gained, np.array([[*place(p.parameters, space), 0.0] for p, _ in candidates]))


def _remaining(search: ResolvedSearch, n_met: int) -> float:
    """How far the rung that was met last is from the end, in doublings of the steps."""
    return math.log2(search.rungs[-1] / search.rungs[n_met - 1])


def next_generation(search: ResolvedSearch, earlier: Sequence[Generation]) -> Generation:
    """The reference, and what Optuna asks for after the complete generations before."""
    import optuna

    g, n = len(earlier), search.search.bracket
    sampler = optuna.samplers.TPESampler(
        seed=stream_seed("search", search.search_id, g) % 2**32, n_startup_trials=n, multivariate=True
    )
    study = optuna_study(search, earlier, sampler)
    asked = [study.ask(distributions(search.search)).params for _ in range(n)]
    rounded = [{key: _rounded(value, search.search.space[key]) for key, value in p.items()} for p in asked]
    parameters = [search.reference_parameters, *rounded]
    return tuple(search.proposal(g, number, values) for number, values in enumerate(parameters))


def optuna_study(
    search: ResolvedSearch, generations: Sequence[Generation], sampler: optuna.samplers.BaseSampler | None = None
) -> optuna.Study:
    """The complete generations as an Optuna study, whose values are gains over the reference.

    Who left at a rung is PRUNED, with what it had there as intermediate values; who diverged is PRUNED
    without a value, the worst that Optuna knows.
    """
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction="maximize", sampler=sampler, study_name=search.search.name)
    for generation in generations:
        study.add_trials([t for p in generation if (t := _optuna_trial(search, p, generation)) is not None])
    return study


def _optuna_trial(search: ResolvedSearch, p: Proposal, generation: Generation) -> optuna.trial.FrozenTrial | None:
    import optuna

    space, found = distributions(search.search), gains(p, generation)
    if not all(_is_in(p.parameters[key], search.search.space[key]) for key in space):
        return None  # a reference outside the space: Optuna has no word for it
    complete = len(found) == len(search.rungs) and p.failure is None
    values = {step: gain for step, gain in zip(search.rungs, found, strict=False) if not math.isnan(gain)}
    state = optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.PRUNED
    return optuna.trial.create_trial(
        params=dict(p.parameters),
        distributions=space,
        state=state,
        value=found[-1] if complete else None,
        intermediate_values=values,
        user_attrs={"generation": p.generation, "number": p.number, "trial_id": p.trial.trial_id},
    )


def distributions(search: Search) -> dict[str, optuna.distributions.BaseDistribution]:
    """The space in Optuna's classes."""
    from optuna import distributions as ours

    made: dict[str, ours.BaseDistribution] = {}
    for key, d in search.space.items():
        if isinstance(d, Categorical):
            made[key] = ours.CategoricalDistribution(list(d.choices))
        else:
            cls = ours.FloatDistribution if isinstance(d, Float) else ours.IntDistribution
            made[key] = cls(d.low, d.high, log=d.log)  # type: ignore[arg-type]
    return made


def _rounded(value: Any, d: Float | Int | Categorical) -> Any:
    """A number that can be typed, and still in its range."""
    if not isinstance(d, Float):
        return value
    return min(max(float(f"{value:.{N_DIGITS}g}"), d.low), d.high)


def _is_in(value: Any, d: Float | Int | Categorical) -> bool:
    return value in d.choices if isinstance(d, Categorical) else d.low <= value <= d.high
