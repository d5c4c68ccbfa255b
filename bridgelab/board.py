"""What the driver of a sweep hears from its packs, publishes at once, and tells."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import pyarrow as pa

from .errors import LabError
from .lab import Lab
from .planning import PackPlan
from .publication import lost_rows, publish_rows
from .results import SCHEMAS

Met = Mapping[str, tuple[float, str | None]]
"""trial_id -> validation accuracy at a rung, or nan and what the trial failed of."""


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
        self._before, self._n_ended = (0, 0), 0
        "steps and trials of the packs before these, and how many trials of these have ended"
        self.lab_error: str | None = None
        self.unevaluated: dict[str, tuple[str, str]] = {}
        "trial_id -> (failure class, text) of trials whose predictions could not be made"
        self.elsewhere: set[str] = set()
        "packs that another sweep had, or has finished"
        self.trained: set[str] = set()
        self.evaluated: set[str] = set()
        "trials whose rows were published"

    def expect(self, packs: Iterable[PackPlan]) -> None:
        """The packs that come next: progress is told of these."""
        self._before = self._steps_and_trials
        self._packs = {pack.pack_id: pack for pack in packs}
        self._steps, self._n_ended = dict.fromkeys(self._packs, 0), 0
        self._tell()

    def take(self, pack_id: str, result: dict[str, Any]) -> None:
        """A report of a pack: steps, and at its end rows, that it is elsewhere, or the error of a lab."""
        self.lab_error = self.lab_error or result.get("lab_error")
        if "elsewhere" in result:
            self.elsewhere.add(pack_id)
        if "rows" in result:
            self.unevaluated |= result.pop("unevaluated")
            tables = {table: from_ipc(table, data) for table, data in result.pop("rows").items()}
            self._publish(self._packs[pack_id], tables)
        if "met" in result:
            self._meet(self._packs[pack_id], {i: (value, failure) for i, (value, failure) in result["met"].items()})
        self._steps[pack_id] = result.get("steps", self._steps[pack_id])
        self._tell()

    def lose(self, pack_id: str) -> None:
        """A pack whose worker died more often than it is started again."""
        pack = self._packs[pack_id]
        if pack.leg is None or pack.leg.is_last:
            self._publish(pack, {"trials": lost_rows(pack)})
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
            self._n_ended += len(pack.entries)
        except LabError as error:
            self.lab_error = str(error)

    def _publish(self, pack: PackPlan, tables: Mapping[str, pa.Table]) -> None:
        if self.lab_error is not None:
            return
        try:
            publish_rows(self._lab, pack, tables)
            self._n_ended += len(pack.entries)
            self.trained |= _ids(tables["trials"])
            self.evaluated |= _ids(tables["metrics"]) if "metrics" in tables else set()
        except LabError as error:
            self.lab_error = str(error)

    def _tell(self) -> None:
        (steps_before, trials_before), (n_steps, n_trials) = self._before, self._steps_and_trials
        done = self._n_ended + trials_before
        self._progress.steps(steps_before + sum(self._steps.values()), n_steps, done, n_trials)

    @property
    def _steps_and_trials(self) -> tuple[int, int]:
        """Of all packs that were ever expected."""
        steps, trials = self._before
        packs = self._packs.values()
        return steps + sum(pack.n_steps for pack in packs), trials + sum(len(pack.entries) for pack in packs)


def _ids(rows: pa.Table) -> set[str]:
    return {str(trial_id) for trial_id in rows["trial_id"].to_pylist()}


def to_ipc(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.unify_dictionaries())
    return sink.getvalue()


def from_ipc(table: str, data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all().cast(SCHEMAS[table])
