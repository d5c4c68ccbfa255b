"""What the values of results can be, whoever wrote them: rows that break this are no part of results.

Checked of the columns that are read, by whole columns: a text that repeats is looked at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import strict_json
from .metrics import METRICS

NEVER_NULL: Mapping[str, frozenset[str]] = {
    table: frozenset(names.split())
    for table, names in {
        "members": "study_id study definition pair preset recipe arm_id arm_name arm_index arm role replicate "
        "trial_id judge_id planned_at",
        "trials": "trial_id attempt state",
        "metrics": "trial_id attempt metric split n_eval judge_id metric_version",
        "predictions": "trial_id attempt judge_id direction split item source transferred reconstructed",
        "proposals": "study_id study definition generation number rung step parameters trial_id decided_at",
        "curves": "trial_id attempt step term",
        "exclusions": "trial_id excluded reason declared_at",
        "frozen": "study_id study n_replicates n_trials n_known declared_at",
        "imports": "study pair arm_name metric mean source declared_at",
    }.items()
}
CHOICES: Mapping[str, frozenset[str]] = {
    "state": frozenset(["COMPLETE", "FAIL"]),
    "role": frozenset(["reference", "arm"]),
    "split": frozenset(["train", "validation", "test"]),
    "decode": frozenset(["mean", "sample"]),
    "direction": frozenset(["ab", "ba"]),
}
LARGEST = 1e15
"""Of a number that is measured; its square is far from the end of what a float can be."""
SINCE, UNTIL = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2200, 1, 1, tzinfo=dt.UTC)


def check(table: str, rows: pa.Table) -> None:
    """Raises ValueError where some value of a table, its texts as dictionaries, cannot be."""
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if column.null_count and field.name in NEVER_NULL[table]:
            raise ValueError(f"a {field.name} is missing")
        if pa.types.is_dictionary(field.type):
            _check_texts(table, field.name, column)
        elif not pa.types.is_boolean(field.type):
            _check_range(field, column)


def _check_range(field: pa.Field, column: pa.ChunkedArray) -> None:
    kinds = {pa.types.is_floating: (-LARGEST, LARGEST), pa.types.is_timestamp: (SINCE, UNTIL)}
    least, most = next((ends for is_one, ends in kinds.items() if is_one(field.type)), (0, None))
    low, high = (pa.scalar(end, field.type) for end in (least, most))
    ends = pc.min_max(column)
    if pc.less(ends["min"], low).as_py() or pc.greater(ends["max"], high).as_py():
        raise ValueError(f"a {field.name} is out of range")


def _check_texts(table: str, name: str, column: pa.ChunkedArray) -> None:
    choices, check_form = CHOICES.get(name), FORMS.get((table, name))
    if choices is None and check_form is None:
        return
    for text in {text for chunk in column.chunks for text in chunk.dictionary.to_pylist()}:
        if text is None or (choices is not None and text not in choices):
            raise ValueError(f"a {name} is {text!r:.40}")
        if check_form is not None:
            check_form(text)


def _mapping_of_values(text: str) -> None:
    """Raises ValueError for what is no JSON object of plain values."""
    if any(isinstance(value, (dict, list)) for value in strict_json.mapping(text).values()):
        raise ValueError("an arm has a value that is no plain one")


def _definition(text: str) -> None:
    """Raises ValueError for what is no definition of a study."""
    found = strict_json.mapping(text)
    _check_form("definition", found, {"study": dict, "overrides": dict})
    _check_form("study", found["study"], OF_A_STUDY)
    if found["study"]["primary_metric"] not in METRICS:
        raise ValueError("its primary metric is none")
    if found.get("crossed") is not None:
        _check_form("crossing", found["crossed"], {name: int for name in SOURCES})
    if "base" in found:  # earlier ones have none
        _check_form("definition", found, {"base": dict, "command": str})
        _check_form("base", found["base"], {"bridge": dict})
        _check_form("bridge", found["base"]["bridge"], OF_A_BRIDGE)
        for name, sizes in OF_MODELS.items():
            if found["base"].get(name) is not None:
                _check_form(name, found["base"][name], sizes)


def _search(text: str) -> None:
    """Raises ValueError for what is no definition of a search."""
    found = strict_json.mapping(text)
    _check_form("definition", found, {"base": dict, "space": dict, "search": dict})
    _check_form("base", found["base"], {"bridge": dict})
    _check_form("bridge", found["base"]["bridge"], {"n_steps": int})
    _check_form("search", found["search"], {"n_generations": int})


def _check_form(what: str, found: Any, wanted: Mapping[str, Kind]) -> None:
    for name, kind in wanted.items():
        if not isinstance(found, dict) or not isinstance(found.get(name), kind):
            raise ValueError(f"a {what} has no {name}")


Kind = type | tuple[type, ...]
SOURCES = ("base", "label", "bridge")
OF_A_BRIDGE: Mapping[str, Kind] = {
    **dict.fromkeys(("n_layers", "hidden_dim", "shared_dim", "n_steps", "batch_size"), int),
    **dict.fromkeys(("learning_rate", "beta_kl", "beta_swd", "beta_cls"), (int, float)),
}
OF_MODELS: Mapping[str, Mapping[str, Kind]] = {
    "vae_a": dict.fromkeys(("n_layers", "hidden_dim", "latent_dim", "n_steps", "batch_size"), int),
    "judge_a": {"n_steps": int},
}
"""What a report says of the settings of a study."""
OF_A_STUDY: Mapping[str, Kind] = {
    "name": str,
    "question": str,
    "rebuilds": str,
    "primary_metric": str,
    "grid": dict,
    "ladder": list,
    "leave_one_out": dict,
}
FORMS: Mapping[tuple[str, str], Callable[[str], None]] = {
    ("members", "definition"): _definition,
    ("members", "arm"): _mapping_of_values,
    ("trials", "versions"): _mapping_of_values,
    ("proposals", "definition"): _search,
    ("proposals", "parameters"): _mapping_of_values,
}
