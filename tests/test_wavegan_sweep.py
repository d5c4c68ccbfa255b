"""A WaveGAN from its training to the table: on Ray, alone and by a team, trained here and elsewhere."""

import itertools
import json
from pathlib import Path

import bundles
import numpy as np
import pytest
import safetensors.torch
import soundfile
import sweeps

import analysis
from bridgelab.domains.speech import WORDS
from bridgelab.lab import Lab
from bridgelab.results import Results

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SMALL = ("--preset", "smoke", "--data", "data", "--lab", "lab")


def tone(digit: int, rate: int, seconds: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * (300 + 100 * digit) * np.arange(int(seconds * rate)) / rate)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with clips in the layouts of both sets."""
    recordings, commands = tmp_path / "data/fsdd/recordings", tmp_path / "data/sc09"
    recordings.mkdir(parents=True)
    for digit, word in enumerate(WORDS):
        (commands / word).mkdir(parents=True)
        for i in range(12):
            soundfile.write(recordings / f"{digit}_theo_{i}.wav", tone(digit, 8000, 0.3 + 0.02 * i), 8000)
            soundfile.write(commands / word / f"{i:08x}_nohash_0.wav", tone(digit, 16000, 0.6 + 0.02 * i), 16000)
    for file, i in (("validation_list.txt", 2), ("testing_list.txt", 3)):
        (commands / file).write_text("".join(f"{word}/{i:08x}_nohash_0.wav\n" for word in WORDS))
    return tmp_path


def generator(folder: Path, lab: str, model_id: str) -> dict:
    return safetensors.torch.load_file(folder / lab / "models" / model_id / "model.safetensors")


@pytest.mark.timeout(900)
def test_digits_are_sent_to_a_wavegan_and_its_latents_to_digits(folder: Path) -> None:
    words = ("sweep", "transfer_pairs", "--pair", "digits-fsdd_wave", "--seeds", "1", *SMALL)
    told = json.loads(sweeps.finished(folder, *words, "--json"))
    assert told["run"] == 1
    lab = Lab(folder / "lab")
    values = {
        (row["metric"], row["decode"]): (row["value"], row["n_eval"])
        for row in Results(lab).read("metrics").to_pylist()
        if row["split"] == "test"
    }
    assert np.isnan(values["base_reconstruction_accuracy_b", "mean"][0])
    assert values["transfer_accuracy_ba", "mean"][1] == 20  # two latents of each class
    summary = analysis.summarize(analysis.read_run(folder / "lab", "transfer_pairs")).set_index("metric")
    assert summary.loc["base_reconstruction_accuracy_b", "n"] == 0
    assert summary.loc["base_reconstruction_accuracy_a", "n"] == 1
    assert json.loads(sweeps.finished(folder, *words, "--json"))["run"] == 0
    trial_id = lab.names("bridges")[0].removesuffix(".safetensors")
    clip = next((folder / "data/fsdd/recordings").iterdir())
    refused = sweeps.bridgelab(folder, "transfer", trial_id, str(clip), "-o", "x.png", "--lab", "lab")
    assert "fsdd_wave is a GAN: it makes samples and encodes none" in refused.communicate()[1]
    assert refused.returncode == 2


@pytest.mark.timeout(900)
def test_a_team_trains_the_generator_that_one_worker_trains(folder: Path) -> None:
    """SC09's layout, at the length of its clips."""
    words = ("pretrain", "sc09_wave", *SMALL[:4], "--json")
    (alone,) = json.loads(sweeps.finished(folder, *words, "--lab", "one"))
    (team,) = json.loads(sweeps.finished(folder, *words, "--lab", "two", "--workers", "2"))
    assert alone["model_id"] == team["model_id"]
    assert alone["metrics"]["inception_score"] >= 1
    one, two = (generator(folder, lab, alone["model_id"]) for lab in ("one", "two"))
    for name, tensor in one.items():
        assert np.allclose(tensor, two[name], atol=1e-5), name
    clip, rate = soundfile.read(folder / "one/models" / alone["model_id"] / "sample-0.wav")
    assert (rate, len(clip)) == (16000, 16384)


@pytest.mark.timeout(900)
def test_a_wavegan_that_was_trained_elsewhere_takes_the_place_of_ours(folder: Path) -> None:
    rng, channels = np.random.default_rng(0), [8, 4, 2, 1, 1]
    tensors = {"G/z_project/dense/kernel": rng.normal(size=(8, 128)), "G/z_project/dense/bias": np.zeros(128)}
    for i, (n_in, n_out) in enumerate(itertools.pairwise(channels)):
        tensors[f"G/upconv_{i}/conv2d_transpose/kernel"] = 0.2 * rng.normal(size=(1, 25, n_out, n_in))
        tensors[f"G/upconv_{i}/conv2d_transpose/bias"] = np.zeros(n_out)
    bundles.write(folder / "model.ckpt-5", {name: array.astype(np.float32) for name, array in tensors.items()})
    words = ("--import", "model.ckpt-5", *SMALL, "--json")
    (made,) = json.loads(sweeps.finished(folder, "pretrain", "fsdd_wave", *words))
    kernel = tensors["G/upconv_3/conv2d_transpose/kernel"].astype(np.float32)
    ours = generator(folder, "lab", made["model_id"])["up.3.weight"]
    assert np.array_equal(ours[0, 0], kernel[0, :, 0, 0])
    keys = [word for key, value in made["keys"].items() for word in ("--set", f"{key}={value}")]
    sweep = ("sweep", "transfer_pairs", "--pair", "digits-fsdd_wave", "--seeds", "2", "--set", "vae.latent_dim=8")
    assert json.loads(sweeps.finished(folder, *sweep, *keys, *SMALL, "--json"))["run"] == 2
    rows = Results(Lab(folder / "lab")).read("trials").to_pylist()
    assert {row["base_b"] for row in rows} == {made["model_id"]}  # the same in both replicates
    missing = sweeps.bridgelab(folder, *sweep, *keys, *SMALL[:4], "--lab", "another")
    assert "another has no imported WaveGAN sha256:" in missing.communicate()[1]
    assert missing.returncode == 2
