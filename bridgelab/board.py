"""What the driver of a sweep hears from its packs, publishes at once, and tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from .errors import LabError
from .lab import Lab
from .planning import PackPlan
from .publication import Parts, lost_rows, parts_of, publish_parts

Met = Mapping[str, tuple[float, str | None]]
"""trial_id -> validation accuracy at a rung, or nan and what the trial failed of."""

LOST = ("lost", "the workers that evaluated this trial died again and again")


class Progress(Protocol):
    """What a sweep tells while it runs."""

    def phase(self, text: str) -> None:
        """Something begins that has no count."""

    def models(self, done: int, total: int) -> None:
        """Judges and base models that are ready."""

    def steps(self, done: int, total: int, trials_done: int, trials: int) -> None:
        """Trial-steps done, and the trials that are finished and published."""


class Silent:
    """Progress that nobody watches."""

    def phase(self, text: str) -> None: ...

    def models(self, done: int, total: int) -> None: ...

    def steps(self, done: int, total: int, trials_done: int, trials: int) -> None: ...


class Board:
    """What packs report: their rows are published at once. After a lab's first error nothing more is tried."""

    def __init__(
        self,
        lab: Lab,
        progress: Progress,
        meeting: Callable[[PackPlan, Met], None] | None = None,
    ) -> None:
        self._lab, self._progress, self._meeting = lab, progress, meeting
        self._packs: dict[str, PackPlan] = {}
        self._steps: dict[str, int] = {}
        self._n_steps = self._n_steps_done = self._n_trials = self._n_trials_ended = 0
        "of all packs that were ever expected; kept, and not counted: there may be many reports a second"
        self.lab_error: str | None = None
        self.unevaluated: dict[str, tuple[str, str]] = {}
        "trial_id -> (failure class, text) of trials whose predictions could not be made"
        self._tried: set[str] = set()
        "packs that were expected"
        self.elsewhere: set[str] = set()
        "packs that another sweep had, or has finished"
        self.trained: set[str] = set()
        self.evaluated: set[str] = set()
        "trials whose rows were published"

    def expect(self, packs: Iterable[PackPlan]) -> None:
        """The packs that come next: progress is told of these."""
        self._n_steps_done, self._n_trials_ended = self._n_steps, self._n_trials
        self._packs = {pack.pack_id: pack for pack in packs}
        self._tried |= self._packs.keys()
        self._steps = dict.fromkeys(self._packs, 0)
        self._n_steps += sum(pack.n_steps for pack in self._packs.values())
        self._n_trials += sum(len(pack.entries) for pack in self._packs.values())
        self._tell()

    def check_new(self, packs: Iterable[PackPlan]) -> None:
        """Raises LabError where one of some packs has run here before: it left no result, and never would."""
        if again := (self._tried - self.elsewhere) & {pack.pack_id for pack in packs}:
            raise LabError(f"packs {', '.join(sorted(again))} left no result; look at what they hold, and run again")

    def take(self, pack_id: str, result: dict[str, Any]) -> None:
        """A report of a pack: steps, and at its end its parts, that it is elsewhere, or the error of a lab."""
        self.lab_error = self.lab_error or result.get("lab_error")
        if "elsewhere" in result:
            self.elsewhere.add(pack_id)
        if "parts" in result:
            self._publish(self._packs[pack_id], result.pop("parts"), result.pop("unevaluated"))
        if "met" in result:
            self._meet(self._packs[pack_id], {i: (value, failure) for i, (value, failure) in result["met"].items()})
        before = self._steps[pack_id]
        self._steps[pack_id] = result.get("steps", before)
        self._n_steps_done += self._steps[pack_id] - before
        self._tell()

    def lose(self, pack_id: str) -> None:
        """A pack whose worker died more often than it is started again."""
        pack = self._packs[pack_id]
        if pack.leg is None or pack.leg.is_last:
            unevaluated = {entry.spec.trial_id: LOST for entry in pack.entries if entry.trained}
            self._publish(pack, parts_of({"trials": lost_rows(pack)}), unevaluated)
        else:
            self._meet(pack, {entry.spec.trial_id: (math.nan, "lost") for entry in pack.entries})
        self._tell()

    @property
    def done(self) -> set[str]:
        return self.trained | self.evaluated

    def _meet(self, pack: PackPlan, met: Met) -> None:
        """How a bracket's members did at a rung; then their pack's folder goes."""
        if self.lab_error is not None or self._meeting is None:
            return
        try:
            self._meeting(pack, met)
            self._lab.remove(f"packs/{pack.pack_id}")
            self.trained |= met.keys()
            self._n_trials_ended += len(pack.entries)
        except LabError as error:
            self.lab_error = str(error)

    def _publish(self, pack: PackPlan, parts: Parts, unevaluated: Mapping[str, tuple[str, str]]) -> None:
        if self.lab_error is not None:
            return
        try:
            publish_parts(self._lab, pack, parts)
            self._n_trials_ended += len(pack.entries)
            self.trained |= {entry.spec.trial_id for entry in pack.entries if not entry.trained}
            self.evaluated |= {entry.spec.trial_id for entry in pack.entries if entry.trained} - unevaluated.keys()
            before = self.unevaluated.keys() - {entry.spec.trial_id for entry in pack.entries}
            self.unevaluated = {i: self.unevaluated[i] for i in before} | dict(unevaluated)
        except LabError as error:
            self.lab_error = str(error)

    def _tell(self) -> None:
        self._progress.steps(self._n_steps_done, self._n_steps, self._n_trials_ended, self._n_trials)
