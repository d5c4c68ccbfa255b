"""What the driver of a sweep writes to a lab: members, manifests, the rows of packs.

A trial's bridge, predictions and metrics are published before its row in `trials`, the commit; then its
pack's folder goes. Whatever stops a sweep, the same command goes on from what is finished.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .catalog import OF_A_RUN, latest_id
from .columns import Where
from .config import canonical_json
from .lab import Lab
from .metrics import METRIC_VERSION
from .planning import PackPlan, manifests
from .results import SCHEMAS, Results, now, to_parquet
from .study import ResolvedStudy

ORDER = ("curves", "predictions", "metrics", "trials")
"""In which a pack's rows are published."""


def publish_members(lab: Lab, resolved: ResolvedStudy) -> None:
    """Which arms and trials the study has, unless the lab's latest run of it says so already.

    A later run with fewer replicates takes none away.
    """
    if _is_latest(lab, resolved):
        return
    results = Results(lab)
    common = {
        "study_id": resolved.study_id,
        "study": resolved.study.name,
        "definition": canonical_json(resolved.definition),
        "pair": resolved.pair_name,
        "preset": resolved.preset,
        "recipe": resolved.recipe,
        "planned_at": now(),
    }
    rows = [
        {
            **common,
            "arm_id": member.arm.arm_id,
            "arm_name": member.arm.name,
            "arm_index": member.arm_index,
            "arm": canonical_json(member.arm.varies),
            "role": "reference" if member.arm.name == resolved.reference else "arm",
            "replicate": member.replicate,
            "trial_id": member.trial.trial_id,
            "judge_id": member.trial.judge_id,
            "decode": member.arm.settings.decode,
        }
        for member in resolved.members
    ]
    results.write("members", f"{resolved.study_id}-{uuid.uuid4().hex[:8]}", rows)


def _is_latest(lab: Lab, resolved: ResolvedStudy) -> bool:
    columns = ["arm_name", "trial_id", "decode"]
    rows = Results(lab).read_columns("members", [*OF_A_RUN, *columns], where={"study": [resolved.study.name]})
    if latest_id(rows) != resolved.study_id:
        return False
    own = rows.filter(pc.field("study_id") == resolved.study_id)
    there = set(zip(*(own[name].to_pylist() for name in columns), strict=True))
    return there >= {(m.arm.name, m.trial.trial_id, m.arm.settings.decode) for m in resolved.members}


def manifest(study: str, pack: PackPlan) -> dict[str, Any]:
    """What a pack's folder says of it: trials, judges of those that are only evaluated, study, leg of a bracket."""
    return {
        "trials": [entry.spec.trial_id for entry in pack.entries],
        "attempts": [entry.attempt for entry in pack.entries],
        "judges": [entry.spec.judge_id if entry.trained else None for entry in pack.entries],
        "study": study,
        "leg": None if pack.leg is None or pack.leg.is_last else dataclasses.asdict(pack.leg),
        "started_at": now().isoformat(timespec="seconds"),
    }


def finished_packs(lab: Lab) -> list[str]:
    """Packs that are still there although their trials, in these attempts or later ones, are finished."""
    results = Results(lab)
    trained = {trial_id: row["attempt"] for trial_id, row in results.latest_attempts().items()}
    evaluated, met = results.evaluated(), results.met()

    def at_rung(pack: Mapping[str, Any]) -> bool:
        leg = pack["leg"]
        return all((leg["search_id"], leg["generation"], leg["rung"] + 1, i) in met for i in pack["trials"])

    def finished(trial_id: str, attempt: int, judge_id: str | None) -> bool:
        return trained.get(trial_id, -1) >= attempt if judge_id is None else (trial_id, judge_id) in evaluated

    return [
        pack["pack_id"]
        for pack in manifests(lab)
        if (at_rung(pack) if pack["leg"] else all(map(finished, pack["trials"], pack["attempts"], pack["judges"])))
    ]


def drop_finished_packs(lab: Lab) -> None:
    """Removes packs that ended otherwise: of a run that was killed, and planned anew."""
    for pack_id in finished_packs(lab):
        lab.remove(f"packs/{pack_id}")


class Part(bytes):
    """A part before it is published. Tune makes a text of every report, whoever reads it: of megabytes, if it may."""

    def __repr__(self) -> str:
        return f"<{len(self):,} bytes>"


Parts = Mapping[str, bytes]
"""By table, what a pack adds to it, as the part that is published."""


def parts_of(rows: Mapping[str, pa.Table]) -> Parts:
    """The rows of a pack as parts: a worker makes them, for the driver has those of all packs to publish."""
    return {table: Part(to_parquet(table, rows[table])) for table in ORDER if table in rows and rows[table].num_rows}


def publish_parts(lab: Lab, pack: PackPlan, parts: Parts) -> None:
    """Commits a pack: its parts in ORDER, then its folder goes."""
    results = Results(lab)
    for table in ORDER:
        if table in parts:
            results.publish(table, pack.pack_id, parts[table])
    lab.remove(f"packs/{pack.pack_id}")


def publish_rows(lab: Lab, pack: PackPlan, rows: Mapping[str, pa.Table]) -> None:
    """Commits a pack of which the rows are at hand."""
    publish_parts(lab, pack, parts_of(rows))


def lost_rows(pack: PackPlan) -> pa.Table:
    """Rows of trials whose workers died too often."""
    text = "the workers that trained this trial's pack died again and again"
    rows = [
        {
            "trial_id": entry.spec.trial_id,
            "attempt": entry.attempt,
            "state": "FAIL",
            "failure_class": "lost",
            "failure_text": text,
            "config": canonical_json(entry.spec),
            "pack_id": pack.pack_id,
            "pack_size": len(pack.entries),
            "finished_at": now(),
        }
        for entry in pack.entries
        if not entry.trained
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMAS["trials"])


def keep_best(lab: Lab, resolved: ResolvedStudy, trained: Iterable[str]) -> None:
    """Removes the bridges of `trained` trials, but for each arm's best replicate on validation."""
    metric = resolved.study.primary_metric
    wanted: Where = {"metric": [metric], "split": ["validation"], "metric_version": [METRIC_VERSION]}
    rows = sorted(Results(lab).read("metrics", where=wanted).to_pylist(), key=lambda row: row["attempt"])
    value = {(row["trial_id"], row["judge_id"], row["decode"]): row["value"] for row in rows}
    best: dict[str, tuple[float, str]] = {}
    for member in resolved.members:
        found = value.get((member.trial.trial_id, member.trial.judge_id, member.arm.settings.decode))
        if found is not None:
            best[member.arm.name] = max(best.get(member.arm.name, (found, "")), (found, member.trial.trial_id))
    kept = {trial_id for _, trial_id in best.values()}
    _drop_bridges(lab, set(trained) - kept)


def keep_members(lab: Lab, resolved: ResolvedStudy, trained: Iterable[str]) -> None:
    """Removes the bridges of `trained` trials that stand behind no table: a search had them."""
    _drop_bridges(lab, set(trained) - {member.trial.trial_id for member in resolved.members})


def _drop_bridges(lab: Lab, trial_ids: Iterable[str]) -> None:
    for trial_id in trial_ids:
        lab.remove(f"bridges/{trial_id}.safetensors")


def failures(lab: Lab, resolved: ResolvedStudy) -> dict[str, tuple[str, str]]:
    """trial_id -> (failure class, text) of the study's trials that failed."""
    attempts = Results(lab).latest_attempts()
    ids = dict.fromkeys(member.trial.trial_id for member in resolved.members)
    rows = {trial_id: attempts[trial_id] for trial_id in ids if trial_id in attempts}
    return {i: (r["failure_class"], r["failure_text"]) for i, r in rows.items() if r["state"] == "FAIL"}
