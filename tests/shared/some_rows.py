"""Rows of every table of results, of the right types."""

import datetime as dt
import json
from typing import Any

import pyarrow as pa

from bridgelab.metrics import METRICS
from bridgelab.results import SCHEMAS
from bridgelab.soundness import OF_A_BRIDGE

WHEN = dt.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=dt.UTC)


DEFINITION = {
    "study": {
        **dict.fromkeys(("name", "question", "rebuilds"), "x"),
        "primary_metric": METRICS[0],
        "grid": {},
        "ladder": [],
        "leave_one_out": {},
    },
    "overrides": {},
    "base": {"bridge": {name: 1 for name in OF_A_BRIDGE}},
    "command": "bridgelab sweep x",
    "space": {},
    "search": {"n_generations": 1},
}
SOME = {
    "state": "COMPLETE",
    "role": "reference",
    "split": "test",
    "decode": "mean",
    "direction": "ab",
    "arm": '{"n_labels": 10}',
    "parameters": "{}",
    "versions": '{"torch": "2.14.1"}',
    "definition": json.dumps(DEFINITION),
}
"""Of texts that cannot be just any."""


def example(name: str, kind: pa.DataType, number: int) -> Any:
    """Some value of a column."""
    if name in SOME:
        return SOME[name]
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return f"text {number}"
    if pa.types.is_timestamp(kind):
        return WHEN
    if pa.types.is_boolean(kind):
        return number % 2 == 0
    return float(number) if pa.types.is_floating(kind) else number


def rows_of(table: str, n: int) -> list[dict[str, Any]]:
    return [{field.name: example(field.name, field.type, number) for field in SCHEMAS[table]} for number in range(n)]
