"""Files across a trained bridge, by its trial's id. The models are untrained: what is tested is the way."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from typer.testing import CliRunner
from untrained import BRIDGE, VAE, published

from bridgelab.base_models import checkpoint
from bridgelab.bridge.model import BridgingVAE
from bridgelab.cli import app
from bridgelab.domains import get_domain
from bridgelab.errors import DataError, InvalidValueError, LabError
from bridgelab.lab import Lab
from bridgelab.passage import interpolate, open_passage, transfer
from bridgelab.specs import trial_of


@pytest.fixture
def images(lab: Lab) -> str:
    return published(lab, "mnist", "fashion_mnist").trial_id


@pytest.fixture
def spoken(lab: Lab) -> str:
    return published(lab, "mnist", "fsdd").trial_id


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.zeros((28, 28), np.uint8)
    pixels[6:22, 12:16] = 220
    Image.fromarray(pixels).save(tmp_path / "one.png")
    return tmp_path / "one.png"


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "hello.wav", 0.3 * np.sin(np.arange(4000) / 4), 8000)
    return tmp_path / "hello.wav"


def test_a_trial_comes_back_from_its_json(lab: Lab) -> None:
    import json

    from bridgelab.config import canonical_json

    trial = published(lab, "mnist", "fsdd")
    assert trial_of(json.loads(canonical_json(trial))) == trial


def test_what_comes_out_is_what_the_reference_bridge_sends(lab: Lab, images: str) -> None:
    trial, passage = published(lab, "mnist", "fashion_mnist"), open_passage(images, lab)
    reference = BridgingVAE(VAE.latent_dim, 10, BRIDGE)
    checkpoint.initialise(reference, "bridge", 0)
    a, b = (checkpoint.load(lab, base, get_domain(base.domain)) for base in (trial.base_a, trial.base_b))
    x = np.random.default_rng(0).random((3, 784), np.float32)
    with torch.inference_mode():
        shared = reference.encode(a.encode(torch.from_numpy(x))[0], "a")[0]
        expected = b.decode(reference.decode(shared, "b")).numpy()
    assert np.allclose(passage.transfer(x, "a"), expected, atol=1e-5)


def test_a_picture_becomes_a_picture(lab: Lab, images: str, picture: Path, tmp_path: Path) -> None:
    (sent,) = transfer(images, picture, tmp_path / "new" / "out", lab=lab, scale=2)
    assert sent.target == tmp_path / "new" / "out.png"
    assert sent.source_class in get_domain("mnist").class_names
    assert sent.target_class in get_domain("fashion_mnist").class_names
    with Image.open(sent.target) as image:
        assert image.size == (56, 56)


def test_a_picture_becomes_a_sound_and_a_sound_a_picture(
    lab: Lab, spoken: str, picture: Path, sound: Path, tmp_path: Path
) -> None:
    transfer(spoken, picture, tmp_path / "said.wav", lab=lab)
    clip, rate = soundfile.read(tmp_path / "said.wav")
    assert (rate, clip.ndim) == (8000, 1)
    transfer(spoken, sound, tmp_path / "seen.png", lab=lab)
    assert (tmp_path / "seen.png").stat().st_size > 100


def test_nothing_of_a_gan_is_sent_but_everything_to_it(lab: Lab, picture: Path, sound: Path, tmp_path: Path) -> None:
    trial_id = published(lab, "mnist", "fsdd_wave").trial_id
    transfer(trial_id, picture, tmp_path / "said.wav", lab=lab)
    clip, rate = soundfile.read(tmp_path / "said.wav")
    assert (rate, len(clip)) == (4000, 4096)
    with pytest.raises(InvalidValueError, match="the base model of fsdd_wave is a GAN: .* encodes none"):
        transfer(trial_id, sound, tmp_path / "seen.png", lab=lab)
    assert not (tmp_path / "seen.png").exists()
    rows = interpolate(trial_id, (picture, picture), tmp_path / "rows.png", lab=lab, n_steps=3)
    assert set(rows) == {"source", "target", "transferred"}


def test_a_folder_becomes_a_folder(lab: Lab, images: str, picture: Path, tmp_path: Path) -> None:
    (picture.parent / "two.png").write_bytes(picture.read_bytes())
    (picture.parent / "notes.txt").write_text("not a picture")
    sent = transfer(images, picture.parent, tmp_path / "out", lab=lab)
    assert [one.target.name for one in sent] == ["one.png", "two.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one.png", "two.png"]


def test_the_three_rows_of_an_interpolation_share_their_ends(lab: Lab, images: str) -> None:
    passage, ends = open_passage(images, lab), np.random.default_rng(1).random((2, 784), np.float32)
    source, target, transferred = passage.interpolate(ends, "a", 5)
    assert source.shape == target.shape == transferred.shape == (5, 784)
    assert np.allclose(target[[0, -1]], transferred[[0, -1]], atol=1e-6)
    assert not np.allclose(target[2], transferred[2], atol=1e-6)


def test_an_interpolation_of_sounds_can_be_heard(lab: Lab, spoken: str, picture: Path, tmp_path: Path) -> None:
    rows = interpolate(spoken, (picture, picture), tmp_path / "rows.png", lab=lab, n_steps=3)
    assert [len(classes) for classes in rows.values()] == [3, 3, 3]
    assert len(list(tmp_path.glob("rows-transferred-*.wav"))) == 3
    assert not list(tmp_path.glob("rows-source-*.wav"))


def test_the_commands_say_what_the_judges_see(lab: Lab, images: str, picture: Path, tmp_path: Path) -> None:
    words = ["transfer", images, str(picture), "-o", str(tmp_path / "x.png"), "--lab", lab.location]
    shown = CliRunner().invoke(app, words, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "->" in shown.output
    words = ["interpolate", images, str(picture), str(picture), "-o", str(tmp_path / "x.png"), "--lab", lab.location]
    assert "transferred" in CliRunner().invoke(app, words, catch_exceptions=False).output


@pytest.mark.parametrize(
    ("source", "output", "error", "said"),
    [
        ("none.png", "x.png", DataError, "none.png is missing"),
        ("one.png", "x.wav", InvalidValueError, "what comes out is of fashion_mnist"),
        ("empty.png", "x.png", DataError, "empty.png is empty"),
        ("hello.wav", "x.png", InvalidValueError, "mnist wants a picture"),
        (".", "one.png", InvalidValueError, "is a folder and needs one"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    lab: Lab, images: str, picture: Path, sound: Path, tmp_path: Path, source, output, error, said
) -> None:
    (tmp_path / "empty.png").touch()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(error, match=said):
        transfer(images, tmp_path / source, tmp_path / output, lab=lab)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_trial_that_the_lab_does_not_have_is_named(lab: Lab, images: str, picture: Path, tmp_path: Path) -> None:
    for wanted in ("0" * 20, "../models/x"):
        with pytest.raises(LabError, match=f"no bridge of a trial '{wanted}'"):
            transfer(wanted, picture, tmp_path / "x.png", lab=lab)


def test_a_bridge_under_another_name_is_refused(lab: Lab, images: str, picture: Path, tmp_path: Path) -> None:
    lab.publish(f"bridges/{'0' * 20}.safetensors", lab.read(f"bridges/{images}.safetensors"))
    with pytest.raises(LabError, match="does not say which trial it is of"):
        transfer("0" * 20, picture, tmp_path / "x.png", lab=lab)
