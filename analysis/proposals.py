"""What was proposed by the search that a run confirms, and what it was drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridgelab import strict_json
from bridgelab.errors import LabError
from bridgelab.results import Results

from .summary import Run

SHARED = ("source_sha256", "pair", "preset", "recipe", "overrides", "n_base", "crossed")
"""What a search and the study that confirms it have in common."""


def proposals_of(run: Run) -> list[dict[str, Any]]:
    """The rows of the latest search that starts as the run does; none for a grid."""
    rows = Results(run.lab).read("proposals", where={"study": [run.study]}).to_pylist()
    told = {text: strict_json.mapping(text) for text in {row["definition"] for row in rows}}
    own = {text for text, said in told.items() if all(said.get(k) == run.definition.get(k) for k in SHARED)}
    rows = [row for row in rows if row["definition"] in own]
    latest = max(rows, key=lambda row: row["decided_at"])["study_id"] if rows else None
    return [row for row in rows if row["study_id"] == latest]


def distributions(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Parameter -> what a search draws it from, in Optuna's classes."""
    import optuna.distributions as d

    kinds = {"Float": d.FloatDistribution, "Int": d.IntDistribution, "Categorical": d.CategoricalDistribution}
    try:
        return {key: kinds[kind](**values) for key, (kind, values) in definition["space"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LabError(f"the lab has a search over no space ({error}); remove its part of results/proposals") from None


def is_in(value: Any, distribution: Any) -> bool:
    """Whether a value could have been drawn: a reference need not be in the space."""
    choices = getattr(distribution, "choices", None)
    return bool(distribution.low <= value <= distribution.high) if choices is None else value in choices
