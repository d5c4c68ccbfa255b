"""The command line: one line and exit 2 for what cannot be, JSON and nothing else for programs."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filling import fill_lab

from bridgelab import catalog, cli
from bridgelab.history import History
from bridgelab.lab import Lab
from bridgelab.lease import Lease
from bridgelab.planning import PackPlan
from bridgelab.publication import manifest
from bridgelab.search import next_generation, resolve_search
from bridgelab.specs import Entry
from bridgelab.study import Selection


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """run("plan", "label_efficiency") -> (exit status, stdout, stderr), in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRIDGELAB_DATA", raising=False)
    monkeypatch.delenv("BRIDGELAB_LAB", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("bridgelab.session.RAYS_OWN_NOTE", tmp_path / "no_cluster")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bridgelab", *words])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return run


MISTAKES = [
    ("swep label_efficiency", "did you mean 'sweep'"),
    ("sweep", "missing argument 'study'"),
    ("sweep label_eficiency", "did you mean 'label_efficiency'"),
    ("plan label_efficiency --pair digits-fashon", "no domain 'fashon'"),
    ("plan label_efficiency --pair digits-plane", "10 classes"),
    ("plan label_efficiency --preset dsk", "did you mean 'desk'"),
    ("plan label_efficiency --recipe papr", "did you mean 'paper'"),
    ("plan label_efficiency --set bridge.beta_swdd=1", "did you mean 'bridge.beta_swd'"),
    ("plan label_efficiency --set bridge.beta_swd=-1", "greater than or equal to 0"),
    ("plan label_efficiency --set bridge.n_steps=many", "valid integer"),
    ("plan label_efficiency --set bridge.n_steps", "key=value"),
    ("plan label_efficiency --sedes 3", "--seeds"),
    ("plan label_efficiency --seeds many", "--seeds many"),
    ("plan label_efficiency --seeds 0", "1 or more"),
    ("plan label_efficiency --pack none", "or auto"),
    ("plan label_efficiency --data nowhere", "no such folder"),
    ("plan ./mine.py", "mine.py"),
    ("plan label_efficiency --lab gopher://x", "gopher"),
    ("sweep label_efficiency --device tpu", "'cuda'"),
    ("sweep label_efficiency --keep none", "'best'"),
    ("sweep label_efficiency --address nowhere", "host:port"),
    ("sweep label_efficiency --address 127.0.0.1:9", "no ray cluster at 127.0.0.1:9"),
    ("table label_efficiency", "bridgelab sweep label_efficiency"),
    ("table label_efficiency --format html", "'tex'"),
    ("status label_efficiency", "bridgelab sweep label_efficiency"),
    ("report", "no run of any study"),
    ("reproduce --table", "run `bridgelab reproduce` first"),
    ("archive -o small", "no run of any study"),
    ("archive heads -o small", "bridgelab sweep heads"),
    ("archive haeds -o small", "did you mean 'heads'"),
    ("archive heads", "missing option '--output'"),
    ("plan label_efficiency --seeds 2000", "at most 1000"),
    ("plan label_efficiency --lab s3://", "names no bucket"),
    ("plan label_efficiency --address auto", "no ray cluster runs on this machine"),
    ("table label_efficiency --seeds -3", "--seeds -3"),
    ("table label_efficiency --set bridge.n_steps=abc", "valid integer"),
    ("table label_eficiency", "did you mean 'label_efficiency'"),
    ("table label_efficiency --lab ~nobody_of_that_name/x", "no lab at"),
    ("plan label_efficiency --set bridge.n_steps=true", "valid integer"),
    ("plan label_efficiency --set labelled=same --set overlap=disjoint", "no image in common"),
    ("sweep label_efficiency --address ray://127.0.0.1:10001", "host:port"),
]


@pytest.mark.parametrize(("line", "cure"), MISTAKES)
def test_a_mistake_is_one_line_that_names_the_cure_and_exits_with_2(run, tmp_path: Path, line: str, cure: str) -> None:
    status, out, err = run(*line.split())
    assert (status, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert cure in err.lower()
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_without_a_command_it_tells_what_there_is(run) -> None:
    status, out, err = run()
    assert (status, err) == (0, "")
    assert len(out.splitlines()) > 15
    assert "sweep" in out


def test_whoever_listens_but_is_no_ray_is_told_within_ten_seconds(run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        status, _, err = run("plan", "label_efficiency", "--address", f"127.0.0.1:{listener.getsockname()[1]}")
    assert (status, time.monotonic() - began < 10) == (2, True)
    assert "does not answer as a Ray head" in err


@pytest.mark.parametrize("words", ["status", "gc", "compact", "plan label_efficiency"])
def test_a_lab_that_is_a_file_is_told(run, tmp_path: Path, words: str) -> None:
    (tmp_path / "file").touch()
    status, out, err = run(*words.split(), "--lab", "file")
    assert (status, out) == (2, "")
    assert "no lab at file: it is a file" in err


def test_a_study_is_archived_with_all_its_runs(run) -> None:
    ids = {fill_lab(Lab("lab"), "heads", lambda *about: 0.5, recipe=name).study_id for name in ("default", "paper")}
    fill_lab(Lab("lab"), "no_labels", lambda *about: 0.5)
    assert run("archive", "heads", "-o", "small")[0] == 0
    assert {study_id for _, study_id in catalog.runs_in("small")} == ids


def test_runs_are_chosen_by_options_or_by_the_beginning_of_their_ids(run) -> None:
    first, last = (fill_lab(Lab("lab"), "heads", lambda *about: 0.5, recipe=name) for name in ("default", "paper"))
    of_first, of_last = (f"recipe {one.recipe} · study_id {one.study_id}" for one in (first, last))
    for command in ("show", "table"):
        assert of_last in run(command, "heads")[1]
        assert of_first in run(command, "heads", "--recipe", "default")[1]
        assert of_first in run(command, first.study_id[:10])[1]
    assert json.loads(run("status", first.study_id[:10], "--json")[1])["recipe"] == "default"
    trial_id = first.members[0].trial.trial_id
    assert json.loads(run("show", first.study_id, "--json")[1])[0]["trial_id"] == trial_id
    assert run("show", "heads", "--pair", "mnist-mnist")[2].startswith("bridgelab: no run of 'heads' with --pair")
    assert "has no trial 'nobody'" in run("show", "nobody")[2]


def test_a_search_that_looks_is_told_beside_the_runs_of_other_studies(run) -> None:
    fill_lab(Lab("lab"), "heads", lambda *about: 0.5)
    search = resolve_search("loss_weights", Selection(pair="plane-plane", preset="smoke"))
    History(Lab("lab"), search).publish(asked := next_generation(search, []), 0, "asked")
    pack = PackPlan((Entry(asked[0].trial, 0, False),), search.leg(0, 0))
    with Lease.take(Lab("lab"), pack.pack_id, manifest("loss_weights", pack), "a-sweep"):
        out = run("status")[1]
    assert "heads" in out
    assert out.count(f"pack {pack.pack_id}: 1 trials of loss_weights") == 1


def test_a_report_that_watch_cannot_write_is_told(run) -> None:
    fill_lab(Lab("lab"), "heads", lambda *about: 0.5)
    Path("file").touch()
    status, _, err = run("watch", "heads", "--html", "file/live.html")
    assert status == 2
    assert err.startswith("bridgelab: cannot write file/live.html: ")
    assert err.endswith("; give --html another file\n")


def test_every_study_is_a_line(run) -> None:
    status, out, _ = run("studies")
    assert status == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "Table 3" in lines["label_efficiency"]
    assert "6 x 8" in lines["label_efficiency"]


@pytest.mark.parametrize("words", [["studies", "--json"], ["plan", "label_efficiency", "--json"], ["status", "--json"]])
def test_json_is_all_that_is_on_stdout(run, words: list[str]) -> None:
    status, out, err = run(*words)
    assert (status, err) == (0, "")
    json.loads(out)


def test_a_plan_as_json_has_what_programs_read(run) -> None:
    found = json.loads(run("plan", "label_efficiency", "--preset", "smoke", "--json")[1])
    assert found.keys() >= {"trials", "cached", "unfinished", "new", "packs", "seconds"}
    assert (found["trials"], found["new"]) == (12, 12)


@pytest.mark.parametrize("words", ["label_efficiency --pair mnist-mnist", "./mine.py"])
def test_a_plan_downloads_nothing_and_says_how_to_fetch(run, monkeypatch, tmp_path: Path, words: str) -> None:
    from bridgelab.domains import images

    def refuse(*words: object) -> None:
        raise AssertionError(f"a download of {words}")

    monkeypatch.setattr(images, "download", refuse)
    (tmp_path / "mine.py").write_text(
        "from bridgelab import Study\n\n"
        "def study():\n"
        "    return Study(name='mine', question='?', pair='mnist-mnist', grid={'n_labels': [0, 10]})\n"
    )
    status, _, err = run("plan", *words.split())
    assert (status, "no mnist in data" in err, "bridgelab pretrain mnist" in err) == (2, True, True)


def test_what_runs_failed_trials_again_names_the_lab_and_the_data() -> None:
    assert cli._again("bridgelab sweep heads", "./lab", None) == "bridgelab sweep heads"
    assert cli._again("bridgelab sweep heads", "a b", "d") == "bridgelab sweep heads --lab 'a b' --data d"


def test_a_plan_for_people_says_what_will_happen(run) -> None:
    out = run("plan", "label_efficiency")[1]
    for said in ("6 x 8 replicates = 48 trials", "train 1,259", "48 new", "2 packs", "about", "6 comparisons"):
        assert said in out


def test_the_lab_and_the_data_can_come_from_the_environment(run, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BRIDGELAB_LAB", str(tmp_path / "elsewhere"))
    assert "elsewhere" in run("table", "label_efficiency")[2]
    monkeypatch.setenv("BRIDGELAB_DATA", str(tmp_path / "nowhere"))
    assert run("plan", "label_efficiency")[0] == 2


def test_the_doctor_finds_this_machine_well(run) -> None:
    status, out, _ = run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)}
    assert status == 0, [check for check in checks.values() if not check["ok"]]
    assert "1259" in checks["data"]["detail"]


def test_the_doctor_says_how_to_mend_what_is_wrong(run) -> None:
    status, out, _ = run("doctor", "--address", "127.0.0.1:9", "--data", "nowhere")
    bad = [line for line in out.splitlines() if line.startswith("BAD")]
    assert status == 2
    assert len(bad) == 2
    assert "ray start --head" in "\n".join(bad)


def test_help_needs_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['bridgelab', '--help']\nfrom bridgelab.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print({'torch', 'ray', 'pandas', 'pyarrow', 'plotly'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert "sweep" in done.stdout
