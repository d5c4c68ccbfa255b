"""Which runs a lab has, and which of them a user means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .errors import LabError, UnknownNameError
from .keys import KEYS
from .lab import Lab
from .results import Results
from .study import Selection, load_study, study_names


def studies_in(lab: str | Lab) -> list[str]:
    """The studies that a lab has members of."""
    return sorted(set(Results(Lab.of(lab)).read("members")["study"].to_pylist()))


def name_of(lab: str | Lab, study: str) -> str:
    """A study's name, from its name or from the path of its file; raises UnknownNameError for neither."""
    if study.endswith(".py") or "/" in study:
        return load_study(study)[0].name
    known = {*studies_in(lab), *study_names()}
    if study not in known:
        raise UnknownNameError("study", study, known)
    return study


def members_of(lab: str | Lab, study: str, selection: Selection | None = None, study_id: str | None = None) -> pa.Table:
    """The members of a study's latest run that agrees with the selection: a row an arm and replicate.

    What a selection leaves out, any run agrees with; its number of replicates is the most that are shown.
    Raises LabError where the lab has no such run, UnknownNameError for a key that does not exist.
    """
    chosen = selection or Selection()
    for key in chosen.overrides:
        if key not in KEYS:
            raise UnknownNameError("key", key, KEYS)
    lab = Lab.of(lab)
    rows = Results(lab).read("members", where=pc.field("study") == study)
    found = latest_id(rows, chosen) if study_id is None else study_id
    rows = rows.filter(pc.field("study_id") == found) if found else rows.slice(0, 0)
    if chosen.n_replicates is not None:
        rows = rows.filter(pc.field("replicate") < chosen.n_replicates)
    if not rows.num_rows:
        what = "run" if chosen == Selection() and study_id is None else "such run"
        raise LabError(f"{lab.location} has no {what} of '{study}'; run `bridgelab sweep {study}` first")
    return _latest_plan(rows)


def latest_id(members: pa.Table, selection: Selection | None = None) -> str | None:
    """The study_id of the run that was planned last, of those that agree with a selection."""
    chosen, latest = selection or Selection(), None
    columns = ["study_id", "pair", "preset", "recipe", "definition", "planned_at"]
    for row in _distinct(members.select(columns).to_pylist(), "study_id"):
        if _agrees(row, chosen) and (latest is None or row["planned_at"] > latest["planned_at"]):
            latest = row
    return None if latest is None else str(latest["study_id"])


def _agrees(row: Mapping[str, Any], chosen: Selection) -> bool:
    definition = json.loads(row["definition"])
    asked = {"pair": chosen.pair, "preset": chosen.preset, "recipe": chosen.recipe}
    return (
        all(value is None or row[name] == value for name, value in asked.items())
        and chosen.n_base in (None, definition["n_base"])
        and all(definition["overrides"].get(key) == value for key, value in chosen.overrides.items())
    )


def _distinct(rows: Iterable[Mapping[str, Any]], key: str) -> Iterable[Mapping[str, Any]]:
    """The latest row of each."""
    return {row[key]: row for row in sorted(rows, key=lambda row: row["planned_at"])}.values()


def _latest_plan(rows: pa.Table) -> pa.Table:
    """Of rows of one run, the one that was written last for each arm and replicate, in the order of arms."""
    order = rows.sort_by([("planned_at", "ascending")])
    places = {(arm, replicate): i for i, (arm, replicate) in enumerate(zip(*_columns(order), strict=True))}
    kept = order.take(list(places.values()))
    return kept.sort_by([("arm_index", "ascending"), ("replicate", "ascending")])


def _columns(rows: pa.Table) -> tuple[list[Any], list[Any]]:
    return rows["arm_name"].to_pylist(), rows["replicate"].to_pylist()
