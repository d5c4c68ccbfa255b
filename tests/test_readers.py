"""Whatever bytes stand in a lab: a reader gives a value or one error of ours, and never another exception."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from some_rows import rows_of

from bridgelab import encoding, latents
from bridgelab.base_models import Identity, checkpoint
from bridgelab.bridge.pack import Pack
from bridgelab.config import VAEConfig
from bridgelab.domains import get_domain
from bridgelab.errors import BridgelabError
from bridgelab.lab import Lab
from bridgelab.lease import Lease, Watch, read_beat, release
from bridgelab.planning import manifests, plan
from bridgelab.publication import manifest
from bridgelab.results import SCHEMAS, Results
from bridgelab.specs import Entry, ModelSpec
from bridgelab.study import Selection, load_study
from bridgelab.trial import PackCheckpoint, load_bridge, save_bridge

SMOKE = Selection(pair="plane-plane", preset="smoke", n_replicates=1)
MODEL = ModelSpec(kind="vae", domain="digits", data_id="x", config=VAEConfig(hidden_dim=4, latent_dim=2), seed=0)
ONE_TRIAL = {"trials": ["t"], "attempts": [0], "judges": [None], "study": "s"}
KEYS = ["owner", "count", "trials", "attempts", "judges", "study"]
MINE = """
from bridgelab import Study

def study():
    return Study(name="mine", question="?", pair="plane-plane", grid={"n_labels": [0, 10]})
"""


@dataclass(frozen=True)
class Reader:
    """A file of a lab, and everything that reads it."""

    path: str
    read: Callable[[Lab], object]


def a_pack(lab: Lab) -> str:
    return plan("label_efficiency", lab=lab, selection=SMOKE, n_workers=1).packs[0].pack_id


def results(table: str) -> Reader:
    return Reader(f"results/{table}/part-a.parquet", lambda lab: Results(lab).read(table).to_pylist())


def lease(lab: Lab) -> object:
    release(lab, "another")
    return (
        read_beat(lab, "p"),
        Watch(lab).look(),
        Lease.take(lab, "p", ONE_TRIAL, "another", {"p"}),
    )


def planned(lab: Lab) -> object:
    return manifests(lab), plan("label_efficiency", lab=lab, selection=SMOKE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make_trial, make_member, plane) -> tuple[Lab, dict[str, Reader]]:
    """A lab with one of each file, and who reads it."""
    lab, trial = Lab(tmp_path_factory.mktemp("readers")), make_trial()
    for table in SCHEMAS:
        Results(lab).write(table, "a", rows_of(table, 3))
    entries, pack = [Entry(trial, attempt=0, trained=False)], Pack([make_member(trial)])
    save_bridge(lab, trial, {"w": torch.ones(3)})
    PackCheckpoint(lab, "packs/p", 0).save_if_due(entries, pack)
    checkpoint.save(lab, MODEL, checkpoint.build(MODEL, get_domain("digits")), {})
    latents.write(lab, "l", {split: encoding.encode(Identity(), part) for split, part in plane["a"].items()})
    lab.publish("mine.py", MINE.encode())
    [planned_pack] = plan("label_efficiency", lab=lab, selection=SMOKE, n_workers=1, pack=9).packs
    Lease.take(lab, "p", ONE_TRIAL, "one")
    Lease.take(lab, planned_pack.pack_id, manifest("label_efficiency", planned_pack), "one")
    saved = next(name for name in lab.names("packs/p") if name.endswith(".checkpoint"))
    others = {
        "bridge": Reader(f"bridges/{trial.trial_id}.safetensors", lambda lab: load_bridge(lab, trial.trial_id)),
        "checkpoint": Reader(f"packs/p/{saved}", lambda lab: PackCheckpoint(lab, "packs/p").load(entries)),
        "model": Reader(
            f"models/{MODEL.model_id}/model.safetensors",
            lambda lab: checkpoint.load_base_model(lab, MODEL, get_domain("digits")),
        ),
        "latents": Reader("latents/l/train.parquet", lambda lab: latents.read(lab, "l")),
        "lease": Reader("packs/p/lease.json", lease),
        "manifest": Reader(f"packs/{planned_pack.pack_id}/manifest.json", planned),
        "study": Reader("mine.py", lambda lab: load_study(f"{lab.location}/mine.py")),
    }
    return lab, {table: results(table) for table in SCHEMAS} | others


NAMES = [*SCHEMAS, "bridge", "checkpoint", "model", "latents", "lease", "manifest", "study"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Any bytes, any JSON, or a file that was cut short or has one byte that is another."""
    kind = draw(st.sampled_from(["cut", "byte", "byte", "byte", "any", "json"]))
    if kind == "any":
        return draw(st.binary(max_size=200))
    if kind == "json":
        return json.dumps(draw(JSON)).encode()
    place = draw(st.integers(0, len(data) - 1))
    if kind == "cut":
        return data[:place]
    return data[:place] + bytes([data[place] ^ draw(st.integers(1, 255))]) + data[place + 1 :]


@pytest.mark.parametrize("name", NAMES)
def test_any_damage_to_a_file_is_a_value_or_one_error_of_ours(whole, name: str) -> None:
    lab, readers = whole
    path, read = readers[name].path, readers[name].read
    data = lab.read(path)
    read(lab)
    seen: list[object] = []

    @settings(max_examples=100, deadline=None)
    @given(damaged(data))
    def try_to_read(damage: bytes) -> None:
        lab.publish(path, damage)
        try:
            seen.append(read(lab))
        except BridgelabError as error:
            seen.append(error)

    try:
        try_to_read()
    finally:
        lab.publish(path, data)
    assert seen
    assert all(lab.location in str(one) for one in seen if isinstance(one, BridgelabError))


@pytest.mark.parametrize("table", SCHEMAS)
def test_a_byte_that_is_another_never_changes_a_row(whole, table: str) -> None:
    lab, readers = whole
    path, data = readers[table].path, lab.read(readers[table].path)
    rows = Results(lab).read(table).to_pylist()
    try:
        for place in range(4, len(data), max(1, len(data) // 400)):
            lab.publish(path, data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :])
            assert Results(lab).read(table).to_pylist() in ([], rows), place
    finally:
        lab.publish(path, data)


NESTED = b"[" * 100_000


@pytest.mark.parametrize("name", ["lease", "manifest"])
def test_json_that_is_nested_beyond_measure_is_no_lease_and_no_manifest(whole, name: str) -> None:
    lab, readers = whole
    data = lab.read(readers[name].path)
    lab.publish(readers[name].path, NESTED)
    found = readers[name].read(lab)
    lab.publish(readers[name].path, data)
    assert found is not None
