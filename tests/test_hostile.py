"""A lab is data, whoever wrote it: what is hostile is refused in a line, takes no memory, and reaches nothing else."""

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import bundles
import damage
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from filling import fill_lab
from peak import at_most
from PIL import Image
from some_rows import rows_of

import analysis
from bridgelab import housekeeping, parquet, weights
from bridgelab.base_models import checkpoint
from bridgelab.config import VAEConfig
from bridgelab.domains import folder, get_domain
from bridgelab.domains.clips import read_sounding
from bridgelab.domains.idx import read_idx
from bridgelab.domains.pictures import read_grey
from bridgelab.errors import BridgelabError, DataError, LabError
from bridgelab.lab import Lab
from bridgelab.lease import read_manifest
from bridgelab.results import SCHEMAS, Results
from bridgelab.specs import ModelSpec
from bridgelab.text_file import read_text

TERABYTE = 1 << 40
SCRIPT = "<script>alert(1)</script>"


def sparse(path: Path, data: bytes = b"", end: bytes = b"") -> Path:
    """A file that says it is a terabyte, and takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.truncate(path, TERABYTE)
    with path.open("r+b") as file:
        file.seek(-len(end), os.SEEK_END)
        file.write(end)
    return path


# What is too large


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


# Parquet that is more than it seems


def zigzag(number: int) -> bytes:
    """A number as Thrift writes it."""
    return bundles.varint(2 * number)


def lying(data: bytes, true: int, told: int) -> bytes:
    """A Parquet file whose footer says another number."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[start:-8]
    assert zigzag(true) in footer
    footer = footer.replace(zigzag(true), zigzag(told))
    return data[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def trials_of(column: str, values: list[object]) -> pa.Table:
    """Rows of `trials` in which one column is given."""
    rows = rows_of("trials", 1) * len(values)
    return pa.Table.from_pylist([row | {column: one} for row, one in zip(rows, values, strict=True)], SCHEMAS["trials"])


def bomb() -> bytes:
    """64 MiB in a few KiB, of which the footer says that they are 200 bytes."""
    data = damage.packed(trials_of("config", ["\0" * (64 << 20)]), use_dictionary=False, write_statistics=False)
    chunk = pq.read_metadata(io.BytesIO(data)).row_group(0).column(SCHEMAS["trials"].names.index("config"))
    assert len(data) < 1 << 14
    return lying(data, chunk.total_uncompressed_size, 200)


def many_rows() -> bytes:
    """A few rows, of which the footer says that they are a thousand million."""
    return lying(damage.packed(trials_of("attempt", [0] * 1_234)), 1_234, 1_000_000_000)


def shared_beginnings() -> bytes:
    """Texts that share their beginnings: each takes a few bytes, and is long."""
    column = {"column_encoding": {"config": "DELTA_BYTE_ARRAY"}, "use_dictionary": False}
    return damage.packed(trials_of("config", ["x" * 100_000 + str(i) for i in range(1_000)]), **column)


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


# Commands, each in a process whose memory is measured

MEASURED = """
import sys
import peak
from bridgelab.cli import main
try:
    main()
finally:
    print(peak.mebibytes("VmHWM"), file=sys.stderr)
"""


def command(lab: Path, *words: str) -> tuple[int, str, list[str], float]:
    """Status, output, lines of errors and peak memory in MiB of a command on a lab."""
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    code = [sys.executable, "-c", MEASURED, *words, "--lab", str(lab)]
    done = subprocess.run(code, capture_output=True, text=True, timeout=300, cwd=lab, env=where)
    *lines, peak = done.stderr.strip().splitlines()
    return done.returncode, done.stdout, lines, float(peak)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A lab with a study, and what it takes to make its table."""
    path = tmp_path_factory.mktemp("honest")
    fill_lab(Lab(path), "label_efficiency", lambda arm, replicate, metric: 0.9, pair="plane-plane", n_replicates=2)
    status, out, lines, peak = command(path, "table", "label_efficiency")
    assert (status, lines) == (0, [])
    assert "n_labels" in out
    return path, peak


@pytest.fixture
def spoiled(honest: tuple[Path, float], tmp_path: Path) -> Callable[..., Path]:
    """spoiled({path: bytes}): the honest lab with some files that are others."""

    def spoil(files: dict[str, bytes]) -> Path:
        path = tmp_path / "spoiled"
        for source in honest[0].rglob("*"):
            if source.is_file():
                Lab(path).publish(str(source.relative_to(honest[0])), source.read_bytes())
        for name, data in files.items():
            Lab(path).publish(name, data)
        return path

    return spoil


def rows_with(table: str, **values: object) -> bytes:
    rows = [row | values for row in rows_of(table, 3)]
    return damage.packed(pa.Table.from_pylist(rows, SCHEMAS[table]))


DEEP = "[" * 100_000


@pytest.mark.parametrize("words", ["table label_efficiency", "show label_efficiency", "report -o r.html", "status"])
def test_commands_name_a_part_that_is_another_s_and_go_on_without_it(
    honest: tuple[Path, float], spoiled, words: str
) -> None:
    lab = spoiled(
        {
            "results/trials/part-bomb.parquet": bomb(),
            "results/members/part-deep.parquet": rows_with("members", definition=DEEP),
            "results/metrics/part-null.parquet": rows_with("metrics", judge_id=None),
        }
    )
    status, out, lines, peak = command(lab, *words.split())
    assert status == 0
    assert all("is not a part of results" in line and "left out" in line for line in lines)
    assert {line.split("part-")[1].split(".")[0] for line in lines} <= {"bomb", "deep", "null"}
    assert "label_efficiency" in out or "n_labels" in out
    assert peak < honest[1] + 200  # Plotly's, of a report


def only_part(lab: Path, table: str) -> Path:
    """Of a table."""
    (part,) = (lab / "results" / table).glob("part-*")
    return part


REFUSED = {
    "table label_efficiency": ("members", {"definition": "{}"}),
    "report -o r.html": ("members", {"arm_index": -1}),
    "status label_efficiency": ("members", {"planned_at": None}),
    "show label_efficiency": ("members", {"role": SCRIPT}),
    "sweep label_efficiency --pair plane-plane --preset smoke --seeds 1": ("proposals", None),
    "gc --yes": ("trials", {"config": DEEP}),
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_lab_of_hostile_rows_is_refused_in_a_line(honest: tuple[Path, float], spoiled, words: str) -> None:
    table, values = REFUSED[words]
    lab = spoiled({})
    if values is None:  # what a sweep needs is not even a folder
        (lab / "packs").write_bytes(b"no folder")
    else:
        only_part(lab, table).write_bytes(rows_with(table, **values))
    status, out, lines, _ = command(lab, *words.split())
    assert status == 2
    assert out == ""
    assert lines[-1].startswith("bridgelab: ")
    assert len(lines) <= 2
    assert "Traceback" not in " ".join(lines)


def test_what_nobody_foresaw_is_a_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from bridgelab import catalog, cli

    def unforeseen(lab: str) -> list[str]:
        return {}["what\x1b[2J"]

    monkeypatch.setattr(catalog, "studies_in", unforeseen)
    monkeypatch.setattr(sys, "argv", ["bridgelab", "report"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("bridgelab: KeyError in test_hostile.py:")
    assert "BRIDGELAB_TRACEBACK=1 shows where" in said
    assert said.count("\n") == 1
    assert "\x1b" not in said
    monkeypatch.setenv("BRIDGELAB_TRACEBACK", "1")
    with pytest.raises(KeyError):
        cli.main()


# Nothing outside


PATHS = ["../x", "packs/../../x", "packs//x", "/etc/passwd", "packs/./x", "a\0b", "packs/\ud800"]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out_of_a_lab(lab: Lab, path: str) -> None:
    Path(lab.address).mkdir()
    (Path(lab.address).parent / "x").write_text("outside")
    for use in (lab.read, lab.exists, lab.names, lab.size, lab.remove, lambda p: lab.publish(p, b"")):
        with pytest.raises(LabError):
            use(path)
    assert (Path(lab.address).parent / "x").read_text() == "outside"


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A folder beside the lab, which stays as it is."""
    path = tmp_path / "outside"
    (path / "inner").mkdir(parents=True)
    for name in ("old.safetensors", "inner/precious"):
        (path / name).write_text("precious")
        os.utime(path / name, (0, 0))
    yield path
    assert sorted(str(p.relative_to(path)) for p in path.rglob("*")) == ["inner", "inner/precious", "old.safetensors"]


@pytest.mark.parametrize("link", ["bridges", "models/m", f"packs/.half.{'0123' * 8}", "bridges/b.safetensors"])
def test_gc_removes_nothing_through_a_link(spoiled, outside: Path, link: str) -> None:
    lab = spoiled({})
    (lab / link).parent.mkdir(exist_ok=True)
    (lab / link).symlink_to(outside / "old.safetensors" if link.endswith("safetensors") else outside)
    status, _, lines, _ = command(lab, "gc", "--yes", "--older-than", "0")
    assert status == 2
    assert len(lines) == 1
    assert f"{lab}/{link}" in lines[0]
    assert "leads out of the lab" in lines[0]


def test_what_is_removed_takes_its_own_links_with_it_and_not_what_they_lead_to(lab: Lab, outside: Path) -> None:
    lab.publish("models/m/config.json", b"{}")
    folder = Path(lab.address) / "models/m"
    (folder / "out").symlink_to(outside)
    (folder / "round").symlink_to(folder)
    assert lab.size("models/m") < 1_000
    housekeeping.collect(lab, [housekeeping.Garbage("models/m", 0, "")])
    assert lab.names("models") == []


def test_a_link_inside_a_lab_is_followed(lab: Lab) -> None:
    lab.publish("models/m/config.json", b"{}")
    (Path(lab.address) / "models/n").symlink_to("m")
    assert lab.read_json("models/n/config.json") == {}


def test_a_pipe_is_no_file(lab: Lab, tmp_path: Path) -> None:
    (Path(lab.address) / "packs/p").mkdir(parents=True)
    os.mkfifo(Path(lab.address) / "packs/p/manifest.json")
    os.mkfifo(tmp_path / "bins.csv")
    with pytest.raises(LabError, match=r"manifest\.json is no file"):
        lab.read_json("packs/p/manifest.json")
    with pytest.raises(ValueError, match="it is no file"):
        read_text(tmp_path / "bins.csv")


def test_names_that_are_no_text_are_refused(lab: Lab) -> None:
    folder = os.fsencode(lab.address) + b"/models"
    os.makedirs(folder + b"/\xff\xfe")
    with pytest.raises(LabError, match=r"models: .*can't decode"):
        lab.names("models")


def test_no_name_bids_a_terminal_anything(spoiled) -> None:
    lab = spoiled({"bridges/\x1b[2J\u202eoops": b"1"})
    status, out, lines, _ = command(lab, "gc", "--older-than", "0")
    assert (status, lines) == (0, [])
    assert r"\x1b[2J\u202eoops" in out


# Values


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


# Foreign files


def test_a_packed_idx_file_unpacks_to_what_it_announces_and_no_more(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.gz", "wb", compresslevel=1) as file:
        file.write(damage.idx(np.zeros(10)))
        for _ in range(64):
            file.write(bytes(1 << 20))
    with at_most(16), pytest.raises(DataError, match="10 bytes are announced and more are there"):
        read_idx(tmp_path / "x.gz", 1)


def test_an_idx_file_that_announces_too_much_is_refused(tmp_path: Path) -> None:
    sparse(tmp_path / "x", bytes([0, 0, 8, 1]) + b"\xff" * 4)
    with at_most(16), pytest.raises(DataError, match="are the most that is read"):
        read_idx(tmp_path / "x", 1)


def test_a_picture_is_one_of_a_few_formats_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    with pytest.raises(DataError, match="no picture that can be read"):
        read_grey(tmp_path / "x.png")


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path) -> None:
    for side in (8_000, 14_000):
        Image.new("1", (side, side)).save(tmp_path / "x.png")
        with pytest.raises(DataError, match=r"x\.png (has 8000x8000 pixels|is no picture)"):
            read_grey(tmp_path / "x.png")


@pytest.mark.parametrize("rate", [1, 44_101, 383_987, 2_147_483_647])
def test_a_sound_at_a_rate_without_a_short_way_is_refused(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "x.wav", np.sin(np.arange(9_000)), 8_000)
    data = bytearray((tmp_path / "x.wav").read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    (tmp_path / "x.wav").write_bytes(data)
    with (
        at_most(64),
        pytest.raises(DataError, match=r"x\.wav (has .* samples a second|is not audio)"),
    ):
        read_sounding(tmp_path / "x.wav", 8_000)


def test_a_sound_that_says_it_is_endless_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.flac", np.sin(np.arange(9_000)), 8_000)
    data = bytearray((tmp_path / "x.flac").read_bytes())
    data[21:26] = bytes([data[21] | 0x0F]) + b"\xff" * 4  # 36 bits of samples
    (tmp_path / "x.flac").write_bytes(data)
    with at_most(16), pytest.raises(DataError, match="is too long"):
        read_sounding(tmp_path / "x.flac", 8_000)


def test_folders_of_pictures_may_hold_what_is_none(tmp_path: Path) -> None:
    for name in ("a", "²"):
        (tmp_path / name / "folder.png").mkdir(parents=True)
        os.mkfifo(tmp_path / name / "pipe.png")
        for i in range(12):
            Image.new("L", (9, 9), 20 * i).save(tmp_path / name / f"{i}.png")
    found = folder.contents(tmp_path)
    assert found.class_names == ("a", "²")
    assert len(found.files) == 24
    assert len(found.sha256) == 64


@pytest.mark.parametrize("n", ["1e12", "2.5", "0", "-1"])
def test_a_number_of_replicates_that_cannot_be_is_refused(lab: Lab, tmp_path: Path, n: str) -> None:
    from bridgelab import declarations

    (tmp_path / "x.csv").write_text(f"arm,metric,mean,n\nTheirs,transfer_accuracy_ab,0.9,{n}\n")
    with pytest.raises(BridgelabError, match="give a whole number"):
        declarations.bring_in(lab, "s", "p", tmp_path / "x.csv")


# Pages


def test_nothing_from_a_lab_is_markup_in_a_report(lab: Lab) -> None:
    fill_lab(lab, "label_efficiency", lambda arm, r, m: 0.9 - r / 10, failed=(("n_labels=2", 1),), pair="plane-plane")
    tables = {name: Results(lab).read(name).to_pylist() for name in ("members", "trials")}
    for name, rows in tables.items():
        for part in Results(lab).part_names(name):
            lab.remove(f"results/{name}/{part}")
        Results(lab).write(name, "hostile", [hostile(row) for row in rows])
    run = analysis.read_run(lab, SCRIPT)
    pages = analysis.render_report([run]), analysis.render_index(lab)
    for page in pages:
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "javascript:alert" not in page.replace("./javascript", "").replace("./%3Cscript", "")
        assert page.count("<script") == page.count("</script>")


def hostile(row: dict) -> dict:
    """A row whose names, where nobody checks what they are, are markup."""
    told = dict.fromkeys(("study", "pair", "preset", "recipe", "failure_text", "host", "device", "arm_name"), SCRIPT)
    changed = {name: f"{row[name]}{SCRIPT}" if name == "arm_name" else told[name] for name in told.keys() & row.keys()}
    if "definition" in row:
        definition = json.loads(row["definition"])
        definition["study"] |= {"question": SCRIPT, "rebuilds": SCRIPT}
        changed |= {"definition": json.dumps(definition | {"command": SCRIPT})}
        (varied,) = json.loads(row["arm"]).values()
        changed |= {"arm": json.dumps({SCRIPT: varied})}
    else:
        changed |= {"versions": json.dumps({SCRIPT: SCRIPT})}
    return row | changed


def test_a_study_s_name_is_no_address(lab: Lab) -> None:
    fill_lab(lab, "label_efficiency", lambda arm, r, m: 0.9, pair="plane-plane")
    rows = Results(lab).read("members").to_pylist()
    Results(lab).write(
        "members", "hostile", [row | {"study": "javascript:alert(1)//", "study_id": "x"} for row in rows]
    )
    page = analysis.render_index(lab)
    assert 'href="javascript' not in page
    assert 'href="./javascript%3Aalert%281%29%2F%2F.html"' in page
