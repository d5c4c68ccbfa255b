"""A base model of the user's own: from a domain file to a trial, in worker processes too."""

import json
import math
from pathlib import Path

import pytest
import sweeps
import torch

from bridgelab import encoding, latents
from bridgelab.base_models import checkpoint
from bridgelab.domains import get_domain, get_pair
from bridgelab.errors import ModelError, UserFileError
from bridgelab.lab import Lab
from bridgelab.results import Results
from bridgelab.study import Selection, resolve

HALVES = '''"""Digits whose latents are the sums of eight rows, and whose pictures are rows of equal pixels."""
from dataclasses import replace

from bridgelab.domains import get_domain


class Rows:
    def encode(self, x_BX):
        z_BD = x_BX.reshape(-1, 8, 8).sum(2)
        return z_BD, 0.1 + 0 * z_BD

    def decode(self, z_BD):
        return (z_BD / 8).repeat_interleave(8, dim=1)


def domain():
    return replace(get_domain("digits"), name="rows", own_base=Rows, latent_dim=8)
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "rows.py").write_text(HALVES)
    return tmp_path / "rows.py"


def trial(file: Path):
    return resolve("transfer_pairs", Selection(pair=f"{file}-digits", preset="smoke")).members[0].trial


def test_its_latents_are_what_it_encodes(lab: Lab, file: Path) -> None:
    spec = trial(file).base_a
    domain = get_domain("rows")
    samples = domain.load("a")
    encoding.make(lab, spec, checkpoint.load_base_model(lab, spec, domain), samples)
    found = latents.read(lab, spec.latents_id)["test"]
    assert found.mu == pytest.approx(samples["test"].x.reshape(-1, 8, 8).sum(2), abs=1e-6)
    assert found.sigma == pytest.approx(0.1)


def test_its_source_is_part_of_every_id_and_no_other_side_changes(file: Path) -> None:
    before = trial(file)
    assert (before.base_a.kind, before.settings.vae_a) == ("own", None)
    file.write_text(HALVES + "# changed\n")
    after = trial(file)
    assert before.base_a.model_id != after.base_a.model_id
    assert before.trial_id != after.trial_id
    assert before.base_b.model_id == after.base_b.model_id


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return z_BD, 0.1 + 0 * z_BD", "return z_BD", r"encode of rows returned Tensor; return \(mean, deviation\)"),
        ("(z_BD / 8).repeat", "z_BD[:, :2].repeat", r"decode of rows returned a tensor \(3, 16\); .* \(3, 64\)"),
        ("sum(2)", "sum(1).sum(1)", r"encode of rows returned a tensor \(3,\); return a tensor \(3, 8\)"),
        ("def decode", "def paint", "own_base of rows has no method decode"),
    ],
)
def test_what_does_not_keep_to_its_shapes_is_one_line(lab: Lab, file: Path, old: str, new: str, said: str) -> None:
    file.write_text(HALVES.replace(old, new))
    spec = trial(file).base_a
    with pytest.raises(ModelError, match=said):  # noqa: PT012
        model = checkpoint.load_base_model(lab, spec, get_domain("rows"))
        model.encode(torch.zeros(3, 64))
        model.decode(torch.zeros(3, 8))


def test_how_wide_its_latents_are_has_to_be_said(file: Path) -> None:
    file.write_text(HALVES.replace(", latent_dim=8", ""))
    with pytest.raises(UserFileError, match=r"rows.py: own_base needs latent_dim"):
        get_pair(f"{file}-digits")


@pytest.mark.ray
@pytest.mark.slow
def test_a_pair_with_it_is_swept(file: Path) -> None:
    words = ("sweep", "transfer_pairs", "--pair", f"{file}-digits", "--preset", "smoke", "--seeds", "1", "--json")
    assert json.loads(sweeps.finished(file.parent, *words))["run"] == 1
    values = {r["metric"]: r["value"] for r in Results(Lab(file.parent / "lab")).read("metrics").to_pylist()}
    assert 0 < values["base_reconstruction_accuracy_a"] < 1
    assert math.isfinite(values["transfer_accuracy_ab"])
