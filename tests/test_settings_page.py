"""The tables of docs/method.md that say how large presets are, and what recipes set in a domain."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bridgelab.config import BUILT_ON, RECIPES, BridgeConfig, ClassifierConfig, Preset
from bridgelab.domains import Domain, get_domain

PAGE = (Path(__file__).parent.parent / "docs/method.md").read_text()
DOMAINS = [
    get_domain(name)
    for name in ("digits", "plane", "mnist", "fashion_mnist", "fsdd", "fsdd_speaker", "sc09", "fsdd_wave", "sc09_wave")
]
PRESETS = ("smoke", "desk", "full")
BY_DOMAIN = ("beta_kl", "beta_swd", "beta_cls", "shared_dim")


def grouped(cells: Mapping[str, str]) -> Iterator[str]:
    """Rows of a table: domains that have the same cells share one."""
    for text in dict.fromkeys(cells.values()):
        yield f"| {', '.join(f'`{name}`' for name, own in cells.items() if own == text)} | {text} |"


def sizes(preset: Preset) -> str:
    """Base model, judge, bridge and replicates of a preset, each in a cell."""
    bridge = {key.removeprefix("bridge."): value for key, value in preset.bridge.items()}
    bridge_text = f"{bridge['n_layers']}x{bridge['hidden_dim']}, {bridge['shared_dim']}, {bridge['batch_size']}"
    return " | ".join(
        [
            base_text(preset),
            "its rule" if preset.judge is None else judge_text(preset.judge),
            f"{bridge_text}, {bridge['n_steps']:,}",
            str(preset.n_replicates),
        ]
    )


def base_text(preset: Preset) -> str:
    if preset.vae is not None:
        vae = preset.vae
        return f"VAE {vae.n_layers}x{vae.hidden_dim}, {vae.latent_dim}, {vae.batch_size}, {vae.n_steps:,}"
    if preset.wavegan is not None:
        gan = preset.wavegan
        shape = f"WaveGAN {gan.n_layers} layers, {gan.n_filters} filters"
        return f"{shape}, {gan.latent_dim}, {gan.batch_size}, {gan.n_steps:,}"
    return "the identity"


def judge_text(judge: ClassifierConfig) -> str:
    shape = f"CNN {judge.hidden_dim}" if judge.kind == "cnn" else f"MLP {judge.n_layers}x{judge.hidden_dim}"
    return f"{shape}, {judge.batch_size}, {judge.n_steps:,}"


def chosen(domain: Domain, recipe: str) -> str:
    """What a recipe makes of some settings in a domain, at desk size, each in a cell."""
    layers = (domain.preset("desk").bridge, RECIPES[recipe], domain.recipes.get(recipe, {}))
    values: dict[str, Any] = {key: value for layer in layers for key, value in layer.items()}
    return " | ".join(str(values.get(f"bridge.{key}", getattr(BridgeConfig(), key))) for key in BY_DOMAIN)


@pytest.mark.parametrize("name", PRESETS)
def test_the_sizes_of_presets_are_those_of_the_code(name: str) -> None:
    for row in grouped({domain.name: sizes(domain.preset(name)) for domain in DOMAINS}):
        assert f"| `{name}` {row}" in PAGE


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name not in BUILT_ON])
def test_what_recipes_set_in_a_domain_is_what_the_code_sets(recipe: str) -> None:
    for row in grouped({domain.name: chosen(domain, recipe) for domain in DOMAINS}):
        assert f"| `{recipe}` {row}" in PAGE
