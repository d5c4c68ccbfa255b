"""What a lab has of a search: a row of `proposals` each time that an arm is asked or comes to a rung."""

from __future__ import annotations

import collections
import json
import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from .columns import Where
from .config import canonical_json
from .lab import Lab
from .results import PASSING, Results, now
from .search import Generation, Proposal, ResolvedSearch

COLUMNS = ("generation", "number", "rung", "parameters", "value", "failure_class")


class History:
    """What a lab has of a search, as it is now. Asked at every rung, so each part is read once, each arm made once.

    With `retry`, failures that may pass are as if they had not been, until they are published here again.
    """

    def __init__(self, lab: Lab, search: ResolvedSearch, *, retry: bool = False) -> None:
        self.lab, self.search, self.retry = lab, search, retry
        self._results = _ReadOnce(lab)
        self._arms: dict[tuple[int, int, str], Proposal] = {}
        "as they were asked"
        self._told: set[tuple[int, int, int]] = set()
        "generation, number and rung of what was published here"

    def generations(self) -> list[Generation]:
        """Generation by generation, those that have begun. Raises what `Results.read` raises."""
        found = self._results.read_columns("proposals", COLUMNS, where={"study_id": [self.search.search_id]})
        members: dict[tuple[int, int], Proposal] = {}
        for row in sorted(found.to_pylist(), key=lambda row: row["rung"]):
            place = row["generation"], row["number"]
            if row["rung"] == 0:
                members[place] = self._arm(*place, row["parameters"])
            elif place in members and not self._is_asked_again(*place, row["rung"], row["failure_class"]):
                values = (*members[place].values, math.nan if row["value"] is None else row["value"])
                members[place] = replace(members[place], values=values, failure=row["failure_class"])
        generations: dict[int, list[Proposal]] = collections.defaultdict(list)
        for generation, number in sorted(members):
            generations[generation].append(members[generation, number])
        return [tuple(generations[g]) for g in sorted(generations)]

    def publish(self, proposals: Sequence[Proposal], rung: int, part: str) -> None:
        """Rung 0: that they are asked; rung r: how they did at the r-th meeting."""
        name = f"{self.search.search_id}-{proposals[0].generation}-{rung}-{part}"
        name += f"-{uuid.uuid4().hex[:8]}" if self.retry else ""  # a part that others have read never changes
        self._results.write("proposals", name, _rows_of(self.search, proposals, rung))
        self._told |= {(p.generation, p.number, rung) for p in proposals}

    def _is_asked_again(self, generation: int, number: int, rung: int, failure: str | None) -> bool:
        return self.retry and failure in PASSING and (generation, number, rung) not in self._told

    def _arm(self, generation: int, number: int, parameters: str) -> Proposal:
        asked = generation, number, parameters
        if asked not in self._arms:
            self._arms[asked] = self.search.proposal(generation, number, json.loads(parameters))
        return self._arms[asked]


class _ReadOnce(Results):
    """Results that remember what they read of a part: parts never change."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self._read_before: dict[tuple[object, ...], pa.Table] = {}

    def _read_part(self, table: str, name: str, columns: Sequence[str], where: Where) -> pa.Table:
        asked = table, name, tuple(columns), frozenset((column, frozenset(values)) for column, values in where.items())
        if asked not in self._read_before:
            self._read_before[asked] = super()._read_part(table, name, columns, where)
        return self._read_before[asked]


def _rows_of(search: ResolvedSearch, proposals: Iterable[Proposal], rung: int) -> list[dict[str, Any]]:
    return [
        {
            "study_id": search.search_id,
            "study": search.search.name,
            "definition": search.definition,
            "generation": p.generation,
            "number": p.number,
            "rung": rung,
            "step": 0 if rung == 0 else search.rungs[rung - 1],
            "parameters": canonical_json(p.parameters),
            "trial_id": p.trial.trial_id,
            "judge_id": p.trial.judge_id,
            "value": None if rung == 0 or math.isnan(p.values[rung - 1]) else p.values[rung - 1],
            "failure_class": p.failure,
            "decided_at": now(),
        }
        for p in proposals
    ]
