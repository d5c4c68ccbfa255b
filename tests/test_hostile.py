"""A lab is data, whoever wrote it: what is hostile is refused in a line, takes no memory, and reaches nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import damage
import pyarrow as pa
import pytest
from filling import fill_lab
from larger import bomb
from some_rows import rows_of

import analysis
from bridgelab import housekeeping
from bridgelab.errors import LabError
from bridgelab.lab import Lab
from bridgelab.results import SCHEMAS, Results
from bridgelab.text_file import read_text

SCRIPT = "<script>alert(1)</script>"

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
