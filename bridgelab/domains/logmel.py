"""Sound as pictures: log-mel spectrograms of clips, and clips that sound like a spectrogram; and sound as it is.

Shapes: N clips, T samples of sound, M mel bands, F frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 256
"""Clips that are transformed at once."""


@dataclass(frozen=True)
class LogMel:
    """A clip's mel power in decibels below its loudest cell, from -floor_db as 0 to 0 dB as 1.

    Loudness is no part of it: a clip and the same clip at half the amplitude are one picture.
    """

    rate: int
    "samples a second"
    n_frames: int
    n_mels: int = 40
    n_fft: int = 256
    hop: int = 128
    floor_db: float = 60.0

    @property
    def n_samples(self) -> int:
        """How much of a clip is seen; a shorter one ends in silence."""
        return (self.n_frames - 1) * self.hop

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (mel bands, low ones first) and columns (frames)."""
        return self.n_mels, self.n_frames

    def fitted(self, clip_T: NDArray[Any]) -> NDArray[np.float32]:
        """A clip cut or filled with silence to n_samples."""
        fitted = np.zeros(self.n_samples, np.float32)
        kept = clip_T[: self.n_samples]
        fitted[: len(kept)] = kept
        return fitted

    def of(self, clips_NT: NDArray[np.float32]) -> NDArray[np.float32]:
        """Pictures (N, M * F) in [0, 1] of clips that are n_samples long."""
        import torch

        parts = []
        for start in range(0, len(clips_NT), CHUNK):
            power_NMF = self._mel(torch.from_numpy(clips_NT[start : start + CHUNK]))
            loudest_N11 = power_NMF.amax((1, 2), keepdim=True).clamp_min(1e-10)
            db_NMF = 10 * torch.log10((power_NMF / loudest_N11).clamp_min(1e-10))
            parts.append((1 + db_NMF / self.floor_db).clamp(0, 1).flatten(1).numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.n_mels * self.n_frames), np.float32)

    def pictures(self, x_NX: NDArray[np.float32]) -> NDArray[np.float32]:
        """What samples look like: they are pictures."""
        return x_NX

    def clips(self, x_NX: NDArray[np.float32], n_iterations: int = 64) -> NDArray[np.float32]:
        """Clips (N, T) whose pictures are like x (N, M * F): Griffin and Lim's phases, peak 0.9.

        What a picture does not hold is chosen anew, by a fixed start: the same picture, the same sound.
        """
        import torch
        from torchaudio.transforms import GriffinLim, InverseMelScale

        x_NMF = torch.from_numpy(np.ascontiguousarray(x_NX, dtype=np.float32)).reshape(-1, *self.shape)
        power_NMF = torch.pow(10.0, (x_NMF - 1) * self.floor_db / 10) * (x_NMF > 0)
        n_bins = self.n_fft // 2 + 1
        back = InverseMelScale(n_bins, self.n_mels, self.rate, norm="slaney", mel_scale="htk")
        phases = GriffinLim(self.n_fft, n_iterations, hop_length=self.hop, rand_init=False, length=self.n_samples)
        clips_NT = phases(back(power_NMF).clamp_min(0))
        peak_N1 = clips_NT.abs().amax(1, keepdim=True).clamp_min(1e-6)
        clips: NDArray[np.float32] = (0.9 * clips_NT / peak_N1).numpy()
        return clips

    @cached_property
    def _mel(self) -> Any:
        from torchaudio.transforms import MelSpectrogram

        return MelSpectrogram(
            self.rate, self.n_fft, hop_length=self.hop, n_mels=self.n_mels, norm="slaney", mel_scale="htk"
        )


@dataclass(frozen=True)
class Waves:
    """A sample is the clip itself, in [-1, 1]; it is looked at, and judged, as its log-mel picture."""

    picture: LogMel

    @property
    def rate(self) -> int:
        return self.picture.rate

    @property
    def n_samples(self) -> int:
        return self.picture.n_samples

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the picture."""
        return self.picture.shape

    def fitted(self, clip_T: NDArray[Any]) -> NDArray[np.float32]:
        """A clip cut or filled with silence to n_samples."""
        return self.picture.fitted(clip_T)

    def of(self, clips_NT: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples (N, T) of clips that are n_samples long."""
        return clips_NT

    def pictures(self, x_NT: NDArray[np.float32]) -> NDArray[np.float32]:
        """What samples look like, (N, M * F)."""
        return self.picture.of(x_NT)

    def clips(self, x_NT: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples as they sound, (N, T)."""
        return x_NT


Sound = LogMel | Waves
