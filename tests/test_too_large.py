"""What is larger than it seems, or no value at all, is refused unread: none of it takes the memory that it names."""

import json
from collections.abc import Callable
from pathlib import Path

import bundles
import pyarrow as pa
import pytest
import torch
from larger import bomb, many_rows, shared_beginnings, sparse
from peak import at_most
from some_rows import rows_of

from bridgelab import parquet, weights
from bridgelab.base_models import checkpoint
from bridgelab.config import VAEConfig
from bridgelab.domains import get_domain
from bridgelab.errors import LabError
from bridgelab.lab import Lab
from bridgelab.lease import read_manifest
from bridgelab.results import Results
from bridgelab.specs import ModelSpec


def test_json_of_a_terabyte_is_refused_unread(lab: Lab) -> None:
    sparse(Path(lab.address) / "packs/p/manifest.json", b"[")
    with (
        at_most(16),
        pytest.raises(LabError, match=r"manifest.json has 1,099,511,627,776 bytes, too many to read; remove it"),
    ):
        lab.read_json("packs/p/manifest.json")
    assert read_manifest(lab, "p") is None


@pytest.mark.parametrize("size", [1 << 40, 1 << 63, 100_000_000])
def test_a_header_of_tensors_that_says_it_is_large_is_refused(lab: Lab, size: int) -> None:
    lab.publish("bridges/b.safetensors", size.to_bytes(8, "little") + b"{}")
    for read in (
        lambda: weights.read(lab, "bridges/b.safetensors", "cure"),
        lambda: weights.about(lab, "bridges/b.safetensors"),
    ):
        with at_most(16), pytest.raises(LabError, match=f"is damaged .its header has {size:,} bytes"):
            read()


def test_a_bridge_of_a_terabyte_is_refused_unread(lab: Lab) -> None:
    sparse(Path(lab.address) / "bridges/b.safetensors")
    with at_most(16), pytest.raises(LabError, match="too many to read"):
        weights.read(lab, "bridges/b.safetensors", "cure")


def test_a_model_takes_the_memory_of_its_tensors_and_not_of_its_settings(lab: Lab) -> None:
    spec = ModelSpec(
        kind="vae", domain="digits", data_id="x", config=VAEConfig(hidden_dim=1_000_000, latent_dim=2), seed=0
    )
    checkpoint.save_state(lab, spec, {str(i): torch.ones(1) for i in range(20)}, {})
    with at_most(16), pytest.raises(LabError, match="does not hold the vae of its name"):
        checkpoint.load(lab, spec, get_domain("digits"))


LARGER: dict[str, tuple[Callable[[], bytes], str]] = {
    "pages": (bomb, "it unpacks to more than 512 times its"),
    "rows": (many_rows, "it unpacks to more than 512 times its"),
    "texts": (shared_beginnings, "it has a page that is encoded otherwise"),
}


@pytest.mark.parametrize("name", LARGER)
def test_a_part_that_is_larger_than_it_seems_is_left_out_unread(
    lab: Lab, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    make, said = LARGER[name]
    Results(lab).write("trials", "good", rows_of("trials", 2))
    lab.publish("results/trials/part-a.parquet", make())
    with at_most(16):
        assert Results(lab).read("trials").num_rows == 2
    assert said in caplog.text


def test_a_footer_that_says_it_is_large_is_refused_unread(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    end = (1 << 31).to_bytes(4, "little") + b"PAR1"
    sparse(Path(lab.address) / "results/trials/part-a.parquet", b"PAR1", end)
    with at_most(16):
        assert Results(lab).read("trials").num_rows == 0
    assert "its footer is too large" in caplog.text


def header(*fields: bytes, kind: int = parquet.DATA) -> bytes:
    """Of a page of three bytes, packed and not, with fields before those that say how it is encoded."""
    about = b"\x15\x02\x15\x00\x00"  # one value, spelt out
    sizes = b"\x15\x00\x15\x06\x15\x06"
    return sizes + b"".join(fields) + bytes([0x0C]) + bundles.varint(2 * kind) + about + b"\0"


def pages(*headers: bytes) -> list[int]:
    """The bytes of memory for each page."""
    data = b"".join(one + b"abc" for one in headers)
    return list(parquet._pages(pa.BufferReader(data), 0, len(data)))


SECOND_SIZE = {
    "of 64 bits": b"\x06\x04\x00",
    "of another field's number, to 16 bits": b"\x05" + bundles.varint(2 * (65536 + 2)) + b"\x00",
    "beyond 32 bits": b"\x05\x04" + bundles.varint(2 * (2**32)),
    "of a byte": b"\x03\x04\x00",
    "of a list": b"\x09\x04\x05",
}


@pytest.mark.parametrize("said", SECOND_SIZE)
def test_a_page_s_size_is_what_arrow_takes_for_it_or_the_page_is_refused(said: str) -> None:
    each = 3 + parquet.OF_ITS_OWN
    assert pages(header(), header()) == [each, each]
    if said == "of 64 bits":
        assert pages(header(SECOND_SIZE[said])) == [each]
        return
    with pytest.raises(pa.ArrowInvalid, match="it has a page"):
        pages(header(SECOND_SIZE[said]))


@pytest.mark.parametrize(
    "text", ['{"members": NaN, "cores": 1}', "1e999", "[" * 9_000, '"\\ud800"', "1" * 5_000, "\xff"]
)
def test_json_that_is_no_plain_value_is_refused(lab: Lab, text: str) -> None:
    lab.publish("x.json", text.encode("latin-1"))
    with pytest.raises(LabError, match=r"x\.json is not JSON .*; remove it and run again"):
        lab.read_json("x.json")


def test_emoji_in_json_are_text(lab: Lab) -> None:
    lab.publish("x.json", json.dumps("\U0001f600").encode())
    assert lab.read_json("x.json") == "\U0001f600"
