"""Whether this machine can run a sweep: versions, devices, data, Ray, lab and disk, each with a cure."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .domains import get_domain
from .errors import BridgelabError
from .lab import Lab
from .planning import available_cpus

PACKAGES = ("torch", "ray", "ray.tune", "numpy", "pandas", "pyarrow", "plotly", "sklearn")
LEAST_FREE_GIB = 2.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    cure: str = ""


def doctor(*, lab: str = "./lab", data: str | None = None, address: str | None = None) -> list[Check]:
    """Looks at everything that a sweep needs. Only a probe file is written to the lab, and removed."""
    return [
        _python(),
        *(_package(name) for name in PACKAGES),
        _devices(),
        *_data(data),
        _ray(address),
        _guarded("lab", lambda: _lab(lab), "give --lab a folder that you may write to"),
        _disk(lab),
    ]


def _python() -> Check:
    return Check("python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer")


def _package(name: str) -> Check:
    def look() -> str:
        importlib.import_module(name)
        return importlib.metadata.version({"sklearn": "scikit-learn"}.get(name, name.split(".")[0]))

    return _guarded(name, look, "pip install -e . in the checkout brings the right version")


def _devices() -> Check:
    def look() -> str:
        import torch

        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return f"{available_cpus()} CPU cores; {', '.join(gpus) or 'no CUDA device'}"

    return _guarded("devices", look, "see the line on torch")


def _data(data: str | None) -> Iterator[Check]:
    def embedded() -> str:
        sizes = {split: len(part) for split, part in get_domain("digits").load("a").items()}
        return "digits: " + ", ".join(f"{split} {n}" for split, n in sizes.items())

    yield _guarded("data", embedded, "reinstall scikit-learn")
    if data is not None:
        found = Path(data).is_dir()
        folders = sorted(path.name for path in Path(data).iterdir() if path.is_dir()) if found else []
        yield Check(
            "data folder", found, f"{data}: {', '.join(folders) or 'no folder'}", "give --data a folder that exists"
        )


def _ray(address: str | None) -> Check:
    from .session import probe

    def look() -> str:
        if address is None:
            return "a local cluster is started for each sweep"
        probe(address)
        return f"something listens at {address}"

    return _guarded("ray cluster", look, "start one with `ray start --head`, or leave out --address")


def _lab(lab: str) -> str:
    Lab(lab).check_writable()
    return f"{lab} can be written and read back"


def _disk(lab: str) -> Check:
    folder = Path("." if "://" in lab else lab).resolve()
    while not folder.exists():
        folder = folder.parent
    free_gib = shutil.disk_usage(folder).free / 2**30
    return Check(
        "disk", free_gib >= LEAST_FREE_GIB, f"{free_gib:.1f} GiB free", "free some space, or give another --lab"
    )


def _guarded(name: str, look: Callable[[], str], cure: str) -> Check:
    try:
        return Check(name, True, look())
    except BridgelabError as error:
        return Check(name, False, str(error), cure)
    except Exception as error:  # a broken installation raises anything, and saying so is what this is for
        return Check(name, False, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", cure)
