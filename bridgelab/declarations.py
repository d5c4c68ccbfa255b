"""What people declare about a lab's results: trials that are left out, plans that are fixed, numbers from elsewhere.

Every declaration is a row of its own and stays: a later one takes an earlier one back, and none is erased.
"""

from __future__ import annotations

import csv
import io
import math
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .config import canonical_json
from .domains import pair_name
from .errors import InvalidValueError, LabError, UnknownNameError
from .lab import Lab
from .metrics import METRICS
from .results import Results, begins_as, now
from .soundness import LARGEST
from .study import ResolvedStudy
from .text_file import read_text

COLUMNS = ("arm", "metric", "mean", "ci_low", "ci_high", "n", "source")
"""Of a CSV of numbers from elsewhere; the first three are required."""
MOST = 1_000_000
"""Replicates of a number from elsewhere."""


def exclude(lab: str | Lab, trial_id: str, reason: str, *, take_back: bool = False) -> str:
    """Leaves a trial out of every table from now on, or takes that back; returns the whole id.

    Raises LabError for a trial that the lab does not have, InvalidValueError for a missing reason, and for
    taking back what was not declared.
    """
    lab = Lab.of(lab)
    if not reason.strip():
        raise InvalidValueError(
            "--reason: say why, in a few words; it stands in every table that the trial is left out of"
        )
    found = begins_as(trial_id, Results(lab).read_columns("trials", ["trial_id"])["trial_id"].to_pylist())
    if len(found) != 1:
        what = "no trial" if not found else f"{len(found)} trials"
        raise LabError(f"{lab.location} has {what} '{trial_id}'; `bridgelab show STUDY` lists those of a study")
    if take_back and found[0] not in excluded(lab):
        raise InvalidValueError(f"{found[0]} is not excluded; leave --take-back out")
    row = {"trial_id": found[0], "excluded": not take_back, "reason": reason.strip(), "declared_at": now()}
    Results(lab).write("exclusions", uuid.uuid4().hex[:12], [row])
    return found[0]


def excluded(lab: str | Lab) -> dict[str, dict[str, Any]]:
    """trial_id -> the row that leaves it out, of every trial that is left out now."""
    rows = Results(Lab.of(lab)).read("exclusions").to_pylist()
    latest = {row["trial_id"]: row for row in sorted(rows, key=lambda row: row["declared_at"])}
    return {trial_id: row for trial_id, row in latest.items() if row["excluded"]}


def freeze(lab: str | Lab, resolved: ResolvedStudy) -> dict[str, Any]:
    """Fixes the plan of a study: its arms, reference, metric and number of replicates. Returns the row.

    It says how many of the trials had results already: a plan that is fixed afterwards is none. Raises
    InvalidValueError where the run has been frozen.
    """
    lab = Lab.of(lab)
    if (there := frozen(lab, resolved.study_id)) is not None:
        raise InvalidValueError(
            f"the plan of {resolved.study.name} ({resolved.study_id}) was frozen on {there['declared_at']:%Y-%m-%d}, "
            f"with {there['n_replicates']} replicates; a plan is frozen once"
        )
    known = Results(lab).latest_attempts()
    row = {
        "study_id": resolved.study_id,
        "study": resolved.study.name,
        "definition": canonical_json(resolved.definition),
        "n_replicates": resolved.n_replicates,
        "n_trials": len({member.trial.trial_id for member in resolved.members}),
        "n_known": len({member.trial.trial_id for member in resolved.members} & set(known)),
        "declared_at": now(),
    }
    Results(lab).write("frozen", resolved.study_id, [row])
    return row


def frozen(lab: str | Lab, study_id: str) -> dict[str, Any] | None:
    """The frozen plan of a run; None where there is none."""
    rows = Results(Lab.of(lab)).read("frozen", where={"study_id": [study_id]}).to_pylist()
    return min(rows, key=lambda row: row["declared_at"], default=None)


def bring_in(lab: str | Lab, study: str, pair: str, path: str | Path) -> int:
    """Reads numbers from elsewhere out of a CSV, to stand beside a study's own; returns how many.

    Its columns are COLUMNS; an arm need not be one of the study's. Numbers brought in for an arm and metric
    replace those brought in before. Raises InvalidValueError that names line and column, and UnknownNameError
    for a pair of domains that there are not.
    """
    rows = [_row(path, line, cells) for line, cells in enumerate(_lines(path), 2)]
    if not rows:
        raise InvalidValueError(f"{path} has no row below its head; give it some")
    common = {"study": study, "pair": _pair_of(lab, study, pair), "declared_at": now()}
    Results(Lab.of(lab)).write("imports", uuid.uuid4().hex[:12], [common | row for row in rows])
    return len(rows)


def _pair_of(lab: str | Lab, study: str, pair: str) -> str:
    """A pair as runs on it are named: it is that of a run of the study, or one of domains that there are."""
    rows = Results(Lab.of(lab)).read_columns("members", ["pair"], where={"study": [study]})
    return pair if pair in rows["pair"].unique().to_pylist() else pair_name(pair)


def brought_in(lab: str | Lab, study: str, pair: str) -> list[dict[str, Any]]:
    """The numbers from elsewhere that stand beside a study on a pair, in the order of arms as they came."""
    rows = Results(Lab.of(lab)).read("imports", where={"study": [study]}).to_pylist()
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["declared_at"]):
        if row["pair"] == pair:
            latest[row["arm_name"], row["metric"]] = row
    return list(latest.values())


def _lines(path: str | Path) -> list[dict[str | Any, str | Any]]:
    try:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
        head = reader.fieldnames or []
        for name in head:
            if name not in COLUMNS:
                raise UnknownNameError(f"column in {path}:", name, COLUMNS)
        for name in COLUMNS[:3]:
            if name not in head:
                raise InvalidValueError(f"{path} has no column '{name}'; its head is {','.join(COLUMNS)}")
        return list(reader)
    except (ValueError, csv.Error) as error:
        raise InvalidValueError(f"cannot read {path} as CSV: {error}") from None


def _row(path: str | Path, line: int, cells: Mapping[str | Any, Any]) -> dict[str, Any]:
    where = f"{path}, line {line}"
    if None in cells or not (cells["arm"] or "").strip():
        raise InvalidValueError(f"{where}: give an arm a name, and as many cells as the head has")
    if cells["metric"] not in METRICS:
        raise UnknownNameError(f"metric in {where}:", str(cells["metric"]), METRICS)
    numbers = {name: _number(where, name, cells.get(name)) for name in ("mean", "ci_low", "ci_high", "n")}
    if numbers["mean"] is None:
        raise InvalidValueError(f"{where}: mean is missing; give a number")
    n = numbers.pop("n")
    if n is not None and not (n.is_integer() and 1 <= n <= MOST):
        raise InvalidValueError(f"{where}: n is {n:g}; give a whole number, 1 to {MOST:,}")
    return {
        "arm_name": cells["arm"].strip(),
        "metric": cells["metric"],
        **numbers,
        "n": None if n is None else int(n),
        "source": (cells.get("source") or "").strip() or Path(path).name,
    }


def _number(where: str, name: str, text: str | None) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        raise InvalidValueError(f"{where}: {name} is '{text}'; give a number")
    return value
