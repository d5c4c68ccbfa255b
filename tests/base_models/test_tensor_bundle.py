"""Checkpoints of TensorFlow: read number by number, and refused in one line where they are not what they say."""

import contextlib
from pathlib import Path

import bundles
import numpy as np
import pytest

from bridgelab.base_models.crc32c import LONG, N_LANES, crc32c, unmasked
from bridgelab.base_models.tensor_bundle import open_bundle
from bridgelab.errors import DataError

RNG = np.random.default_rng(0)
TENSORS = {
    "G/z_project/dense/kernel": RNG.normal(size=(3, 8)).astype(np.float32),
    "G/z_project/dense/bias": RNG.normal(size=8).astype(np.float32),
    "G/upconv_0/conv2d_transpose/kernel": RNG.normal(size=(1, 25, 2, 4)).astype(np.float32),
    "beta1_power": np.float64(0.5).reshape(()),
    "counts": np.array([[1, -2], [3, 4]], np.int32),
    "empty": np.zeros((0, 3), np.float32),
    "flags": np.array([True, False]),
    "global_step": np.array(7, np.int64),
    **{f"G/z_project/dense/kernel/slot_{i}": np.full(2, i, np.float32) for i in range(12)},
}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    bundles.write(tmp_path / "model.ckpt-7", TENSORS)
    return tmp_path / "model.ckpt-7"


@pytest.mark.parametrize(("n_shards", "per_block"), [(1, 5), (1, 1000), (3, 1)])
def test_every_tensor_is_read_to_the_bit(tmp_path: Path, n_shards: int, per_block: int) -> None:
    bundles.write(tmp_path / "ckpt", TENSORS, n_shards, per_block)
    bundle = open_bundle(tmp_path / "ckpt")
    assert set(bundle.entries) == set(TENSORS)
    for name, expected in TENSORS.items():
        if name != "flags":
            found = bundle.read(name)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            assert found.tobytes() == expected.tobytes()


def test_the_checksum_is_the_published_one_for_short_data_and_long() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    for n in (LONG - 1, LONG, LONG + 1, LONG + 7 * N_LANES + 5):
        data = np.random.default_rng(n).bytes(n)
        assert crc32c(data) == bundles.crc32c(data)
    assert unmasked(int.from_bytes(bundles.masked(0x12345678), "little")) == 0x12345678


def test_no_file_and_no_tensor_are_named(prefix: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*other.index: No such file"):
        open_bundle(prefix.with_name("other"))
    with pytest.raises(DataError, match="has no tensor 'D/x'"):
        open_bundle(prefix).read("D/x")
    prefix.with_name("model.ckpt-7.data-00000-of-00001").unlink()
    with pytest.raises(DataError, match=r"cannot read .*data-00000-of-00001"):
        open_bundle(prefix).read("counts")


def test_what_is_not_read_is_said(prefix: Path) -> None:
    with pytest.raises(DataError, match="tensor 'flags' is of type 10, which is not read"):
        open_bundle(prefix).read("flags")


def test_data_that_are_cut_off_or_changed_are_refused(prefix: Path) -> None:
    path = prefix.with_name("model.ckpt-7.data-00000-of-00001")
    whole = path.read_bytes()
    entry = open_bundle(prefix).entries["counts"]
    path.write_bytes(whole[: entry.offset + 3])
    with pytest.raises(DataError, match="'counts' lies beyond the end"):
        open_bundle(prefix).read("counts")
    path.write_bytes(whole[: entry.offset] + b"\xff" + whole[entry.offset + 1 :])
    with pytest.raises(DataError, match="'counts' is damaged: its checksum is another"):
        open_bundle(prefix).read("counts")


def test_an_index_that_is_cut_off_or_changed_anywhere_is_one_line(prefix: Path) -> None:
    """Every byte of it, and every length: nothing but a DataError, and never another tensor in silence."""
    path = prefix.with_name("model.ckpt-7.index")
    whole, expected = path.read_bytes(), dict(open_bundle(prefix).entries)
    for i in range(len(whole)):
        for damaged in (whole[:i], whole[:i] + bytes([whole[i] ^ 0x41]) + whole[i + 1 :]):
            path.write_bytes(damaged)
            with contextlib.suppress(DataError):
                assert dict(open_bundle(prefix).entries) == expected


def index_of(prefix: Path, *pairs: tuple[bytes, bytes]) -> None:
    header = bundles.number(1, 1) + bundles.message(3, bundles.number(1, 1))
    prefix.with_name(f"{prefix.name}.index").write_bytes(bundles.table([(b"", header), *pairs]))


GOOD = bundles.entry(TENSORS["counts"], 0, 0)


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([(b"a", bundles.number(1, 3) + bundles.number(3, 9))], "in a place that cannot be"),
        ([(b"a", bundles.number(5, 1 << 50))], "in a place that cannot be"),
        ([(b"a", bundles.number(2, 3))], "a number where a message is wanted"),
        ([(b"a", bundles.message(1, b"x"))], "text where a number is wanted"),
        ([(b"a", b"\x0a\xff")], "a number that does not end"),
        ([(b"a", b"\x0a\x7f")], "a field beyond its message"),
        ([(b"a", b"\x0b")], "a field of no known kind"),
        ([(b"\xff", GOOD)], "a name that is no text"),
        ([(b"b", GOOD), (b"a", GOOD)], "names out of order"),
    ],
)
def test_an_index_with_good_checksums_and_bad_content_is_refused(prefix: Path, pairs, said: str) -> None:
    index_of(prefix, *pairs)
    with pytest.raises(DataError, match=said):
        open_bundle(prefix)


def test_a_size_that_is_not_that_of_the_shape_is_refused(prefix: Path) -> None:
    index_of(prefix, (b"a", GOOD + bundles.number(5, 8)), (b"b", GOOD + bundles.message(7, b"")))
    with pytest.raises(DataError, match=r"'a' has 8 bytes, which are not those of its shape \(2, 2\)"):
        open_bundle(prefix).read("a")
    with pytest.raises(DataError, match="'b' is stored in slices"):
        open_bundle(prefix).read("b")


@pytest.mark.parametrize(
    ("header", "said"), [(b"", "no header"), (bundles.number(1, 0), "no header"), (bundles.number(2, 1), "no header")]
)
def test_a_header_that_is_missing_or_of_another_byte_order_is_refused(prefix: Path, header: bytes, said: str) -> None:
    prefix.with_name("model.ckpt-7.index").write_bytes(bundles.table([(b"", header), (b"a", GOOD)]))
    with pytest.raises(DataError, match=said):
        open_bundle(prefix)


def test_a_file_that_is_something_else_is_refused(prefix: Path) -> None:
    prefix.with_name("model.ckpt-7.index").write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(DataError, match="is no index of a checkpoint, or is cut off"):
        open_bundle(prefix)
