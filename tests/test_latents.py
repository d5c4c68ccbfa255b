"""Latents: of every sample of every split, to the same bits however many there are."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from bridgelab import encoding, latents
from bridgelab.base_models import Identity, checkpoint
from bridgelab.base_models.shift import places
from bridgelab.base_models.vae import VAE
from bridgelab.config import STAGE_VERSIONS, UNLABELLED, VAEConfig
from bridgelab.domains import SPLITS, Samples, get_domain
from bridgelab.errors import LabError
from bridgelab.lab import Lab
from bridgelab.specs import ModelSpec

SPEC = ModelSpec(kind="vae", domain="digits", data_id="x", config=VAEConfig(), seed=0)


@pytest.fixture
def model() -> VAE:
    torch.manual_seed(0)
    return VAE(64, VAEConfig(hidden_dim=48, n_layers=2, latent_dim=6)).eval()


def samples(n: int) -> Samples:
    rng = np.random.default_rng(0)
    return Samples(rng.random((n, 64), dtype=np.float32), rng.integers(10, size=n))


def test_a_row_does_not_depend_on_how_many_rows_there_are(model: VAE) -> None:
    many = encoding.encode(model, samples(1100))
    for n in (1, 2, 511, 512, 513):
        some = samples(1100)
        few = encoding.encode(model, Samples(some.x[:n], some.labels[:n]))
        assert np.array_equal(few.mu, many.mu[:n])
        assert np.array_equal(few.sigma, many.sigma[:n])


def test_latents_are_read_as_they_were_written(lab: Lab, model: VAE) -> None:
    splits = {split: encoding.encode(model, samples(n)) for split, n in zip(SPLITS, (40, 20, 30), strict=True)}
    latents.write(lab, "an-id", splits)
    found = latents.read(lab, "an-id")
    for split in SPLITS:
        assert np.array_equal(found[split].mu, splits[split].mu)
        assert np.array_equal(found[split].sigma, splits[split].sigma)
        assert np.array_equal(found[split].labels, splits[split].labels)


def test_a_sample_without_a_label_has_none_in_the_file_and_stays_without(lab: Lab, model: VAE) -> None:
    part = samples(30)
    part.labels[::3] = UNLABELLED
    latents.write(lab, "an-id", dict.fromkeys(SPLITS, encoding.encode(model, part)))
    assert np.array_equal(latents.read(lab, "an-id")["train"].labels, part.labels)
    with lab.open("latents/an-id/train.parquet") as file:
        assert pq.read_table(file)["label"].null_count == 10


def test_latents_that_are_there_are_not_made_again(lab: Lab, model: VAE) -> None:
    parts = {split: samples(10) for split in SPLITS}
    encoding.make(lab, SPEC, model, parts)
    encoding.make(lab, SPEC, None, parts)  # type: ignore[arg-type]
    assert len(latents.read(lab, SPEC.latents_id)["train"]) == 10


def test_a_model_of_moved_images_has_its_training_images_encoded_in_every_place(lab: Lab, model: VAE) -> None:
    moved = replace(SPEC, config=VAEConfig(shift=1))
    parts = {split: samples(10) for split in SPLITS}
    encoding.make(lab, moved, model, parts)
    found = latents.read(lab, moved.latents_id)
    assert {split: part.n_places for split, part in found.items()} == {"train": 5, "validation": 1, "test": 1}
    one_lower = np.roll(samples(10).x.reshape(10, 8, 8), -1, axis=1)
    one_lower[:, -1] = 0
    expected = encoding.encode(model, Samples(one_lower.reshape(10, 64), samples(10).labels))
    rows = found["train"].rows_of(np.array([3]))
    assert found["train"].items[rows].tolist() == [3] * 5
    assert set(found["train"].labels[rows]) == {samples(10).labels[3]}
    place = places(1).index((1, 0))
    assert np.array_equal(found["train"].mu[rows[place]], expected.mu[3])
    assert moved.latents_id != SPEC.latents_id


def test_damaged_latents_are_named(lab: Lab) -> None:
    lab.publish_folder("latents/an-id", {f"{split}.parquet": b"damaged" for split in SPLITS})
    with pytest.raises(LabError, match=r"latents/an-id/train\.parquet does not hold latents"):
        latents.read(lab, "an-id")


def test_the_identity_has_no_deviation() -> None:
    found = encoding.encode(Identity(), samples(5))
    assert np.array_equal(found.mu, samples(5).x)
    assert not found.sigma.any()


GOLDEN = {1: [0.0348039, 0.10062, 0.777679, 0.707885]}
"""Of each version of the stage: the posterior of one sample under an untrained model."""


def test_the_latents_stage_gives_its_golden_numbers() -> None:
    spec = ModelSpec(kind="vae", domain="digits", data_id="x", config=VAEConfig(hidden_dim=16, latent_dim=2), seed=0)
    ramp = Samples(np.linspace(0, 1, 64, dtype=np.float32)[None], np.zeros(1, np.int64))
    found = encoding.encode(checkpoint.build(spec, get_domain("digits")), ramp)
    assert [*found.mu[0], *found.sigma[0]] == pytest.approx(GOLDEN[STAGE_VERSIONS["latents"]], rel=1e-4)
