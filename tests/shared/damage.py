"""What may stand where a file should: bytes, JSON, tensors, tables and pictures that nobody of ours would write."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

EXTREMES = (b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0" * 4, b"\xff" * 8, b"\x80" * 9)
"""Lengths, counts and places as they never are."""
NAMES = ("..", "../../x", "/etc/passwd", "a\0b", "\u202e\0", "<script>", "x" * 300, "", "\x1b[2J", "\U0001f0a1")
NUMBERS = (0, -1, 1, 2**31 - 1, 2**31, 2**63, -(2**63), 10**400, 1e308, -1e-320, float("nan"), float("inf"))
DEEP = 3_000

Damage = st.SearchStrategy[bytes]


@st.composite
def bytes_like(draw: st.DrawFn, data: bytes) -> bytes:
    """A file that was cut, has other bytes, more, fewer, or some twice; or any bytes."""
    kind = draw(st.sampled_from(["flip", "flip", "flip", "extreme", "cut", "insert", "drop", "twice", "any", "same"]))
    if kind == "any" or not data:
        return draw(st.binary(max_size=300))
    at, n = draw(st.integers(0, len(data) - 1)), draw(st.integers(1, 64))
    if kind == "flip":
        changed = bytearray(data)
        for place in draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=6)):
            changed[place] ^= draw(st.integers(1, 255))
        return bytes(changed)
    new = draw(st.sampled_from(EXTREMES)) if kind == "extreme" else draw(st.binary(min_size=1, max_size=40))
    return {
        "extreme": data[:at] + new + data[at + len(new) :],
        "cut": data[:at],
        "insert": data[:at] + new + data[at:],
        "drop": data[:at] + data[at + n :],
        "twice": data[: at + n] + data[at:],
        "same": data,
    }[kind]


ODD = st.sampled_from(NAMES) | st.sampled_from(NUMBERS) | st.none() | st.booleans() | st.text(max_size=5)
VALUES = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


@st.composite
def values_like(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value of which a part is missing or another."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value)))
        if not draw(st.integers(0, 5)):
            return {name: one for name, one in value.items() if name != key}
        return value | {key: draw(values_like(value[key]))}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(values_like(value[at])), *value[at + draw(st.integers(0, 1)) :]]
    return draw(VALUES)


@st.composite
def json_like(draw: st.DrawFn, data: bytes) -> bytes:
    """JSON with a part that is another, nested without end, or bytes."""
    kind = draw(st.sampled_from(["value", "value", "value", "deep", "bytes"]))
    if kind == "bytes":
        return draw(bytes_like(data))
    if kind == "deep":
        opening, closing = draw(st.sampled_from([(b"[", b"]"), (b'{"a":', b"}")]))
        return opening * DEEP + b"1" + closing * draw(st.sampled_from([0, DEEP]))
    text = json.dumps(draw(values_like(json.loads(data))), ensure_ascii=draw(st.booleans()))
    return text.encode("utf-8", "surrogatepass")


@st.composite
def tensors_like(draw: st.DrawFn, data: bytes) -> bytes:
    """A safetensors file whose header lies of lengths, places, types and shapes."""
    if draw(st.booleans()):
        return draw(bytes_like(data))
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    if draw(st.booleans()):
        header.get("__metadata__", {}).pop("sha256", None)  # nothing tells that the tensors are not the ones
    name = draw(st.sampled_from(sorted(header)))
    if isinstance(header[name], dict) and "shape" in header[name] and draw(st.booleans()):
        end = len(data) - start
        places = st.sampled_from([-1, 0, 1, 4, end - 1, end, end + 1, 2**31, 2**63, 2**64])
        kinds = st.sampled_from(["F4", "F8_E8M0", "BOOL", "U8", "F64", "BF16", "C64", "I4", "X"])
        header[name] |= draw(
            st.fixed_dictionaries({}, optional={"data_offsets": st.lists(places, max_size=3), "dtype": kinds})
        )
    else:
        header = draw(values_like(header))
    text = json.dumps(header).encode()
    size = draw(st.sampled_from([len(text), len(text), len(text), len(text) + 1, 2**40, 2**63, 100_000_000, 0]))
    return size.to_bytes(8, "little") + text + data[start:]


def cells(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Values of an Arrow type, the ends of its range among them."""
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind):
        documents = st.sampled_from(
            ["[" * DEEP, "{}", '{"study": {}}', '{"a": NaN}', "[]", "1e999", '{"x": "\\ud800"}']
        )
        return st.none() | st.sampled_from(NAMES) | documents | st.text(max_size=8)
    if pa.types.is_boolean(kind):
        return st.none() | st.booleans()
    if pa.types.is_floating(kind):
        return st.none() | st.floats(width=32 if kind == pa.float32() else 64)
    bits = kind.bit_width
    low, high = (0, 2**bits - 1) if kind in (pa.uint8(),) else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.none() | st.sampled_from([low, -1 if low else 0, 0, 1, 5, high]) | st.integers(low, high)


def documents_like(text: Any) -> st.SearchStrategy[Any]:
    """Of a text that is a JSON object, others that are nearly it; else the text."""
    if not isinstance(text, str) or not text.startswith("{"):
        return st.just(text)
    return values_like(json.loads(text)).map(lambda value: json.dumps(value, allow_nan=True))


@st.composite
def rows_like(draw: st.DrawFn, rows: pa.Table) -> pa.Table:
    """Rows of a table in which some values are others of the same type, or some rows are missing or twice."""
    listed = [list(column.to_pylist()) for column in rows.cast(plain(rows.schema)).columns]
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(listed) - 1))
        field = rows.schema.field(place)
        new = draw(cells(field.type) | st.sampled_from(listed[place]) | documents_like(listed[place][0]))
        every = draw(st.booleans())
        for at in range(rows.num_rows) if every else [draw(st.integers(0, rows.num_rows - 1))]:
            listed[place][at] = new
    kept = draw(st.lists(st.integers(0, rows.num_rows - 1), max_size=8)) if draw(st.booleans()) else None
    fields = zip(rows.schema, listed, strict=True)
    table = pa.table([_array(values, field.type) for field, values in fields], schema=plain(rows.schema))
    return table if kept is None else table.take(pa.array(kept, pa.int64()))


def plain(schema: pa.Schema) -> pa.Schema:
    """Without dictionaries."""
    plain_types = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in schema]
    return pa.schema([f.with_type(kind) for f, kind in zip(schema, plain_types, strict=True)], schema.metadata)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind.value_type if pa.types.is_dictionary(kind) else kind):
        numbers = [None if v is None else v if isinstance(v, int) else int(v.timestamp() * 1000) for v in values]
        return pa.array(numbers, pa.int64()).cast(kind)
    return pa.array(values, kind.value_type if pa.types.is_dictionary(kind) else kind)


OTHER_TABLES: tuple[Callable[[], pa.Table], ...] = (
    lambda: pa.table({"x": [1]}),
    lambda: pa.table({"x": pa.array([[[[1]]]])}),
    lambda: pa.table({"x": pa.array([{"a": {"b": None}}])}),
    lambda: pa.table({f"c{i}": [i] for i in range(200)}),
    lambda: pa.table({"x": pa.nulls(100_000)}),
)


@st.composite
def parquet_like(draw: st.DrawFn, data: bytes) -> bytes:
    """A Parquet file of other bytes, other values, another packing, or another table."""
    kind = draw(st.sampled_from(["bytes", "bytes", "values", "values", "table", "column", "metadata"]))
    if kind == "bytes":
        return draw(bytes_like(data))
    table = pq.read_table(io.BytesIO(data))
    if kind == "values" and not any(pa.types.is_nested(f.type) or pa.types.is_binary(f.type) for f in table.schema):
        table = draw(rows_like(table))
    elif kind == "table":
        table = draw(st.sampled_from(OTHER_TABLES))()
    elif kind == "column":
        place = draw(st.integers(0, table.num_columns - 1))
        new = draw(
            st.sampled_from(
                [pa.nulls(table.num_rows), pa.array([b"\xff"] * table.num_rows), pa.array([[1]] * table.num_rows)]
            )
        )
        table = table.set_column(place, table.schema.names[place], new)
    elif kind == "metadata":
        texts = st.sampled_from(
            [b"-1", b"0", b"1", b"2", b"9" * 5000, b"", b"\xff", b"[" * DEEP, b'["part-a.parquet"]']
        )
        told = draw(st.fixed_dictionaries({}, optional={"bridgelab_schema": texts, "bridgelab_absorbed": texts}))
        table = table.replace_schema_metadata(told)
    return packed(table, draw(st.sampled_from(["zstd", "none", "snappy", "gzip", "brotli"])))


def packed(table: pa.Table, codec: str = "zstd", **how: Any) -> bytes:
    """A table as Parquet."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression=codec, **how)
    return sink.getvalue()


def idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file."""
    shape = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


@st.composite
def lines_like(draw: st.DrawFn, data: bytes) -> bytes:
    """A text of lines in which some cells are others."""
    if draw(st.booleans()):
        return draw(bytes_like(data))
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(draw(st.integers(1, 4))):
        row = draw(st.sampled_from(rows))
        row[draw(st.integers(0, len(row) - 1))] = str(draw(ODD))
    return "\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass")


@st.composite
def entries_like(draw: st.DrawFn, pairs: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The entries of a checkpoint's index with some that are others: checksums will be right."""
    changed = {key: draw(bytes_like(value)) if not draw(st.integers(0, 3)) else value for key, value in pairs.items()}
    if draw(st.booleans()):
        changed[draw(st.binary(max_size=600))] = draw(st.binary(max_size=30))
    order = sorted(changed.items())
    return draw(st.permutations(order)) if not draw(st.integers(0, 5)) else order
