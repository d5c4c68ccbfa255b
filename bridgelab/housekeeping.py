"""What may go from a lab, and parts that may be one. Both list first, and are safe to kill at any moment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from . import strict_json
from .errors import LabError
from .lab import Lab
from .publication import finished_packs
from .results import SCHEMAS, DamagedPartError, Results, absorbed_by
from .specs import latents_id_of, model_id_of

GRACE_S = 24 * 3600.0
"""Younger things stay: a sweep that runs may be about to use them."""

FOLDERS = (
    "",
    "models",
    "latents",
    "bridges",
    "brackets",
    "packs",
    "panels",
    "training",
    *(f"results/{table}" for table in SCHEMAS),
)


@dataclass(frozen=True)
class Garbage:
    """Something that no result reaches."""

    path: str
    n_bytes: int
    why: str


def garbage(lab: Lab, *, grace_s: float = GRACE_S) -> list[Garbage]:
    """What no result of a lab reaches and nobody has touched for `grace_s` seconds. Removes nothing.

    Reached is what a trial in `trials` was made from, the judges of its metrics, and the bridge of every
    COMPLETE trial; packs until all their trials are finished. Results themselves are never garbage.
    While a study of the lab is unfinished a sweep may be about to use what no result reaches yet: then
    `grace_s` is a day at least.
    """
    if _is_unfinished(lab):
        grace_s = max(grace_s, GRACE_S)
    found = [*_unreached(lab), *_finished_packs(lab), *_leftovers(lab)]
    return [Garbage(path, lab.size(path), why) for path, why in found if lab.age_s(path) >= grace_s]


def _is_unfinished(lab: Lab) -> bool:
    """Whether a sweep may run: it makes models, a bracket is open, or a planned trial lacks its end or its metrics."""
    results = Results(lab)
    begun = [f"training/{name}" for name in lab.names("training") if name.endswith(".sweep")]
    begun += [f"brackets/{name}" for name in lab.names("brackets")]
    if any(lab.age_s(path) < GRACE_S for path in begun):
        return True
    failed = {trial_id for trial_id, row in results.latest_attempts().items() if row["state"] == "FAIL"}
    done, planned = results.evaluated(), results.read_columns("members", ["trial_id", "judge_id"]).to_pylist()
    return any(row["trial_id"] not in failed and (row["trial_id"], row["judge_id"]) not in done for row in planned)


def collect(lab: Lab, found: list[Garbage]) -> int:
    """Removes what `garbage` found; returns how many bytes that were."""
    for one in found:
        lab.remove(one.path)
    return sum(one.n_bytes for one in found)


def _unreached(lab: Lab) -> Iterator[tuple[str, str]]:
    results = Results(lab)
    models, latents, bridges = set[str](), set[str](), set[str]()
    for row in results.read_columns("trials", ["trial_id", "state", "config"]).to_pylist():
        try:
            spec = strict_json.loads(row["config"])
            latents.update(latents_id_of(spec[side]) for side in ("base_a", "base_b"))
            models.update(model_id_of(spec[side]) for side in ("base_a", "base_b", "judge_a", "judge_b"))
        except (AttributeError, KeyError, TypeError, ValueError):
            path = lab.show("results/trials")
            raise LabError(
                f"{path}: trial {row['trial_id']} does not say what it was made from; nothing is removed"
            ) from None
        if row["state"] == "COMPLETE":
            bridges.add(f"{row['trial_id']}.safetensors")
    for judge_id in results.read_columns("metrics", ["judge_id"])["judge_id"].unique().to_pylist():
        models.update(judge_id.split("+"))
    for name in lab.names("training"):
        yield f"training/{name}", "nobody goes on with this training"
    for name in lab.names("brackets"):
        yield f"brackets/{name}", "nobody goes on with this bracket"
    panels = {name.replace(".safetensors", ".parquet") for name in bridges}
    reachable = (("models", models), ("latents", latents), ("bridges", bridges), ("panels", panels))
    for folder, reached in reachable:
        for name in lab.names(folder):
            if name not in reached:
                yield f"{folder}/{name}", "no result was made with it"


def _finished_packs(lab: Lab) -> Iterator[tuple[str, str]]:
    for pack_id in finished_packs(lab):
        yield f"packs/{pack_id}", "all its trials are finished"


def _leftovers(lab: Lab) -> Iterator[tuple[str, str]]:
    for folder in FOLDERS:
        for name in lab.leftovers(folder):
            yield f"{folder}/{name}".lstrip("/"), "a write or a removal that was cut short"


def scattered(lab: Lab) -> dict[str, int]:
    """table -> how many parts it has, of those that have more than one."""
    counts = {table: len(Results(lab).part_names(table)) for table in SCHEMAS}
    return {table: n for table, n in counts.items() if n > 1}


def compact(lab: Lab) -> dict[str, int]:
    """Merges the parts of every table into one; returns table -> how many parts became one.

    The merged part names those that it absorbed. Until they are gone, readers pass over them; parts that
    a sweep publishes meanwhile are not among them and stay.
    """
    results, merged = Results(lab), {}
    for table in scattered(lab):
        parts: dict[str, pa.Table] = {}
        for name in results.part_names(table):
            try:
                parts[name] = results.read_part(table, name)
            except DamagedPartError:
                continue
            except LabError:
                if lab.exists(f"results/{table}/{name}"):
                    raise  # else somebody else has merged it meanwhile
        absorbed = {name for part in parts.values() for name in absorbed_by(part)}
        kept = [part.replace_schema_metadata() for name, part in parts.items() if name not in absorbed]
        if len(parts) > 1:
            name = hashlib.sha256("/".join(sorted(parts)).encode()).hexdigest()[:20]
            rows = results.without_repeats(table, pa.concat_tables(kept).unify_dictionaries())
            results.write(table, f"merged-{name}", rows, absorbed=sorted(parts))
            for old in parts:
                lab.remove(f"results/{table}/{old}")
            merged[table] = len(parts)
    return merged
