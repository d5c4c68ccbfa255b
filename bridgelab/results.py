"""The Parquet schemas of a lab's results, and the store that reads and writes their parts.

Every part of a table has the one explicit, typed schema. A trial's other rows are written before its
row in `trials`, which is the commit: readers start from there, so an interrupted write shows nothing,
and exactly-once is a property of reading (the latest attempt of each trial).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from . import parquet, soundness, strict_json
from .columns import EVERY_ROW, TEXT, Where, coded, last_of_each, selected
from .config import DECODES
from .errors import AbsentError, DamagedError, LabError
from .lab import Lab
from .metrics import METRIC_VERSION, METRICS

LOG = logging.getLogger("bridgelab")
SCHEMA_VERSION = 3
"""Raised with every change of a schema, together with an entry in MIGRATIONS."""

_ID = pa.string()
_NAME = TEXT
_CLASS = pa.uint8()
_WHEN = pa.timestamp("ms", tz="UTC")


def _schema(**fields: pa.DataType) -> pa.Schema:
    return pa.schema(fields.items(), metadata={"bridgelab_schema": str(SCHEMA_VERSION)})


SCHEMAS: Mapping[str, pa.Schema] = {
    # which study has which arm and trial, and in what role; written before packs run
    "members": _schema(
        study_id=_ID,
        study=_NAME,
        definition=_NAME,  # the resolved study as canonical JSON
        pair=_NAME,
        preset=_NAME,
        recipe=_NAME,
        arm_id=_ID,
        arm_name=_NAME,
        arm_index=pa.int32(),
        arm=_NAME,  # what varies, as canonical JSON
        role=_NAME,  # reference or arm
        replicate=pa.int32(),
        trial_id=_ID,
        judge_id=_ID,
        decode=_NAME,  # which accuracies its table shows: from means or from samples
        planned_at=_WHEN,
    ),
    # one row a trial and attempt: its training
    "trials": _schema(
        trial_id=_ID,
        attempt=pa.int32(),
        state=_NAME,  # COMPLETE or FAIL
        failure_class=_NAME,  # nan, oom, lost, error; null when COMPLETE
        failure_text=pa.string(),
        config=pa.string(),  # the TrialSpec as canonical JSON
        domain_a=_NAME,
        domain_b=_NAME,
        base_a=_ID,  # model_id
        base_b=_ID,
        base_a_sha256=pa.string(),  # of the weights that were used; null for the identity
        base_b_sha256=pa.string(),
        label_seed=pa.int64(),
        bridge_seed=pa.int64(),
        n_train=pa.int32(),  # the samples of side a that the bridge drew from
        steps=pa.int32(),
        resumed_at=pa.int32(),  # the step of the checkpoint that its pack went on from; null where it ran through
        train_s=pa.float64(),  # this trial's share of its pack's time
        evaluate_s=pa.float64(),
        device=_NAME,
        pack_id=_ID,
        pack_size=pa.int32(),
        versions=_NAME,  # JSON: bridgelab, torch, ray, numpy, python
        host=_NAME,
        finished_at=_WHEN,
    ),
    "metrics": _schema(
        trial_id=_ID,
        attempt=pa.int32(),
        metric=_NAME,
        split=_NAME,
        decode=_NAME,  # mean or sample; null: as the trial's settings were, before both were kept
        value=pa.float64(),
        n_eval=pa.int32(),
        judge_id=_ID,
        metric_version=pa.int32(),
    ),
    # per evaluated item of a direction's source domain; classes are the judges'
    "predictions": _schema(
        trial_id=_NAME,
        attempt=pa.int32(),
        judge_id=_NAME,
        direction=_NAME,  # ab or ba
        split=_NAME,
        decode=_NAME,
        item=pa.int32(),  # position in the split
        true_label=_CLASS,
        original=_CLASS,  # the sample itself
        source=_CLASS,  # the sample after its base model: decode(z)
        transferred=_CLASS,  # across the bridge, in the other domain
        reconstructed=_CLASS,  # through the bridge and back into its own domain
        shared=_CLASS,  # the bridge's own classifier on z'
    ),
    # of searches: a row each time that a proposed arm is asked or comes to a rung
    "proposals": _schema(
        study_id=_ID,  # the search's
        study=_NAME,
        definition=_NAME,  # the resolved search as canonical JSON
        generation=pa.int32(),
        number=pa.int32(),  # within the generation; 0 is the reference
        rung=pa.int32(),  # 0 asked, then 1, 2, ...; the last one is the end of training
        step=pa.int32(),
        parameters=pa.string(),  # key -> value as canonical JSON
        trial_id=_ID,
        judge_id=_ID,
        value=pa.float64(),  # transfer accuracy on validation, the mean of both directions; null where none is
        failure_class=_NAME,  # nan, oom, lost, error: what it failed of on the way here
        decided_at=_WHEN,
    ),
    "curves": _schema(
        trial_id=_NAME,
        attempt=pa.int32(),
        step=pa.int32(),
        term=_NAME,  # total, a term of the loss before its weight, or validation/<metric>
        value=pa.float32(),
    ),
    # declared: trials that tables leave out, and why
    "exclusions": _schema(trial_id=_ID, excluded=pa.bool_(), reason=pa.string(), declared_at=_WHEN),
    # declared: plans that were fixed, and how much was known by then
    "frozen": _schema(
        study_id=_ID,
        study=_NAME,
        definition=pa.string(),
        n_replicates=pa.int32(),
        n_trials=pa.int32(),
        n_known=pa.int32(),  # trials that had results when the plan was fixed
        declared_at=_WHEN,
    ),
    # declared: numbers from elsewhere, to stand beside a study's own
    "imports": _schema(
        study=_NAME,
        pair=_NAME,
        arm_name=pa.string(),
        metric=_NAME,
        mean=pa.float64(),
        ci_low=pa.float64(),
        ci_high=pa.float64(),
        n=pa.int32(),
        source=pa.string(),
        declared_at=_WHEN,
    ),
}


PANEL = pa.schema(
    {
        "kind": pa.string(),
        "direction": pa.string(),
        "row": pa.string(),
        "place": pa.int32(),
        "true_class": pa.string(),
        "judged_class": pa.string(),
        "medium": pa.string(),
        "data": pa.binary(),
    }
)
"""Of lab/panels/<trial_id>.parquet; what its columns mean stands in bridgelab/panels.py."""
CODED: Mapping[str, pa.Schema] = {table: coded(schema) for table, schema in SCHEMAS.items()}
"""SCHEMAS as readers compute with them: every text is a dictionary, as Parquet's pages have it."""


TEXTS = {table: {field.name for field in schema if field.type == TEXT} for table, schema in CODED.items()}


def _from_1_to_2(table: str, part: pa.Table) -> pa.Table:
    """Version 2 says at which step an adopted pack went on."""
    return _with_nulls(table, part, "resumed_at") if table == "trials" else part


def _from_2_to_3(table: str, part: pa.Table) -> pa.Table:
    """Version 3 keeps the accuracies of both decodings, and says which is which."""
    return _with_nulls(table, part, "decode") if table in ("members", "metrics", "predictions") else part


def _with_nulls(table: str, part: pa.Table, name: str) -> pa.Table:
    return part.append_column(CODED[table].field(name), pa.nulls(part.num_rows, CODED[table].field(name).type))


MIGRATIONS: Mapping[int, Callable[[str, pa.Table], pa.Table]] = {1: _from_1_to_2, 2: _from_2_to_3}
"""Version -> what makes the next one of a part, of CODED: readers do it as they read, and no row is lost."""

MERGED = "part-merged-"
"""How the name of a part begins that stands for others."""

_KEYS: Mapping[str, Sequence[str]] = {
    "members": ("study_id", "arm_name", "replicate", "planned_at"),
    "trials": ("trial_id", "attempt"),
    "metrics": ("trial_id", "attempt", "metric", "split", "decode", "judge_id", "metric_version"),
    "predictions": ("trial_id", "attempt", "judge_id", "direction", "split", "decode", "item"),
    "proposals": ("study_id", "generation", "number", "rung"),
    "curves": ("trial_id", "attempt", "step", "term"),
    "exclusions": ("trial_id", "declared_at"),
    "frozen": ("study_id", "declared_at"),
    "imports": ("study", "pair", "arm_name", "metric", "declared_at"),
}
"""What a row is known by: of rows that share it, readers keep one."""
_DECIDING: Mapping[str, Sequence[str]] = {"proposals": ("failure_class",)}
"""What else says which one."""


PASSING = ("lost", "oom", "error")
"""Classes of failures that may pass: what is run again may do better. What was not finite would be so again."""


class DamagedPartError(DamagedError):
    """A part that is not Parquet, or not of its table."""


class Results:
    """The results of a lab: tables of Parquet parts, one for each of SCHEMAS."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def write(
        self, table: str, part: str, rows: Iterable[Mapping[str, Any]] | pa.Table, absorbed: Sequence[str] = ()
    ) -> None:
        """Publishes a part of a table; nothing is written where there are no rows.

        A merged part names those that it `absorbed`: readers pass over them, wherever a merge was cut short.
        """
        data = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows), schema=SCHEMAS[table])
        if data.num_rows:
            self.publish(table, part, to_parquet(table, data, absorbed))

    def publish(self, table: str, part: str, data: bytes) -> None:
        """Publishes a part that `to_parquet` made, here or on another machine."""
        self.lab.publish(f"results/{table}/part-{part}.parquet", data)

    def read(self, table: str, *, where: Where = EVERY_ROW) -> pa.Table:
        """All rows of a table, without those that repeat another's key; `where` selects rows early.

        A part that cannot be read is named in a warning and passed over. Raises LabError for a part
        that a newer bridgelab wrote.
        """
        return self._read(table, SCHEMAS[table].names, where).cast(SCHEMAS[table])

    def read_columns(self, table: str, columns: Sequence[str], *, where: Where = EVERY_ROW) -> pa.Table:
        """Some columns of a table, as `read` has them but in one piece, with every text as a dictionary.

        For what is computed from many rows: nothing else is read, and a text that repeats is there once.
        """
        return self._read(table, columns, where).select(columns)

    def _read(self, table: str, columns: Sequence[str], where: Where) -> pa.Table:
        where = {name: frozenset(values) for name, values in where.items()}
        key = [name for name in _KEYS[table] if len(where.get(name, ())) != 1]
        needed = dict.fromkeys((*columns, *key, *_DECIDING.get(table, ())))
        while True:
            names = self.part_names(table)
            try:
                found = self._read_parts(table, names, list(needed), where)
            except LabError:
                if self.part_names(table) == names:
                    raise
                continue  # parts were merged under our eyes
            if not any(name.startswith(MERGED) for name in set(self.part_names(table)) - set(names)):
                return _one_of_each(table, found, key)

    def _read_parts(self, table: str, names: Sequence[str], columns: Sequence[str], where: Where) -> pa.Table:
        parts, absorbed = dict[str, pa.Table](), set[str]()
        for name in names:
            with _passing_over_damage():
                part = self._read_part(table, name, columns, where)
                absorbed.update(absorbed_by(part))
                parts[name] = part.replace_schema_metadata()
        kept = {name: part for name, part in parts.items() if name not in absorbed}
        try:
            return _joined(table, kept.values(), columns)
        except ValueError:
            return _joined(table, self._sound(table, kept), columns)

    def _sound(self, table: str, parts: Mapping[str, pa.Table]) -> list[pa.Table]:
        """Those of some parts whose rows can be; the others are named in warnings."""
        sound = []
        for name, part in parts.items():
            with _passing_over_damage(), self._naming(f"results/{table}/{name}"):
                soundness.check(table, part)
                sound.append(part)
        return sound

    @staticmethod
    def without_repeats(table: str, rows: pa.Table) -> pa.Table:
        """The rows of a table, as in CODED, without those that repeat another's key."""
        return _one_of_each(table, rows, _KEYS[table])

    def part_names(self, table: str) -> list[str]:
        """The parts of a table."""
        names = self.lab.names(f"results/{table}")
        return [name for name in names if name.startswith("part-") and name.endswith(".parquet")]

    def read_part(self, table: str, name: str, columns: Sequence[str] = (), where: Where = EVERY_ROW) -> pa.Table:
        """One part, or some `columns` of it, in the present schema with texts as in CODED.

        Raises DamagedPartError, and LabError for a part from the future.
        """
        part = self._read_part(table, name, columns or SCHEMAS[table].names, where)
        with self._naming(f"results/{table}/{name}"):
            soundness.check(table, part)
        return part

    def _read_part(self, table: str, name: str, columns: Sequence[str], where: Where) -> pa.Table:
        """`read_part` of some columns, whatever stands in them."""
        path = f"results/{table}/{name}"
        with self.lab.open(path) as file, self._naming(path):
            source = parquet.opened(file, TEXTS[table])
            version = int((source.schema_arrow.metadata or {}).get(b"bridgelab_schema", b"0"))
            if version > SCHEMA_VERSION:
                raise LabError(
                    f"{self.lab.show(path)} is of schema {version}, newer than {SCHEMA_VERSION}; upgrade bridgelab"
                )
            part = _rows_of(table, file, source, version, columns, where)
            absorbed_by(part)
        return part

    @contextlib.contextmanager
    def _naming(self, path: str) -> Iterator[None]:
        """What is wrong with a part, as a DamagedPartError that names it."""
        try:
            yield
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DamagedPartError(f"{self.lab.show(path)} is not a part of results ({reason}); left out") from None

    def set_aside_damaged(self) -> list[str]:
        """Moves parts that cannot be read out of every reader's way; returns the names that they have now.

        A warning names each. One that another process merged or moved meanwhile is passed over.
        """
        moved = []
        for table in SCHEMAS:
            for name in self.part_names(table):
                try:
                    self.read_part(table, name)
                except DamagedPartError as error:
                    aside = f"results/{table}/damaged-{name}"
                    with contextlib.suppress(AbsentError):
                        self.lab.rename(f"results/{table}/{name}", aside)
                        LOG.warning("bridgelab: %s, and set aside as damaged-%s", error, name)
                        moved.append(self.lab.show(aside))
                except AbsentError:
                    continue
        return moved

    def latest_attempts(self) -> dict[str, dict[str, Any]]:
        """trial_id -> the row that speaks for the trial: its COMPLETE attempt, else its latest one."""
        columns = ["trial_id", "attempt", "state", "failure_class", "failure_text"]
        rows = self.read_columns("trials", columns).to_pylist()
        rows.sort(key=lambda row: (row["state"] == "COMPLETE", row["attempt"]))
        return {row["trial_id"]: row for row in rows}

    def met(self) -> dict[tuple[str, int, int, str], str | None]:
        """(search, generation, rung, trial_id) of every meeting at a rung that is known -> what the trial failed of."""
        place = ["study_id", "generation", "rung", "trial_id"]
        rows = self.read_columns("proposals", [*place, "failure_class"]).to_pylist()
        return {tuple(row[name] for name in place): row["failure_class"] for row in rows}

    def evaluated(self, metrics: Sequence[str] = METRICS) -> set[tuple[str, str]]:
        """(trial_id, judge_id) of every trial that has some metrics, both decodings, in their present version."""
        current: Where = {"split": ["test"], "metric_version": [METRIC_VERSION], "decode": DECODES, "metric": metrics}
        keys = ["trial_id", "judge_id", "decode", "metric"]
        rows = last_of_each(self.read_columns("metrics", keys, where=current), keys)
        counts = rows.group_by(["trial_id", "judge_id"]).aggregate([("metric", "count")]).to_pylist()
        return {(r["trial_id"], r["judge_id"]) for r in counts if r["metric_count"] == len(DECODES) * len(metrics)}


def _one_of_each(table: str, rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Of rows that share a key the last one; of proposals, one that tells of no failure that may pass, if there is."""
    if table == "proposals":
        may_pass = pc.is_in(rows["failure_class"].cast(pa.string()), pa.array(PASSING)).to_numpy()
        if may_pass.any():
            rows = rows.take(np.argsort(~may_pass, kind="stable"))
    return last_of_each(rows, key)


@contextlib.contextmanager
def _passing_over_damage() -> Iterator[None]:
    """A warning names a part that is damaged."""
    try:
        yield
    except DamagedPartError as error:
        LOG.warning("bridgelab: %s", error)


def _joined(table: str, parts: Collection[pa.Table], columns: Sequence[str]) -> pa.Table:
    """The rows of some parts in one piece. Raises ValueError where they cannot be."""
    if not parts:
        return CODED[table].empty_table().select(columns)
    whole = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    soundness.check(table, whole)
    return whole


LARGE = 100_000
"""So many rows are worth threads; a pack's are not."""
FEW = 4
"""From so many characters on, the beginning of an id is enough where it is the only one."""


def begins_as(wanted: str, ids: Iterable[str]) -> list[str]:
    """The ids that are meant by one, or by the beginning of one."""
    found = set(ids)
    return [wanted] if wanted in found else sorted(i for i in found if len(wanted) >= FEW and i.startswith(wanted))


def to_parquet(table: str, rows: pa.Table, absorbed: Sequence[str] = ()) -> bytes:
    """Rows of a table as the bytes of a part."""
    schema, sink = SCHEMAS[table], io.BytesIO()
    if absorbed:
        schema = schema.with_metadata({**schema.metadata, "bridgelab_absorbed": json.dumps(list(absorbed))})
    pq.write_table(rows.cast(schema), sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def absorbed_by(part: pa.Table) -> list[str]:
    """The names of the parts that a merged part stands for."""
    text = (part.schema.metadata or {}).get(b"bridgelab_absorbed", b"[]")
    return [str(name) for name in strict_json.loads(text)]


def now() -> dt.datetime:
    """The time, for columns that record when something was done and that nothing is computed from."""
    return dt.datetime.fromtimestamp(time.time(), dt.UTC)


def _rows_of(
    table: str, file: Any, source: pq.ParquetFile, version: int, columns: Sequence[str], where: Where
) -> pa.Table:
    """The rows of a part that `where` selects, a row group at a time. Raises pyarrow's errors, and KeyError."""
    none = pa.Table.from_batches([], source.schema_arrow)
    if set(_migrated(table, version, none).schema) != set(CODED[table]):
        raise pa.ArrowInvalid("it has other columns")
    there = [name for name in none.schema.names if name in {*columns, *where}]
    parquet.check_size(file, source.metadata, there)
    found = [_migrated(table, version, none.select(there)).select(columns)]
    for group in range(source.num_row_groups):
        is_large = source.metadata.row_group(group).num_rows > LARGE
        rows = source.read_row_group(group, columns=there, use_threads=is_large).combine_chunks()
        rows.validate(full=True)
        found.append(selected(_migrated(table, version, rows), where, columns))
    return pa.concat_tables(found)


def _migrated(table: str, version: int, rows: pa.Table) -> pa.Table:
    for older in range(version, SCHEMA_VERSION):
        rows = MIGRATIONS[older](table, rows)
    return rows
