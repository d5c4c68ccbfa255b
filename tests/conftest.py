"""What tests share: trials of the plane, which need no training below the bridge, and where to run them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import buckets
import hosts
import pytest
import sweeps
import torch

from bridgelab import encoding
from bridgelab.base_models import Identity
from bridgelab.bridge.pack import Member
from bridgelab.config import Side
from bridgelab.domains import Samples, Split, get_domain
from bridgelab.keys import with_keys
from bridgelab.lab import Lab
from bridgelab.latents import Latents
from bridgelab.specs import TrialSpec
from bridgelab.study import Selection, resolve
from bridgelab.trial import Surroundings

MakeTrial = Callable[..., TrialSpec]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What a test needs from outside: a folder of real data that BRIDGELAB_DATA names, Chromium, hosts, a GPU."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    there = {"data": "BRIDGELAB_DATA" in os.environ, "browser": chromium is not None, "cluster": not hosts.lacking()}
    there["gpu"] = torch.cuda.is_available()
    without = [item for item in items if any(item.get_closest_marker(name) and not there[name] for name in there)]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """What a test runs on: a CPU, and a GPU too where there is one."""
    return str(request.param)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "lab")


@pytest.fixture(scope="session")
def make_trial() -> MakeTrial:
    """A trial of the plane in the smoke preset: make_trial(replicate, **{"bridge.beta_swd": 0})."""
    template = resolve("component_ablation", Selection(pair="plane-plane", preset="smoke", n_replicates=16))
    members = {m.replicate: m.trial for m in template.members if m.arm.name == "full"}

    def make(replicate: int = 0, **values: Any) -> TrialSpec:
        trial = members[replicate]
        fields = {name: getattr(trial, name) for name in trial.__dataclass_fields__}
        return TrialSpec(**fields | {"settings": with_keys(trial.settings, values)})

    return make


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which nothing disturbed a sweep: what every other one is compared with."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert sweeps.finish(sweeps.start(folder))["run"] == sweeps.N_TRIALS
    return folder


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that can serve a bucket."""
    return buckets.python_with_swift(tmp_path_factory.mktemp("swift"))


class InMemory:
    """A Source over the plane: its latents are its samples."""

    def __init__(self, splits: Mapping[Side, Mapping[Split, Samples]]) -> None:
        self.splits = splits

    def latents(self, latents_id: str) -> Mapping[Split, Latents]:
        side = next(s for s in self.splits if latents_id == _plane_latents_id(s))
        return {split: encoding.encode(Identity(), part) for split, part in self.splits[side].items()}

    def samples(self, domain: str, side: Side) -> Mapping[Split, Samples]:
        return self.splits[side]


def _plane_latents_id(side: Side) -> str:
    trial = resolve("label_efficiency", Selection(pair="plane-plane", preset="smoke")).members[0].trial
    return (trial.base_a if side == "a" else trial.base_b).latents_id


@pytest.fixture(scope="session")
def plane() -> Mapping[Side, Mapping[Split, Samples]]:
    domain = get_domain("plane")
    return {"a": domain.load("a"), "b": domain.load("b")}


@pytest.fixture
def around(lab: Lab, plane: Mapping[Side, Mapping[Split, Samples]]) -> Surroundings:
    """What surrounds bridges of the plane."""
    return Surroundings(lab, InMemory(plane))


@pytest.fixture(scope="session")
def make_member(plane: Mapping[Side, Mapping[Split, Samples]]) -> Callable[[TrialSpec], Member]:
    """A trial of the plane as a member of a pack."""
    a, b = (encoding.encode(Identity(), plane[side]["train"]) for side in ("a", "b"))
    return lambda trial: Member(trial, a, b, n_classes=2)
