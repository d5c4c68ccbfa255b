"""Rows of every table of results, of the right types."""

import datetime as dt
from typing import Any

import pyarrow as pa

from bridgelab.results import SCHEMAS

WHEN = dt.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=dt.UTC)


def example(kind: pa.DataType, number: int) -> Any:
    """Some value of an Arrow type."""
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return f"text {number}"
    if pa.types.is_timestamp(kind):
        return WHEN
    if pa.types.is_boolean(kind):
        return number % 2 == 0
    return float(number) if pa.types.is_floating(kind) else number


def rows_of(table: str, n: int) -> list[dict[str, Any]]:
    return [{field.name: example(field.type, number) for field in SCHEMAS[table]} for number in range(n)]
