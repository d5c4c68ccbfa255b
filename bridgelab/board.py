"""What the driver of a sweep hears from its packs, publishes at once, and tells."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa

from .errors import LabError
from .lab import Lab
from .planning import PackPlan
from .publication import lost_rows, publish_rows
from .results import SCHEMAS


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

    def __init__(self, lab: Lab, packs: Mapping[str, PackPlan], progress: Progress) -> None:
        self._lab, self._packs, self._progress = lab, packs, progress
        self._steps = dict.fromkeys(packs, 0)
        self.lab_error: str | None = None
        self.unevaluated: dict[str, tuple[str, str]] = {}
        "trial_id -> (failure class, text) of trials whose predictions could not be made"
        self.trained: set[str] = set()
        self.evaluated: set[str] = set()
        "trials whose rows were published"
        self._tell()

    def take(self, pack_id: str, result: dict[str, Any]) -> None:
        """A report of a pack: steps, and at its end rows or the error of a lab."""
        self.lab_error = self.lab_error or result.get("lab_error")
        if "rows" in result:
            self.unevaluated |= result.pop("unevaluated")
            tables = {table: from_ipc(table, data) for table, data in result.pop("rows").items()}
            self._publish(self._packs[pack_id], tables)
        self._steps[pack_id] = result.get("steps", self._steps[pack_id])
        self._tell()

    def lose(self, pack_id: str) -> None:
        """A pack whose worker died more often than it is started again."""
        self._publish(self._packs[pack_id], {"trials": lost_rows(self._packs[pack_id])})
        self._tell()

    @property
    def done(self) -> set[str]:
        return self.trained | self.evaluated

    def _publish(self, pack: PackPlan, tables: Mapping[str, pa.Table]) -> None:
        if self.lab_error is not None:
            return
        try:
            publish_rows(self._lab, pack, tables)
            self.trained |= _ids(tables["trials"])
            self.evaluated |= _ids(tables["metrics"]) if "metrics" in tables else set()
        except LabError as error:
            self.lab_error = str(error)

    def _tell(self) -> None:
        n_steps = sum(pack.n_steps for pack in self._packs.values())
        n_trials = sum(len(pack.entries) for pack in self._packs.values())
        self._progress.steps(sum(self._steps.values()), n_steps, len(self.done), n_trials)


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
