"""Recordings of one data set in the layout of another."""

import hashlib
from pathlib import Path

import soundfile
import torch
import torchaudio

from bridgelab.domains.speech import WORDS

TESTED, HELD_OUT = range(5), range(5, 10)


def as_sc09(recordings: Path, folder: Path, most_of_a_speaker: int = 50) -> None:
    """FSDD's recordings as SC09 has its clips: 16 kHz, a folder a word, the speaker in the name, and its two lists."""
    lists: dict[str, list[str]] = {"validation_list.txt": [], "testing_list.txt": []}
    for path in sorted(recordings.glob("*.wav")):
        digit, speaker, index = path.stem.split("_")
        if int(index) >= most_of_a_speaker:
            continue
        clip, rate = soundfile.read(path, dtype="float32")
        name = f"{WORDS[int(digit)]}/{hashlib.sha256(speaker.encode()).hexdigest()[:8]}_nohash_{index}.wav"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        resampled = torchaudio.functional.resample(torch.from_numpy(clip), rate, 16_000)
        soundfile.write(folder / name, resampled.numpy(), 16_000, subtype="PCM_16")
        if int(index) in TESTED:
            lists["testing_list.txt"].append(name)
        elif int(index) in HELD_OUT:
            lists["validation_list.txt"].append(name)
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n")
