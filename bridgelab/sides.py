"""What stands on a side of a study: its base model and its judge before they are trained, and how many latents."""

from __future__ import annotations

from dataclasses import replace

from .config import Settings, Side, VAEConfig
from .domains import Domain
from .errors import InvalidValueError
from .specs import Drawn, ModelSpec
from .wavegan_config import WaveGANConfig

BaseConfig = VAEConfig | WaveGANConfig


def base_model(domain: Domain, side: Side, settings: Settings, seed: int) -> ModelSpec:
    """The base model of a side; what is not trained has no seed."""
    config, data_id = base_config(settings, side), domain.data_id(side)
    if domain.own_base is not None:
        data_id = f"{data_id}/base-{domain.source_sha256}"
        return ModelSpec(kind="own", domain=domain.name, data_id=data_id, config=None, seed=0)
    if config is None:
        return ModelSpec(kind="identity", domain=domain.name, data_id=data_id, config=None, seed=0)
    if isinstance(config, VAEConfig):
        return ModelSpec(kind="vae", domain=domain.name, data_id=data_id, config=config, seed=seed)
    drawn = Drawn(judge_id=judge(domain, side, settings).model_id, rejection=settings.rejection)
    if config.imported is not None:
        config, seed = config.as_imported, 0  # whichever replicate it is in, it is this one
    return ModelSpec(kind="wavegan", domain=domain.name, data_id=data_id, config=config, seed=seed, drawn=drawn)


def base_config(settings: Settings, side: Side) -> VAEConfig | WaveGANConfig | None:
    return settings.vae_a or settings.wavegan_a if side == "a" else settings.vae_b or settings.wavegan_b


def judge(domain: Domain, side: Side, settings: Settings) -> ModelSpec:
    """The judge of a side: one a domain, trained once."""
    config = settings.judge_a if side == "a" else settings.judge_b
    kind = "rule" if config is None else "classifier"
    return ModelSpec(kind=kind, domain=domain.name, data_id=domain.data_id(side), config=config, seed=0)  # type: ignore[arg-type]


def of_one_width(a: BaseConfig | None, b: BaseConfig | None) -> tuple[BaseConfig | None, BaseConfig | None]:
    """A bridge joins latents of one width: of two base models the narrower one is made as wide as the other."""
    if a is None or b is None:
        return a, b
    width = max(a.latent_dim, b.latent_dim)
    return replace(a, latent_dim=width), replace(b, latent_dim=width)


def check_widths(pair: tuple[Domain, Domain], settings: Settings) -> None:
    """Raises InvalidValueError where the latents of the two sides are not of one width."""
    a, b = pair
    bases = base_config(settings, "a"), base_config(settings, "b")
    widths = [
        domain.latent_dim or domain.sample_shape[0] if base is None else base.latent_dim
        for domain, base in zip(pair, bases, strict=True)
    ]
    if widths[0] != widths[1]:
        raise InvalidValueError(
            f"{a.name} has {widths[0]} latent dimensions and "
            f"{b.name} has {widths[1]}; {' '.join(_keys_of_widths(bases))} makes them equal"
        )


def _keys_of_widths(bases: tuple[BaseConfig | None, BaseConfig | None]) -> list[str]:
    names = {VAEConfig: "vae", WaveGANConfig: "wavegan"}
    return [f"--set {names[kind]}.latent_dim=N" for kind in dict.fromkeys(type(b) for b in bases if b is not None)]


def n_train_of(domain: Domain, side: Side, settings: Settings) -> int:
    """Latents to train on: one for each training sample, or as many as are drawn."""
    if isinstance(base_config(settings, side), WaveGANConfig):
        return settings.rejection.split_sizes["train"] * len(domain.class_names)
    return domain.split_sizes["train"]


def n_labelled_of(domain: Domain, side: Side, settings: Settings) -> int:
    """How many of them have a label."""
    return n_train_of(domain, side, settings) if domain.n_labelled is None else domain.n_labelled
