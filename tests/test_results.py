"""The Parquet tables: typed, complete, and read without repeats."""

import io
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from some_rows import rows_of

from bridgelab.config import DECODES
from bridgelab.errors import LabError
from bridgelab.housekeeping import compact
from bridgelab.lab import Lab
from bridgelab.metrics import METRIC_VERSION, METRICS
from bridgelab.results import CODED, SCHEMAS, Results
from bridgelab.soundness import NEVER_NULL


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
    row = rows_of(table, 2)[1]
    results.write(table, "a", [row | dict.fromkeys(set(SCHEMAS[table].names) - NEVER_NULL[table])])
    results.write(table, "b", rows_of(table, 1))
    assert results.read(table).num_rows == 2


@pytest.mark.parametrize("table", SCHEMAS)
def test_some_columns_are_those_of_all_in_one_piece_with_texts_as_dictionaries(lab: Lab, table: str) -> None:
    results, rows = Results(lab), rows_of(table, 6)
    for part in range(3):
        results.write(table, str(part), rows[2 * part : 2 * part + 2])
    for columns in (SCHEMAS[table].names[::-2], SCHEMAS[table].names[1:2], SCHEMAS[table].names):
        found = results.read_columns(table, columns)
        assert found.to_pylist() == results.read(table).select(columns).to_pylist()
        assert found.schema.equals(pa.schema([CODED[table].field(name) for name in columns]))
        assert {column.num_chunks for column in found.columns} == {1}


def test_rows_are_repeats_by_their_key_whichever_columns_are_read(lab: Lab) -> None:
    results, rows = Results(lab), rows_of("metrics", 3)
    results.write("metrics", "a", rows)
    results.write("metrics", "b", [{**row, "metric_version": 9} for row in rows])
    assert results.read_columns("metrics", ["value"]).num_rows == 6
    results.write("metrics", "c", [{**row, "value": -1.0} for row in rows[:2]])
    assert sorted(results.read_columns("metrics", ["value"])["value"].to_pylist())[:3] == [-1.0, -1.0, rows[0]["value"]]


def test_rows_are_selected_by_columns_that_are_not_read_and_by_those_of_later_schemas() -> None:
    results = Results(Lab(VERSION_1))
    where = {"split": ["test"], "metric": ["transfer_accuracy_ab", "transfer_accuracy_ba"]}
    found = results.read_columns("metrics", ["value", "decode"], where=where)
    rows = results.read("metrics").to_pylist()
    expected = [row for row in rows if row["split"] == "test" and row["metric"] in where["metric"]]
    assert found["value"].to_pylist() == [row["value"] for row in expected]
    assert found["decode"].null_count == found.num_rows == 10
    assert results.read("metrics", where={"decode": ["mean"]}).num_rows == 0


def test_damage_to_a_column_that_is_not_read_hides_no_row(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    Results(lab).write("trials", "a", rows_of("trials", 3))
    path = Path(lab.address) / "results/trials/part-a.parquet"
    data, config = bytearray(path.read_bytes()), pq.ParquetFile(path).metadata.row_group(0).column(5)
    assert config.path_in_schema == "config"
    data[config.dictionary_page_offset + config.total_compressed_size // 2] ^= 1
    path.write_bytes(data)
    assert Results(lab).read_columns("trials", ["trial_id"]).num_rows == 3
    assert caplog.text == ""
    assert Results(lab).read("trials").num_rows == 0
    assert "part-a.parquet is not a part of results" in caplog.text


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


def another_table() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"trial_id": ["x"], "step": [1.5]}), sink)
    return sink.getvalue()


GARBAGE = [b"", b"not parquet at all", b"PAR1" + bytes(200) + b"PAR1", another_table()]


@pytest.mark.parametrize("data", GARBAGE, ids=["empty", "text", "magic", "another table"])
def test_a_part_that_is_garbage_is_named_and_passed_over(
    lab: Lab, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    Results(lab).write("curves", "good", rows_of("curves", 3))
    lab.publish("results/curves/part-bad.parquet", data)
    assert Results(lab).read("curves").num_rows == 3
    assert "part-bad.parquet is not a part of results" in caplog.text


def test_a_part_that_is_garbage_can_be_set_aside(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.publish("results/trials/part-bad.parquet", b"not parquet at all")
    moved = Results(lab).set_aside_damaged()
    assert [name.rpartition("/")[2] for name in moved] == ["damaged-part-bad.parquet"]
    assert "part-bad.parquet is not a part of results" in caplog.text
    assert "set aside as damaged-part-bad.parquet" in caplog.text
    caplog.clear()
    assert Results(lab).read("trials").num_rows == 0
    assert caplog.text == ""
    assert lab.read("results/trials/damaged-part-bad.parquet") == b"not parquet at all"


def test_a_damaged_part_that_another_process_moves_first_is_passed_over(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        lab.publish(f"results/trials/part-{name}.parquet", b"not parquet at all")
    rename = Lab.rename

    def too_late(lab: Lab, path: str, to: str) -> None:
        if "one" in path:
            lab.remove(path)
        rename(lab, path, to)

    monkeypatch.setattr(Lab, "rename", too_late)
    assert [name.rpartition("/")[2] for name in Results(lab).set_aside_damaged()] == ["damaged-part-two.parquet"]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_part_ever_crashes_a_reader_or_invents_a_row(data: st.DataObject, tmp_path_factory) -> None:
    lab = Lab(tmp_path_factory.mktemp("fuzz"))
    rows = rows_of("metrics", 3)
    Results(lab).write("metrics", "a", rows)
    whole = bytearray(lab.read("results/metrics/part-a.parquet"))
    cut = data.draw(st.integers(0, len(whole)))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[place] ^= data.draw(st.integers(1, 255))
    lab.publish("results/metrics/part-a.parquet", bytes(whole[:cut]))
    assert Results(lab).read("metrics").num_rows <= len(rows)


def test_a_lab_from_a_newer_bridgelab_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    Results(lab).write("trials", "a", rows_of("trials", 1))
    monkeypatch.setattr("bridgelab.results.SCHEMA_VERSION", 1)
    with pytest.raises(LabError, match=r"part-a\.parquet is of schema 3, newer than 1; upgrade bridgelab"):
        Results(lab).read("trials")


VERSION_1 = Path(__file__).parent / "data/lab-v1"


def test_a_lab_of_version_1_is_read_without_losing_a_row() -> None:
    results = Results(Lab(VERSION_1))
    declared = dict.fromkeys(("exclusions", "frozen", "imports"), 0)
    counts = {table: results.read(table).num_rows for table in SCHEMAS}
    assert counts == {
        "members": 5,
        "trials": 5,
        "metrics": 100,
        "predictions": 7500,
        "curves": 1600,
        "proposals": 0,
        **declared,
    }
    trials = results.read("trials")
    assert trials.schema.equals(SCHEMAS["trials"])
    assert trials["resumed_at"].null_count == trials.num_rows
    assert set(trials["state"].to_pylist()) == {"COMPLETE"}


def test_a_lab_of_version_1_is_merged_into_the_present_one(tmp_path: Path) -> None:
    shutil.copytree(VERSION_1, tmp_path / "lab")
    before = {table: Results(Lab(VERSION_1)).read(table).to_pylist() for table in SCHEMAS}
    compact(Lab(tmp_path / "lab"))
    for table, rows in before.items():
        assert sorted(Results(Lab(tmp_path / "lab")).read(table).to_pylist(), key=str) == sorted(rows, key=str)


def test_what_is_hidden_is_not_read(lab: Lab, tmp_path: Path) -> None:
    Results(lab).write("curves", "a", rows_of("curves", 2))
    (tmp_path / "lab/results/curves/.part-b.parquet.123").write_bytes(b"half a file")
    assert Results(lab).read("curves").num_rows == 2


def test_no_schema_keeps_pickled_columns() -> None:
    for schema in SCHEMAS.values():
        assert not any(pa.types.is_binary(field.type) for field in schema)


def test_a_lab_of_version_1_still_gives_its_table() -> None:
    import analysis

    found = analysis.table(analysis.read_run(VERSION_1, Results(Lab(VERSION_1)).read("members")["study"][0].as_py()))
    shown = found[found["metric"] == "transfer_accuracy_ab"]
    assert (shown["n"] == shown["n_planned"]).all()
    assert shown["mean"].notna().all()


def test_metrics_of_another_version_are_not_the_present_ones(lab: Lab) -> None:
    rows = [
        {**rows_of("metrics", 1)[0], "metric": metric, "decode": decode, "split": "test", "metric_version": 0}
        for metric in METRICS
        for decode in DECODES
    ]
    Results(lab).write("metrics", "old", rows)
    assert Results(lab).evaluated() == set()
    Results(lab).write("metrics", "new", [{**row, "metric_version": METRIC_VERSION} for row in rows])
    assert Results(lab).evaluated() == {("text 0", "text 0")}
    half = [{**row, "trial_id": "half", "metric_version": METRIC_VERSION} for row in rows if row["decode"] == "mean"]
    Results(lab).write("metrics", "half", half)
    assert Results(lab).evaluated() == {("text 0", "text 0")}
