"""Which runs a lab has, and which of them a user means."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import strict_json
from .columns import last_of_each
from .config import ClassifierConfig, Settings, VAEConfig, canonical
from .errors import LabError, NoRunError, UnknownNameError
from .keys import value_in, value_of, with_keys
from .lab import Lab
from .replicates import Crossed, check_replicates
from .results import SCHEMAS, Results, begins_as
from .study import Selection, load_study, study_names
from .wavegan_config import WaveGANConfig

OF_A_RUN = ("study", "study_id", "pair", "preset", "recipe", "definition", "planned_at")
"""The columns of members that all rows of a run have in common, but for the time of each plan."""


def studies_in(lab: str | Lab) -> list[str]:
    """The studies that a lab has members of."""
    return sorted(Results(Lab.of(lab)).read_columns("members", OF_A_RUN)["study"].unique().to_pylist())


def name_of(lab: str | Lab, study: str) -> str:
    """A study's name, from its name or from the path of its file; raises UnknownNameError for neither."""
    return _name_of(study, studies_in(lab))


def _name_of(study: str, there: Iterable[str]) -> str:
    if study.endswith(".py") or "/" in study:
        return load_study(study)[0].name
    known = {*there, *study_names()}
    if study not in known:
        raise UnknownNameError("study", study, known)
    return study


def run_of(lab: str | Lab, wanted: str) -> tuple[str, str | None]:
    """(study, study_id) of what is asked for: of a name or path its latest run, None; else a run by its id.

    The beginning of an id is enough. Raises UnknownNameError for neither, LabError for several.
    """
    by_id = {study_id: study for study, study_id in runs_in(lab)}
    found = [] if wanted in by_id.values() else begins_as(wanted, by_id)
    if len(found) > 1:
        raise LabError(f"{Lab.of(lab).location} has {len(found)} runs '{wanted}'; give more of its id")
    return (by_id[found[0]], found[0]) if found else (_name_of(wanted, by_id.values()), None)


def members_of(lab: str | Lab, study: str, selection: Selection | None = None, study_id: str | None = None) -> pa.Table:
    """The members of a study's latest run that agrees with the selection: a row an arm and replicate, texts coded.

    What a selection leaves out, any run agrees with; its number of replicates is the most that are shown.
    Raises NoRunError where the lab has no such run, InvalidValueError and UnknownNameError for what none can be.
    """
    chosen, lab = selection or Selection(), Lab.of(lab)
    n_replicates = chosen.n_replicates.n if isinstance(chosen.n_replicates, Crossed) else chosen.n_replicates
    for option, value in (("--seeds", n_replicates), ("--base-seeds", chosen.n_base)):
        check_replicates(option, 1 if value is None else value)
    chosen = replace(chosen, overrides={key: _typed(key, value) for key, value in chosen.overrides.items()})
    rows = Results(lab).read_columns("members", SCHEMAS["members"].names, where={"study": [study]})
    found = latest_id(rows, chosen) if study_id is None else study_id
    if found is None and rows.num_rows:
        _name_what_differs(study, rows, chosen)
    rows = rows.filter(pc.field("study_id") == found) if found else rows.slice(0, 0)
    if n_replicates is not None:
        rows = rows.filter(pc.field("replicate") < n_replicates)
    if not rows.num_rows:
        given = study if study in study_names() else f"{study}.py"
        command = shlex.join(["bridgelab", "sweep", given, *chosen.words])
        what = "no such run" if chosen.words else "no run"
        raise NoRunError(f"{lab.location} has {what} of '{study}'; run `{command}` first")
    return _latest_plan(rows)


def latest_id(members: pa.Table, selection: Selection | None = None) -> str | None:
    """The study_id of the run that was planned last, of those that agree with a selection; texts are coded."""
    chosen, latest = selection or Selection(), None
    for row in _runs(members):
        if _agrees(row, chosen) and (latest is None or row["planned_at"] > latest["planned_at"]):
            latest = row
    return None if latest is None else str(latest["study_id"])


def plain_id(lab: str | Lab, study: str, selection: Selection) -> str | None:
    """The study_id of the latest run that agrees with a selection and sets nothing beside it; None: there is none."""
    members = Results(Lab.of(lab)).read_columns("members", OF_A_RUN, where={"study": [study]})
    own = [row for row in _runs(members) if _agrees(row, selection)]
    plain = [row for row in own if not strict_json.mapping(row["definition"]).get("overrides")]
    return str(max(plain, key=lambda row: row["planned_at"])["study_id"]) if plain else None


def runs_in(lab: str | Lab) -> list[tuple[str, str]]:
    """(study, study_id) of every run that a lab has members of, study by study, the latest run first."""
    members = Results(Lab.of(lab)).read_columns("members", OF_A_RUN)
    rows = sorted(_runs(members), key=lambda row: row["planned_at"], reverse=True)
    return [(row["study"], row["study_id"]) for row in sorted(rows, key=lambda row: str(row["study"]))]


def looks_at(lab: str | Lab, study_id: str) -> tuple[int, ...]:
    """The numbers of replicates that a run has had in turn: more than one where it was extended, maybe after a look."""
    rows = Results(Lab.of(lab)).read_columns("members", ["planned_at", "replicate"], where={"study_id": [study_id]})
    counts = rows.group_by("planned_at").aggregate([("replicate", "max")])
    found: list[int] = []
    for row in sorted(counts.to_pylist(), key=lambda row: row["planned_at"]):
        if not found or row["replicate_max"] + 1 > found[-1]:
            found.append(row["replicate_max"] + 1)
    return tuple(found)


def _runs(members: pa.Table) -> Iterable[Mapping[str, Any]]:
    """The latest row of each run, with the columns OF_A_RUN."""
    planned = last_of_each(members.select(OF_A_RUN), ["study_id", "planned_at"]).to_pylist()
    return {row["study_id"]: row for row in sorted(planned, key=lambda row: row["planned_at"])}.values()


def _name_what_differs(study: str, members: pa.Table, chosen: Selection) -> None:
    """Raises UnknownNameError for a pair, preset or recipe that no run of the study has."""
    for name in ("pair", "preset", "recipe"):
        value, known = getattr(chosen, name), {row[name] for row in _runs(members)}
        if value is not None and value not in known:
            raise UnknownNameError(f"run of '{study}' with --{name}", value, known)


def _typed(key: str, value: Any) -> Any:
    """The value of a setting as a run has it. Raises UnknownNameError or InvalidValueError."""
    any_settings = Settings(
        vae_a=VAEConfig(), wavegan_b=WaveGANConfig(), judge_a=ClassifierConfig(), judge_b=ClassifierConfig()
    )
    return value_of(with_keys(any_settings, {key: value}), key)


def _agrees(row: Mapping[str, Any], chosen: Selection) -> bool:
    definition = strict_json.mapping(row["definition"])
    asked = {"pair": chosen.pair, "preset": chosen.preset, "recipe": chosen.recipe}
    return (
        all(value is None or row[name] == value for name, value in asked.items())
        and chosen.n_base in (None, definition.get("n_base"))
        and (chosen.n_replicates is None or _crossed(chosen.n_replicates) == definition.get("crossed"))
        and all(_set_to(definition, key) == value for key, value in chosen.overrides.items())
    )


def _crossed(n_replicates: int | Crossed) -> Any:
    """As a definition has it; None where replicates are not crossed."""
    return canonical(n_replicates) if isinstance(n_replicates, Crossed) else None


def _set_to(definition: Mapping[str, Any], key: str) -> Any:
    """What a setting of all arms stands at in a run; None where the run does not say."""
    settings = definition.get("base")
    return definition["overrides"].get(key) if settings is None else value_in(settings, key)


def _latest_plan(rows: pa.Table) -> pa.Table:
    """Of rows of one run, the one that was written last for each arm and replicate, in the order of arms."""
    kept = last_of_each(rows.sort_by([("planned_at", "ascending")]), ["arm_name", "replicate"])
    return kept.sort_by([("arm_index", "ascending"), ("replicate", "ascending")])
