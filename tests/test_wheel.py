"""The wheel is the product: it works from another folder, without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import bridgelab

pytestmark = pytest.mark.slow

ROOT = Path(bridgelab.__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, capture_output=True, check=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_three_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert tops == {"bridgelab", "analysis", "search_spaces"}
    assert "bridgelab/py.typed" in names


def test_an_installed_wheel_works_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    environment.pop("BRIDGELAB_LAB", None)

    def run(*words: str) -> str:
        command = [sys.executable, str(site / "bin/bridgelab"), *words]
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    ask = "import bridgelab as b, analysis as a, search_spaces as s\nfor m in a, b, s: print(m.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=work, env=environment, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert all(Path(path).is_relative_to(site) for path in where)
    assert "label_efficiency" in run("studies")
    assert "10 trials run" in run("sweep", "label_efficiency", "--pair", "plane-plane", "--preset", "smoke")
    assert (work / "lab/reports/label_efficiency.html").exists()
