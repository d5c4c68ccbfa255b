"""What can be configured of a WaveGAN, and of how its latents are drawn."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from .errors import InvalidValueError
from .values import CHECKED, Count, Positive, Weight


@validated(frozen=True, kw_only=True, config=CHECKED)
class WaveGANConfig:
    """A WaveGAN over raw waveforms, trained by Wasserstein distance with gradient penalty; the defaults are published.

    Its prior is N(0, I), as that of the model that the paper bridges.
    """

    latent_dim: Count = 100
    n_filters: Count = 64
    "channels next to the clip; each layer further in has twice as many"
    n_layers: Annotated[int, Field(ge=1, le=7, strict=True)] = 5
    "each makes a signal four times as long: 5 for 16,384 samples"
    phase_shuffle: Annotated[int, Field(ge=0, le=8, strict=True)] = 2
    "by up to so many steps the critic's layers are moved"
    n_critic: Annotated[int, Field(ge=1, le=64, strict=True)] = 5
    "steps of the critic before each of the generator"
    penalty: Weight = 10.0
    "on the distance of the critic's slope from 1"
    learning_rate: Positive = 1e-4
    batch_size: Count = 64
    n_steps: Count = 200_000
    "of the generator"
    n_scored: Count = 5_000
    "clips that the inception score is taken of while it trains"
    imported: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{20}$")] | None = field(
        default=None, metadata={"neutral": None}
    )
    "of the weights of a generator that was trained elsewhere; None: it is trained here"

    @property
    def told(self) -> dict[str, Any]:
        """What is known of a generator that was imported: which one, and its sizes."""
        return {name: getattr(self, name) for name in ("latent_dim", "n_filters", "n_layers", "imported")}

    @property
    def as_imported(self) -> WaveGANConfig:
        """What says which imported generator it is: nothing of a training."""
        return WaveGANConfig(**self.told)


@validated(frozen=True, kw_only=True, config=CHECKED)
class RejectionConfig:
    """How latents of a base model that cannot encode are drawn: from its prior, kept by the judge's confidence."""

    rule: Literal["top_k", "threshold", "likeliest"] = "top_k"
    "top_k: of each class the most confident, once it was drawn often enough. threshold: those that come first and are "
    "as confident as real samples. likeliest: of so many draws those in which the judge sees most of a class, be its "
    "first choice another: for tests with a GAN that has not learned all classes, whose labels mean little"
    n_per_class: Annotated[int, Field(ge=5, le=1_000_000, strict=True)] = 1_700
    "latents that are kept"
    n_drawn_per_class: Count = 7_000
    "of top_k: so often every class is drawn before the best are kept; of likeliest: on average"
    real_share: Annotated[float, Field(gt=0, lt=1, strict=True)] = 0.5
    "of threshold: the share of real validation samples that would pass, which makes the threshold fit the judge"
    most_draws: Annotated[int, Field(ge=1, le=100_000_000, strict=True)] = 2_000_000
    "after which it is an error that some class is still too rare"

    def __post_init__(self) -> None:
        if self.rule != "threshold" and self.n_drawn_per_class < self.n_per_class:
            raise InvalidValueError(
                f"rejection.n_per_class={self.n_per_class}: of each class only {self.n_drawn_per_class} are drawn; "
                "give rejection.n_drawn_per_class at least as many"
            )

    @property
    def split_sizes(self) -> dict[Literal["train", "validation", "test"], int]:
        """Of each class: an eighth for validation and one for the test, the rest to train on."""
        eighth = max(2, round(self.n_per_class / 8))
        return {"train": self.n_per_class - 2 * eighth, "validation": eighth, "test": eighth}
