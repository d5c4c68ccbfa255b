"""Spoken digits from folders of clips: their splits, their pictures, and every way in which a clip can be wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridgelab.domains import Domain, get_pair
from bridgelab.domains.logmel import LogMel, Waves
from bridgelab.domains.speech import TELEPHONE, WIDE, WORDS
from bridgelab.errors import DataError


def tone(digit: int, rate: int, seconds: float = 0.3) -> np.ndarray:
    """A clip that differs from digit to digit."""
    return 0.5 * np.sin(2 * np.pi * (300 + 200 * digit) * np.arange(int(seconds * rate)) / rate)


@pytest.fixture
def fsdd(tmp_path: Path) -> Path:
    """A data folder with ten recordings of each digit by each of two speakers."""
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for digit in range(10):
        for speaker in ("theo", "yweweler"):
            for index in range(10):
                clip = tone(digit, 8000, 0.3 + 0.01 * index)
                soundfile.write(folder / f"{digit}_{speaker}_{index}.wav", clip, 8000)
    return tmp_path


@pytest.fixture
def sc09(tmp_path: Path) -> Path:
    """A data folder in the layout of Speech Commands: four clips of each digit, and a word that is none."""
    folder = tmp_path / "sc09"
    for word in (*WORDS, "marvin"):
        (folder / word).mkdir(parents=True)
        for i in range(4):
            clip = tone(WORDS.index(word) if word in WORDS else 11, 16000, 1.0)
            soundfile.write(folder / word / f"0000000{i}_nohash_0.wav", clip, 16000)
    for file, i in (("validation_list.txt", 2), ("testing_list.txt", 3)):
        (folder / file).write_text("".join(f"{word}/0000000{i}_nohash_0.wav\n" for word in (*WORDS, "marvin")))
    return tmp_path


def opened(data: Path, name: str = "fsdd") -> Domain:
    return get_pair(f"{name}-{name}", data)[0][0]


def test_the_first_five_recordings_of_each_speaker_are_the_test_split(fsdd: Path) -> None:
    domain = opened(fsdd)
    samples = domain.load("a")
    assert {split: len(part) for split, part in samples.items()} == domain.split_sizes
    assert domain.split_sizes == {"train": 90, "validation": 10, "test": 100}
    assert np.bincount(samples["validation"].labels).tolist() == [1] * 10


def test_a_speaker_can_be_held_out(fsdd: Path) -> None:
    assert opened(fsdd, "fsdd_speaker").split_sizes["test"] == 100
    assert opened(fsdd, "fsdd_speaker").data_id("a") != opened(fsdd).data_id("a")


def test_speech_commands_are_split_by_its_own_lists(sc09: Path) -> None:
    domain = opened(sc09, "sc09")
    assert domain.split_sizes == {"train": 20, "validation": 10, "test": 10}
    assert domain.load("b")["test"].x.shape == (10, 40 * 64)


def test_a_waveform_is_the_clip_at_its_rate_with_peak_1_and_silence_after_it(fsdd: Path, sc09: Path) -> None:
    spoken, commands = opened(fsdd, "fsdd_wave"), opened(sc09, "sc09_wave")
    assert (spoken.sample_shape, commands.sample_shape) == ((4096,), (16384,))
    assert spoken.image_shape is None
    x_NT = spoken.load("a")["test"].x
    assert x_NT.shape == (100, 4096)
    assert np.allclose(np.abs(x_NT).max(1), 1)
    assert not x_NT[:, int(0.4 * 4000) :].any()
    loudest = np.abs(np.fft.rfft(x_NT[0, :1024])).argmax() * 4000 / 1024
    assert loudest == pytest.approx(300 + 200 * spoken.load("a")["test"].labels[0], abs=5)
    assert spoken.data_id("a") != opened(fsdd).data_id("a")


def test_a_waveform_looks_like_its_picture(fsdd: Path) -> None:
    domain = opened(fsdd, "fsdd_wave")
    x_NT = domain.load("a")["test"].x[:2]
    assert isinstance(domain.sound, Waves)
    assert domain.picture_shape == (32, 33)
    assert np.array_equal(domain.pictures(x_NT), domain.sound.picture.of(x_NT))
    assert np.array_equal(domain.sound.clips(x_NT), x_NT)


def test_a_picture_has_its_tone_where_the_pitch_is() -> None:
    clips = np.stack([TELEPHONE.fitted(tone(digit, 8000, 0.7)) for digit in (0, 4, 9)])
    loudest = TELEPHONE.of(clips).reshape(3, *TELEPHONE.shape)[:, :, 5:30].mean(2).argmax(1)
    assert loudest[0] < loudest[1] < loudest[2]


def test_loudness_is_no_part_of_a_picture() -> None:
    clip = TELEPHONE.fitted(tone(3, 8000))[None]
    assert np.allclose(TELEPHONE.of(clip), TELEPHONE.of(clip * np.float32(0.1)), atol=1e-4)


@pytest.mark.parametrize("sound", [TELEPHONE, WIDE])
def test_the_sound_of_a_picture_has_that_picture(sound: LogMel) -> None:
    noise = 0.02 * np.random.default_rng(0).standard_normal(int(0.6 * sound.rate))
    voice = sum(tone(digit, sound.rate, 0.6) for digit in range(0, 10, 2)) * np.hanning(len(noise))
    picture = sound.of(sound.fitted(voice + noise)[None])
    clip = sound.clips(picture)
    assert clip.shape == (1, sound.n_samples)
    assert np.array_equal(clip, sound.clips(picture))  # the same each time
    assert np.corrcoef(sound.of(clip).ravel(), picture.ravel())[0, 1] > 0.8


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def at_another_rate(path: Path) -> None:
    soundfile.write(path, tone(3, 16000), 16000)


@pytest.mark.parametrize(
    ("break_", "said"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"RIFFnonsense" * 40), "is cut off|is not audio"),
        (lambda path: path.write_text("words"), "is not audio"),
        (cut_off, "is cut off"),
        (at_another_rate, "has 16,000 samples a second, not 8,000"),
        (lambda path: soundfile.write(path, np.zeros(900), 8000), "is silent"),
    ],
)
def test_a_clip_that_cannot_be_used_is_named(fsdd: Path, break_: Callable[[Path], object], said: str) -> None:
    path = fsdd / "fsdd" / "recordings" / "3_theo_7.wav"
    break_(path)
    with pytest.raises(DataError, match=rf"1 of the 200 clips .* 3_theo_7\.wav ({said}); .*skip\.txt") as raised:
        opened(fsdd).load("a")
    assert "\n" not in str(raised.value)
    (path.parent / "skip.txt").write_text("3_theo_7.wav\n")
    assert sum(map(len, opened(fsdd).load("a").values())) == 199


def test_a_clip_that_a_list_names_and_nobody_has_is_named(sc09: Path) -> None:
    (sc09 / "sc09" / "four" / "00000003_nohash_0.wav").unlink()
    with pytest.raises(DataError, match=r"four/00000003_nohash_0\.wav is missing"):
        opened(sc09, "sc09").load("a")


def test_a_skip_list_that_names_no_clip_is_refused(fsdd: Path) -> None:
    (fsdd / "fsdd" / "recordings" / "skip.txt").write_text("3_theo_77.wav\n")
    with pytest.raises(DataError, match=r"3_theo_77\.wav, which is no clip"):
        opened(fsdd)


def test_a_changed_clip_is_another_data_set(fsdd: Path) -> None:
    before = opened(fsdd).data_id("a")
    soundfile.write(fsdd / "fsdd" / "recordings" / "3_theo_7.wav", tone(4, 8000), 8000)
    assert opened(fsdd).data_id("a") != before


def test_a_folder_without_the_lists_of_speech_commands_is_refused(sc09: Path) -> None:
    (sc09 / "sc09" / "testing_list.txt").unlink()
    with pytest.raises(DataError, match=r"lacks testing_list\.txt"):
        opened(sc09, "sc09")


def test_where_there_is_no_fsdd_one_line_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no fsdd in .*; put the 3,000 recordings .* into .*fsdd/recordings"):
        opened(tmp_path)
