"""Every file of a lab and every foreign one, what may stand in its place, and everything that reads it."""

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import bundles
import damage
import numpy as np
import safetensors.torch
import soundfile
import torch
from filling import fill_lab
from PIL import Image
from some_rows import rows_of

import analysis
from analysis import panels as shown_panels
from bridgelab import declarations, encoding, housekeeping, latents, ledger, pack_size, passage
from bridgelab.base_models import Identity, checkpoint, imported
from bridgelab.base_models.fit import ModelCheckpoint
from bridgelab.bridge.pack import Pack, initial_weights
from bridgelab.config import VAEConfig
from bridgelab.domains import bins, get_domain
from bridgelab.domains.clips import read_clips, without_skipped
from bridgelab.domains.idx import read_idx
from bridgelab.duration import model_paces, trial_paces
from bridgelab.errors import BridgelabError, printable
from bridgelab.lab import Lab
from bridgelab.lease import Lease, Watch, read_beat, release
from bridgelab.passage import open_passage
from bridgelab.planning import manifests, plan
from bridgelab.publication import finished_packs
from bridgelab.results import PANEL, SCHEMAS, Results
from bridgelab.specs import Entry, ModelSpec
from bridgelab.study import Selection
from bridgelab.trial import UNFIT, PackCheckpoint, save_bridge

SMOKE = Selection(pair="plane-plane", preset="smoke", n_replicates=1)
MODEL = ModelSpec(kind="vae", domain="digits", data_id="x", config=VAEConfig(hidden_dim=4, latent_dim=2), seed=0)
MANIFEST = {"trials": ["t"], "attempts": [0], "judges": [None], "study": "s", "leg": None, "started_at": "now"}
LEG = {"search_id": "s", "generation": 0, "rung": 0, "start": 0, "stop": 1, "is_last": False}


@dataclass(frozen=True)
class Reader:
    """A file below a folder, what may stand in its place, and everything that reads it."""

    path: str
    data: bytes
    damaged: Callable[[bytes], damage.Damage]
    read: Callable[[Path], object]
    share: float = 1.0
    "of inputs: those who are slow have fewer"


LAB: dict[str, Callable[..., Reader]] = {}
OUTSIDE: dict[str, Callable[..., Reader]] = {}


def of_a_lab(make: Callable[..., Reader]) -> Callable[..., Reader]:
    LAB[make.__name__] = make
    return make


def from_outside(make: Callable[..., Reader]) -> Callable[..., Reader]:
    OUTSIDE[make.__name__] = make
    return make


def written(folder: Path, write: Callable[[Lab], object], path: str) -> bytes:
    """What stands at a path of a lab after something was written."""
    lab = Lab(folder)
    write(lab)
    return lab.read(path)


def table(name: str) -> Callable[..., Reader]:
    """A part of a table, and the table."""

    def make(folder: Path, **_: object) -> Reader:
        data = written(
            folder, lambda lab: Results(lab).write(name, "a", rows_of(name, 4)), f"results/{name}/part-a.parquet"
        )
        return Reader(f"results/{name}/part-a.parquet", data, damage.parquet_like, functools.partial(read_table, name))

    return make


def read_table(name: str, folder: Path) -> object:
    results = Results(Lab(folder))
    found = results.read(name).to_pylist(), results.read_columns(name, SCHEMAS[name].names[:3])
    housekeeping.compact(Lab(folder))
    return found


for one in SCHEMAS:
    LAB[one] = table(one)


def run(name: str) -> Callable[..., Reader]:
    """A part of a table of a lab that has a whole study, and every command that computes with it."""

    def make(folder: Path, **_: object) -> Reader:
        fill_lab(
            Lab(folder), "label_efficiency", value, failed=(("n_labels=2", 1),), pair="plane-plane", n_replicates=3
        )
        if name not in ("members", "trials", "metrics"):
            Results(Lab(folder)).write(name, "x", rows_of(name, 4))
        (part,) = Results(Lab(folder)).part_names(name)
        path = f"results/{name}/{part}"
        return Reader(path, Lab(folder).read(path), damage.parquet_like, commands, share=0.2)

    return make


def report(name: str) -> Callable[..., Reader]:
    """A part of a table, and the page that shows the whole study."""

    def make(folder: Path, **_: object) -> Reader:
        of_a_run = run(name)(folder)
        if name in ("predictions", "curves", "proposals"):
            trial = Results(Lab(folder)).read("members").to_pylist()[0]
            rows = [
                row | {key: trial[key] for key in row.keys() & trial.keys() if "id" in key} for row in rows_of(name, 4)
            ]
            rows = [row | ({"term": "validation/transfer_accuracy_ab"} if name == "curves" else {}) for row in rows]
            Lab(folder).remove(of_a_run.path)
            Results(Lab(folder)).write(name, "x", rows)
            of_a_run = replace(of_a_run, data=Lab(folder).read(of_a_run.path))

        def read(folder: Path) -> object:
            return analysis.render_report([analysis.read_run(folder, "label_efficiency")])

        return replace(of_a_run, read=read, share=0.05)

    return make


def value(arm: str, replicate: int, metric: str) -> float:
    return 0.9 - 0.1 * replicate + len(arm) / 1000


for one in ("members", "trials", "metrics", "proposals", "exclusions", "frozen", "imports"):
    LAB[f"run of {one}"] = run(one)
for one in ("members", "trials", "metrics", "predictions", "curves", "proposals", "imports"):
    LAB[f"report of {one}"] = report(one)


def names(error: BridgelabError, folder: Path) -> bool:
    """An error of ours is one line that names the file, or the lab, and bids a terminal nothing."""
    said = str(error)
    assert str(folder) in said, said
    assert said == printable(said)
    return True


def commands(folder: Path) -> int:
    """What table, show, status, gc, plan and export say of a lab, each as if it were the only one."""
    lab = Lab(folder)

    def tables() -> None:
        found = analysis.read_run(lab, "label_efficiency")
        for kind in ("md", "json", "tex", "csv"):
            analysis.render(found, kind)
        analysis.list_trials(found)
        analysis.render_best(found)

    def trials() -> None:
        for trial_id in Results(lab).read_columns("trials", ["trial_id"])["trial_id"].to_pylist()[:2]:
            analysis.show_trial(analysis.read_trial(lab, trial_id))

    def planned() -> None:
        plan("label_efficiency", lab=lab, selection=Selection(pair="plane-plane", n_replicates=1))

    n_refused = 0
    for command in (
        tables,
        trials,
        planned,
        functools.partial(trial_paces, lab),
        functools.partial(ledger.status, lab),
        functools.partial(ledger.status, lab, "label_efficiency"),
        functools.partial(housekeeping.garbage, lab, grace_s=0),
    ):
        try:
            command()
        except BridgelabError as error:
            n_refused += names(error, folder)
    return n_refused


@of_a_lab
def bridge(folder: Path, make_trial: Callable, make_member: Callable, plane: dict, **_: object) -> Reader:
    """As it is used to send something across."""
    trial = make_trial()
    path = f"bridges/{trial.trial_id}.safetensors"
    data = written(folder, lambda lab: save_bridge(lab, trial, initial_weights(make_member(trial))), path)

    def read(folder: Path) -> object:
        return open_passage(trial.trial_id, Lab(folder)).transfer(plane["a"]["test"].x[:2], "a")

    return Reader(path, data, damage.tensors_like, read)


@of_a_lab
def model(folder: Path, **_: object) -> Reader:
    domain, path = get_domain("digits"), f"models/{MODEL.model_id}/model.safetensors"
    data = written(folder, lambda lab: checkpoint.save(lab, MODEL, checkpoint.build(MODEL, domain), {}), path)
    return Reader(path, data, damage.tensors_like, lambda f: checkpoint.load_base_model(Lab(f), MODEL, domain))


@of_a_lab
def model_config(folder: Path, **_: object) -> Reader:
    path, domain = f"models/{MODEL.model_id}/config.json", get_domain("digits")
    module, timing = checkpoint.build(MODEL, domain), {"step_s": 0.1}
    data = written(folder, lambda lab: checkpoint.save(lab, MODEL, module, {}, timing), path)
    return Reader(path, data, damage.json_like, lambda f: model_paces(Lab(f)), share=2)


@of_a_lab
def model_timing(folder: Path, **kept: object) -> Reader:
    config = model_config(folder)
    return Reader(config.path.replace("config", "timing"), b'{"step_s": 0.1}', damage.json_like, config.read, share=2)


@of_a_lab
def pack_checkpoint(folder: Path, make_trial: Callable, make_member: Callable, **_: object) -> Reader:
    """Sealed as ours are: only what is inside is another's."""
    trial = make_trial()
    entries, pack = [Entry(trial, attempt=0, trained=False)], Pack([make_member(trial)])
    PackCheckpoint(Lab(folder), "packs/p", 0).save_if_due(entries, pack)
    (name,) = Lab(folder).names("packs/p")
    data = Lab(folder).read(f"packs/p/{name}")[32:]

    def read(folder: Path) -> object:
        seal(folder / "packs/p" / name)
        snapshot = PackCheckpoint(Lab(folder), "packs/p").load(entries)
        if snapshot is None:
            return None
        again = Pack([make_member(trial)])
        try:
            again.restore(snapshot)
        except UNFIT:
            return None
        return again.run(until=again.n_done + 1)

    return Reader(f"packs/p/{name}", data, damage.tensors_like, read, share=0.4)


@of_a_lab
def model_checkpoint(folder: Path, **_: object) -> Reader:
    state = {"step": torch.tensor(3), "model/w": torch.ones(3)}

    def read(folder: Path) -> object:
        seal(folder / "training/m.checkpoint")
        kept = ModelCheckpoint(Lab(folder), "m")
        found = kept.load()
        module = torch.nn.ParameterDict({"w": torch.zeros(3)})
        if found is not None:
            kept.restore(lambda s: module.load_state_dict({"w": s["model/w"]}) and int(s["step"]), found)
        return found

    return Reader("training/m.checkpoint", safetensors.torch.save(state), damage.tensors_like, read, share=2)


def seal(path: Path) -> None:
    Lab(path.parent).publish_sealed(path.name, path.read_bytes())


@of_a_lab
def some_latents(folder: Path, plane: dict, **_: object) -> Reader:
    splits = {split: encoding.encode(Identity(), part) for split, part in plane["a"].items()}
    data = written(folder, lambda lab: latents.write(lab, "l", splits), "latents/l/test.parquet")
    return Reader("latents/l/test.parquet", data, damage.parquet_like, lambda f: latents.read(Lab(f), "l"))


@of_a_lab
def panel(folder: Path, **_: object) -> Reader:
    """As the report shows it."""
    fill_lab(Lab(folder), "label_efficiency", value, pair="plane-plane", n_replicates=1)
    found = analysis.read_run(folder, "label_efficiency")
    path = f"panels/{found.members['trial_id'].iloc[0]}.parquet"
    rows = [
        {"kind": "transfer", "direction": d, "row": row, "place": 0, "true_class": "0", "judged_class": "1"}
        | {"medium": medium, "data": np.ones(4, "<f4").tobytes()}
        for d in ("ab", "ba")
        for row in ("source", "transferred")
        for medium in ("png", "wav", "points")
    ]
    data = damage.packed(damage.pa.Table.from_pylist(rows, schema=PANEL))

    def read(folder: Path) -> object:
        shown = shown_panels.read_panels(found)
        return shown_panels.pictures(shown, found.reference), shown_panels.points(shown)

    return Reader(path, data, damage.parquet_like, read)


@of_a_lab
def lease(folder: Path, **_: object) -> Reader:
    data = written(folder, lambda lab: Lease.take(lab, "p", MANIFEST, "one"), "packs/p/lease.json")

    def read(folder: Path) -> object:
        lab = Lab(folder)
        release(lab, "another")
        found = read_beat(lab, "p")
        return found, Watch(lab).look(), Lease.take(lab, "p", MANIFEST, "another", {"p"}), ledger._packs(lab)

    return Reader("packs/p/lease.json", data, damage.json_like, read, share=2)


@of_a_lab
def manifest(folder: Path, **_: object) -> Reader:
    data = damage.json.dumps(MANIFEST | {"leg": LEG}).encode()

    def read(folder: Path) -> object:
        lab = Lab(folder)
        return manifests(lab), finished_packs(lab), ledger.status(lab).as_json()

    return Reader("packs/p/manifest.json", data, damage.json_like, read)


@of_a_lab
def sweep_mark(folder: Path, **_: object) -> Reader:
    Lab(folder).publish("training/l.draws", b'{"n_draws": 3}')
    told = {"study": "label_efficiency", "study_id": "x", "models": ["m"], "drawn": ["l"]}
    data = damage.json.dumps(told).encode()
    return Reader("training/s.sweep", data, damage.json_like, lambda f: ledger.status(Lab(f)).as_json(), share=2)


@of_a_lab
def draws(folder: Path, **kept: object) -> Reader:
    mark = sweep_mark(folder)
    Lab(folder).publish(mark.path, mark.data)
    return Reader("training/l.draws", b'{"n_draws": 3, "of_class": [1]}', damage.json_like, mark.read, share=2)


@of_a_lab
def pack_sizes(folder: Path, make_trial: Callable, **_: object) -> Reader:
    trial = make_trial()
    pack_size.remember(Lab(folder), trial, "cpu", pack_size.PackSize(4), {"1": 0.5})
    path = f"pack_sizes/{Lab(folder).names('pack_sizes')[0]}"
    read = functools.partial(pack_size.pack_size, spec=trial, device="cpu")
    return Reader(path, Lab(folder).read(path), damage.json_like, lambda f: read(Lab(f)), share=2)


@from_outside
def images(folder: Path, **_: object) -> Reader:
    data = damage.idx(np.arange(2 * 9).reshape(2, 3, 3))
    return Reader("images", data, damage.bytes_like, lambda f: read_idx(f / "images", 3), share=4)


@from_outside
def packed_labels(folder: Path, **_: object) -> Reader:
    import gzip

    damaged = lambda data: damage.bytes_like(data) | damage.bytes_like(gzip.decompress(data)).map(gzip.compress)  # noqa: E731
    data = gzip.compress(damage.idx(np.arange(9)))
    return Reader("labels.gz", data, damaged, lambda f: read_idx(f / "labels.gz", 1), share=4)


def sound(kind: str) -> Callable[..., Reader]:
    def make(folder: Path, **_: object) -> Reader:
        sink, name = io.BytesIO(), f"0_theo_0.{kind}"
        soundfile.write(sink, np.sin(np.arange(2_000) / 5), 8_000, format=kind.upper())

        def read(folder: Path) -> object:
            return passage._read(folder / name, get_domain("fsdd")), read_clips(folder, [name], 8_000)

        return Reader(name, sink.getvalue(), damage.bytes_like, read, share=2)

    return make


for one in ("wav", "flac", "ogg"):
    OUTSIDE[one] = sound(one)


def picture(kind: str) -> Callable[..., Reader]:
    def make(folder: Path, **_: object) -> Reader:
        sink = io.BytesIO()
        Image.fromarray((np.arange(20 * 30) % 251).astype(np.uint8).reshape(20, 30)).save(sink, kind)
        path = f"picture.{kind}"
        return Reader(
            path, sink.getvalue(), damage.bytes_like, lambda f: passage._read(f / path, get_domain("mnist")), share=2
        )

    return make


for one in ("png", "jpeg", "bmp", "gif", "webp", "tiff"):
    OUTSIDE[one] = picture(one)


@from_outside
def list_of_bins(folder: Path, plane: dict, **_: object) -> Reader:
    rows = [f"{side},{split},{i},{i % 2}" for side in "ab" for split in plane["a"] for i in range(4)]
    data = "\n".join([",".join(bins.COLUMNS), *rows]).encode()
    domain = get_domain("digits")
    return Reader(
        "bins.csv", data, damage.lines_like, lambda f: bins.described(f / "bins.csv", (domain, domain)), share=2
    )


@from_outside
def numbers(folder: Path, **_: object) -> Reader:
    head = b"arm,metric,mean,ci_low,ci_high,n,source"
    data = head + b"\nTheirs,transfer_accuracy_ab,0.9,0.8,0.95,5,x\nMore,transfer_accuracy_ba,1,,,,\n"

    def read(folder: Path) -> object:
        declarations.bring_in(folder / "lab", "s", "plane-plane", folder / "numbers.csv")
        found = declarations.brought_in(folder / "lab", "s", "plane-plane")
        assert found, "what was brought in is there"
        return found

    return Reader("numbers.csv", data, damage.lines_like, read)


@from_outside
def skip_list(folder: Path, **_: object) -> Reader:
    names = ["a.wav", "b.wav"]
    return Reader("skip.txt", b"a.wav\nb.wav\n", damage.lines_like, lambda f: without_skipped(f, names), share=2)


TENSORS = {
    "G/z_project/dense/kernel": np.ones((3, 16), np.float32),
    "G/z_project/dense/bias": np.ones(16, np.float32),
    "G/upconv_0/conv2d_transpose/kernel": np.ones((1, 25, 1, 4), np.float32),
    "G/upconv_0/conv2d_transpose/bias": np.ones(1, np.float32),
}


@from_outside
def index(folder: Path, **_: object) -> Reader:
    """Its checksums are right, or they are not."""
    bundles.write(folder / "x", TENSORS)
    data = (folder / "x.index").read_bytes()
    pairs = {b"": bundles.number(1, 1) + bundles.message(3, bundles.number(1, 1))} | {
        name.encode(): bundles.entry(array, 0, 0) for name, array in TENSORS.items()
    }
    damaged = lambda data: damage.bytes_like(data) | damage.entries_like(pairs).map(bundles.table)  # noqa: E731
    return Reader("x.index", data, damaged, lambda f: imported.read_wavegan(f / "x", 16), share=0.5)


@from_outside
def shard(folder: Path, **_: object) -> Reader:
    bundles.write(folder / "x", TENSORS)
    name = "x.data-00000-of-00001"
    return Reader(
        name, (folder / name).read_bytes(), damage.bytes_like, lambda f: imported.read_wavegan(f / "x", 16), share=0.5
    )
