"""The Parquet tables: typed, complete, and read without repeats."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bridgelab.errors import LabError
from bridgelab.lab import Lab
from bridgelab.results import SCHEMAS, Results

WHEN = dt.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=dt.UTC)


def example(kind: pa.DataType, number: int) -> Any:
    """Some value of an Arrow type."""
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        return f"text {number}"
    if pa.types.is_timestamp(kind):
        return WHEN
    return float(number) if pa.types.is_floating(kind) else number


def rows_of(table: str, n: int) -> list[dict[str, Any]]:
    return [{field.name: example(field.type, number) for field in SCHEMAS[table]} for number in range(n)]


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_table_round_trips_with_its_types(lab: Lab, table: str) -> None:
    results, rows = Results(lab), rows_of(table, 5)
    results.write(table, "a", rows[:3])
    results.write(table, "b", rows[3:])
    found = results.read(table)
    assert found.schema.equals(SCHEMAS[table])
    assert sorted(found.to_pylist(), key=str) == sorted(rows, key=str)


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_table_takes_nulls_and_reads_empty(lab: Lab, table: str) -> None:
    results = Results(lab)
    assert results.read(table).num_rows == 0
    results.write(table, "a", [dict.fromkeys(SCHEMAS[table].names)])
    results.write(table, "b", rows_of(table, 1))
    assert results.read(table).num_rows == 2


def test_a_part_that_is_written_twice_counts_once(lab: Lab) -> None:
    results, rows = Results(lab), rows_of("predictions", 4)
    results.write("predictions", "a", rows)
    results.write("predictions", "b", rows)
    assert results.read("predictions").num_rows == 4


def test_a_part_without_rows_is_not_written(lab: Lab) -> None:
    Results(lab).write("curves", "a", [])
    assert not lab.exists("results/curves")


def test_a_complete_attempt_speaks_for_its_trial_and_else_the_latest_one(lab: Lab) -> None:
    def row(trial_id: str, attempt: int, state: str) -> dict[str, Any]:
        return rows_of("trials", 1)[0] | {"trial_id": trial_id, "attempt": attempt, "state": state}

    Results(lab).write("trials", "1", [row("x", 0, "FAIL"), row("x", 1, "COMPLETE"), row("y", 0, "FAIL")])
    Results(lab).write("trials", "2", [row("x", 2, "FAIL"), row("y", 1, "FAIL")])
    attempts = Results(lab).latest_attempts()
    assert (attempts["x"]["attempt"], attempts["x"]["state"]) == (1, "COMPLETE")
    assert (attempts["y"]["attempt"], attempts["y"]["state"]) == (1, "FAIL")


def test_a_part_that_is_not_parquet_is_named(lab: Lab) -> None:
    lab.publish("results/trials/part-bad.parquet", b"not parquet at all")
    with pytest.raises(LabError, match=r"part-bad\.parquet.*move it away"):
        Results(lab).read("trials")


def test_a_part_of_another_schema_is_named_and_never_read_in_part(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "lab/results/curves"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"trial_id": ["x"], "step": [1.5]}), folder / "part-other.parquet")
    with pytest.raises(LabError, match="another schema"):
        Results(lab).read("curves")


def test_what_is_hidden_is_not_read(lab: Lab, tmp_path: Path) -> None:
    Results(lab).write("curves", "a", rows_of("curves", 2))
    (tmp_path / "lab/results/curves/.part-b.parquet.123").write_bytes(b"half a file")
    assert Results(lab).read("curves").num_rows == 2


def test_no_schema_keeps_pickled_columns() -> None:
    for schema in SCHEMAS.values():
        assert not any(pa.types.is_binary(field.type) for field in schema)
