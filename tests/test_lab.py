"""A lab shows an artifact whole or not at all."""

import threading
from pathlib import Path

import pytest

from bridgelab.errors import LabError
from bridgelab.lab import Lab


def test_a_published_file_is_read_back(lab: Lab) -> None:
    lab.publish("results/trials/part-1.parquet", b"rows")
    assert lab.read("results/trials/part-1.parquet") == b"rows"
    assert lab.names("results/trials") == ["part-1.parquet"]


def test_a_file_that_is_being_written_has_no_name_that_a_reader_sees(lab: Lab, tmp_path: Path) -> None:
    lab.publish("models/x/config.json", b"{}")
    (tmp_path / "lab/models/.y.0123").mkdir()
    assert lab.names("models") == ["x"]


def test_a_folder_published_twice_stays_the_first_one(lab: Lab) -> None:
    lab.publish_folder("models/m", {"weights": b"1"})
    lab.publish_folder("models/m", {"weights": b"2"})
    assert lab.read("models/m/weights") == b"1"
    assert lab.names("models") == ["m"]


def test_readers_beside_a_writer_never_see_half_a_file(lab: Lab) -> None:
    contents = [bytes([i]) * 200_000 for i in range(20)]
    lab.publish("packs/p/state", contents[0])
    seen: set[bytes] = set()

    def read_many() -> None:
        for _ in range(100):
            seen.add(lab.read("packs/p/state"))

    reader = threading.Thread(target=read_many)
    reader.start()
    for content in contents:
        lab.publish("packs/p/state", content)
    reader.join()
    assert seen <= set(contents)


def test_a_lab_can_be_given_as_a_uri(tmp_path: Path) -> None:
    Lab(tmp_path / "lab").publish("models/m/x", b"1")
    assert Lab((tmp_path / "lab").as_uri()).read("models/m/x") == b"1"


def test_a_lab_is_the_same_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = Lab("lab")
    here.publish("models/m/x", b"1")
    monkeypatch.chdir("/")
    assert Lab(here.address).read("models/m/x") == b"1"


def test_what_is_not_there_is_named(lab: Lab) -> None:
    with pytest.raises(LabError, match="bridges/none.safetensors"):
        lab.read("bridges/none.safetensors")


def test_removing_what_is_not_there_does_nothing(lab: Lab) -> None:
    lab.remove("bridges/none.safetensors")
    assert not lab.exists("bridges")


def test_an_unknown_scheme_is_one_line() -> None:
    with pytest.raises(LabError, match="gopher") as error:
        Lab("gopher://somewhere/lab")
    assert "\n" not in str(error.value)


def test_a_lab_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LabError):
        Lab(tmp_path / "file").check_writable()


def test_the_writability_probe_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    lab.check_writable()
    assert not [path for path in (tmp_path / "lab").rglob("*") if path.is_file()]


def test_to_look_whether_a_lab_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    Lab(tmp_path / "new").check_writable()
    assert not list(tmp_path.iterdir())
    old = Lab(tmp_path / "old")
    old.publish("reports/x.html", b"x")
    old.check_writable()
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["reports"]
