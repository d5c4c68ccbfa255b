"""Rows by key and by value, against the same thing done row by row."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgelab import columns
from bridgelab.columns import TEXT, coded, last_of_each, selected

KEY = ["text", "number", "when"]
SCHEMA = pa.schema({"text": TEXT, "number": pa.int32(), "when": pa.timestamp("ms"), "place": pa.int64()})
rows_of_keys = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.sampled_from(["a", "b", "c", None]),
            "number": st.sampled_from([-7, 0, 2**31 - 1, None]),
            "when": st.sampled_from([dt.datetime(2026, 1, 1), dt.datetime(1970, 1, 1), None]),
        }
    ),
    max_size=40,
)


def table_of(rows: list[dict[str, Any]], n_chunks: int = 3) -> pa.Table:
    """In chunks, as parts are."""
    placed = [row | {"place": place} for place, row in enumerate(rows)]
    parts = [pa.Table.from_pylist(placed[i::n_chunks], schema=SCHEMA) for i in range(n_chunks)]
    return pa.concat_tables(parts).unify_dictionaries()


@pytest.mark.parametrize("most", [2**62, 1], ids=["at once", "numbered anew for each column"])
@given(rows=rows_of_keys)
def test_of_rows_that_share_a_key_the_last_one_stays_in_its_place(most: int, rows: list[dict[str, Any]]) -> None:
    table = table_of(rows)
    last = {tuple(row[name] for name in KEY): place for place, row in enumerate(table.to_pylist())}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "MOST_CODES", most)
        found = last_of_each(table, KEY)
    assert found.to_pylist() == [table.to_pylist()[place] for place in sorted(last.values())]


@given(rows=rows_of_keys)
def test_rows_are_selected_by_the_values_that_each_column_has(rows: list[dict[str, Any]]) -> None:
    table = table_of(rows)
    found = selected(table, {"text": ["a", "c", "none has it"], "number": {0, -7}}, ["place", "text"])
    expected = [row for row in table.to_pylist() if row["text"] in ("a", "c") and row["number"] in (0, -7)]
    assert found.to_pylist() == [{"place": row["place"], "text": row["text"]} for row in expected]
    assert selected(table, {}, SCHEMA.names).equals(table)
    assert selected(table, {"when": []}, ["place"]).num_rows == 0


def test_only_texts_are_coded() -> None:
    assert coded(pa.schema({"id": pa.string(), "name": TEXT, "n": pa.int32()}, {"a": "b"})).equals(
        pa.schema({"id": TEXT, "name": TEXT, "n": pa.int32()}, {"a": "b"}), check_metadata=True
    )
