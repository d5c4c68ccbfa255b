"""Columns of many rows, computed with by number: every text is a dictionary, so that one that repeats is there once."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

TEXT = pa.dictionary(pa.int32(), pa.string())
"""How a text is kept here."""

Where = Mapping[str, Collection[Any]]
"""Which rows: column -> values, of which they have one."""
EVERY_ROW: Where = {}

MOST_CODES = 2**62
"""So many combinations of values can be numbered in 64 bits."""


def coded(schema: pa.Schema) -> pa.Schema:
    """A schema with every text as a dictionary."""
    fields = [field.with_type(TEXT) if pa.types.is_string(field.type) else field for field in schema]
    return pa.schema(fields, schema.metadata)


def selected(rows: pa.Table, where: Where, columns: Sequence[str]) -> pa.Table:
    """Some columns of the rows that `where` selects."""
    masks = [mask for name, values in where.items() if (mask := _mask(rows[name], values)) is not None]
    rows = rows.select(columns)
    return rows.filter(functools.reduce(pc.and_, masks)) if masks else rows


def _mask(column: pa.ChunkedArray, values: Collection[Any]) -> pa.BooleanArray | None:
    """Which rows have one of the values; None where all have."""
    whole = _encoded(column)
    is_one = [value in values for value in whole.dictionary.to_pylist()]
    return pa.array(is_one, pa.bool_()).take(whole.indices) if whole.null_count or not all(is_one) else None


def last_of_each(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Of rows that share a key the last one, in the order of rows. The chunks of a text share one dictionary."""
    codes, n_codes = np.zeros(rows.num_rows, np.int64), 1
    for name in key:
        own, n_own = _codes(rows[name])
        if n_codes * n_own > MOST_CODES:
            distinct, codes = np.unique(codes, return_inverse=True)
            n_codes = len(distinct)
        if n_own > 1:
            codes *= n_own
            codes += own
            n_codes *= n_own
    ordered = np.sort(codes)
    if (ordered[1:] != ordered[:-1]).all():
        return rows
    _, from_the_end = np.unique(codes[::-1], return_index=True)
    return rows.take(np.sort(rows.num_rows - 1 - from_the_end))


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], int]:
    """A number for each value of a column, and how many there can be; null has one too."""
    whole = _encoded(column)
    n_values = len(whole.dictionary)
    return whole.indices.fill_null(n_values).to_numpy(), n_values + (whole.null_count > 0)


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    whole = column.combine_chunks()
    return whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
