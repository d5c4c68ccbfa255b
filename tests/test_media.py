"""Files of a user's own become samples, and samples become files."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageDraw

from bridgelab import media
from bridgelab.domains import get_domain
from bridgelab.errors import DataError, InvalidValueError

MNIST, FSDD = get_domain("mnist"), get_domain("fsdd")


def drawn(path: Path, size: tuple[int, int], ink: object, paper: object, mode: str = "L") -> Path:
    image = Image.new(mode, size, paper)
    width, height = size
    box = (width * 0.4, height * 0.2, width * 0.55, height * 0.7)
    ImageDraw.Draw(image).rectangle(box, fill=ink)
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("size", "ink", "paper", "mode"),
    [
        ((300, 300), 0, 255, "L"),
        ((300, 300), 255, 0, "L"),
        ((640, 480), (20, 20, 90), (250, 250, 240), "RGB"),
        ((60, 90), (0, 0, 0, 255), (0, 0, 0, 0), "RGBA"),
    ],
)
def test_a_drawing_becomes_a_light_digit_in_the_middle(tmp_path: Path, size, ink, paper, mode) -> None:
    x = media.read_sample(drawn(tmp_path / "one.png", size, ink, paper, mode), MNIST).reshape(28, 28)
    assert x.dtype == np.float32
    assert x.max() == 1
    assert (x[:3] == 0).all()
    assert (x[:, :3] == 0).all()
    middle = (x.sum(1) @ np.arange(28) / x.sum(), x.sum(0) @ np.arange(28) / x.sum())
    assert np.allclose(middle, 13.5, atol=1)
    assert 18 <= (x.max(1) > 0).sum() <= 20  # as tall as MNIST's


def test_a_picture_of_the_domains_own_is_taken_as_it_is(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.float32) / 255
    x[0] = x[-1] = 0
    x[:, 0] = x[:, -1] = 0
    media.write_sample(tmp_path / "x.png", x.ravel(), MNIST, scale=1)
    assert np.allclose(media.read_sample(tmp_path / "x.png", MNIST), x.ravel(), atol=1 / 500)


def test_a_sample_is_drawn_larger(tmp_path: Path) -> None:
    media.write_sample(tmp_path / "x.png", np.zeros(784, np.float32), MNIST, scale=8)
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == (224, 224)


def test_a_sound_of_any_rate_is_heard_without_its_silence(tmp_path: Path) -> None:
    tones = {rate: 0.1 * np.sin(2 * np.pi * 700 * np.arange(int(0.4 * rate)) / rate) for rate in (8000, 44100)}
    soundfile.write(tmp_path / "plain.wav", tones[8000], 8000)
    silence = np.zeros(22050)
    stereo = np.stack([np.concatenate([silence, tones[44100], silence])] * 2, axis=1)
    soundfile.write(tmp_path / "late.flac", stereo, 44100)
    plain, late = (media.read_sample(tmp_path / name, FSDD) for name in ("plain.wav", "late.flac"))
    assert np.corrcoef(plain, late)[0, 1] > 0.95


def test_a_sample_of_speech_becomes_a_wav_that_plays(tmp_path: Path) -> None:
    clip = FSDD.sound.fitted(np.sin(np.arange(3000) / 3).astype(np.float32))[None]
    media.write_sample(tmp_path / "x.wav", FSDD.sound.of(clip)[0], FSDD, scale=1)
    heard, rate = soundfile.read(tmp_path / "x.wav")
    assert (rate, len(heard)) == (8000, FSDD.sound.n_samples)
    assert 0.5 < np.abs(heard).max() <= 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.png", b"", "is empty"),
        ("x.png", b"words", "is no picture that can be read"),
        ("none.png", None, "is missing"),
    ],
)
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} {said}"):
        media.read_sample(tmp_path / name, MNIST)


def test_a_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing is drawn"):
        media.read_sample(drawn(tmp_path / "x.png", (50, 50), 255, 255), MNIST)


def test_a_sound_where_a_picture_is_wanted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="mnist wants a picture"):
        media.read_sample(tmp_path / "x.wav", MNIST)
    with pytest.raises(InvalidValueError, match="fsdd; name it with one of .wav"):
        media.as_file(tmp_path / "x.png", np.zeros(1760, np.float32), FSDD, 1)
