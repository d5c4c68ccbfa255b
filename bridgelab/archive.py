"""A small lab of its own, with what the tables of some runs rest on: to keep beside a paper, or in a repository."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import LabError
from .lab import Lab
from .results import Results

PART = "archive"


def archive(lab: str | Lab, study_ids: Sequence[str], to: str | Lab) -> dict[str, int]:
    """Writes the rows that tables of these runs are made of into another lab, and returns how many by table.

    Of predictions those on the test split, decoded as the tables have them; no curve, weight or picture. Raises
    LabError where no run is given, or where the other lab has results already.
    """
    lab, to = Lab.of(lab), Lab.of(to)
    if not study_ids:
        raise LabError(f"{lab.location} has no run of any study; run `bridgelab sweep label_efficiency` first")
    if to.exists("results"):
        raise LabError(f"{to.show('results')} is there already; give -o another folder")
    results, written = Results(lab), Results(to)
    members = results.read("members", where={"study_id": study_ids})
    trial_ids, decodes = (members[name].unique().to_pylist() for name in ("trial_id", "decode"))
    studies = members["study"].unique().to_pylist()
    tables = {
        "predictions": {"trial_id": trial_ids, "split": ["test"], "decode": [*decodes, None]},
        "metrics": {"trial_id": trial_ids},
        "exclusions": {"trial_id": trial_ids},
        "imports": {"study": studies},
        "frozen": {"study_id": study_ids},
        "trials": {"trial_id": trial_ids},
        "members": {"study_id": study_ids},
    }
    counts = {}
    for table, where in tables.items():
        rows = results.read(table, where=where)
        written.write(table, PART, rows)
        counts[table] = rows.num_rows
    return {table: n for table, n in counts.items() if n}
