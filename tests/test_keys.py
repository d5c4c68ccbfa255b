"""Dotted keys: typed, and helpful when they are wrong."""

import pytest

from bridgelab.config import Settings, VAEConfig
from bridgelab.errors import InvalidValueError, UnknownNameError
from bridgelab.keys import KEYS, parse_assignment, value_of, with_keys
from bridgelab.wavegan_config import WaveGANConfig


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("bridge.beta_swd=0.5", "bridge.beta_swd", 0.5),
        ("n_labels=100", "n_labels", 100),
        ("n_labels=all", "n_labels", "all"),
        ("bridge.conditional=false", "bridge.conditional", False),
        ("bridge.conditional=False", "bridge.conditional", False),
        ("bridge.heads=linear", "bridge.heads", "linear"),
    ],
)
def test_an_assignment_is_read_with_its_type(text: str, key: str, value: object) -> None:
    assert parse_assignment(text) == (key, value)
    assert value_of(with_keys(Settings(), {key: value}), key) == value


@pytest.mark.parametrize("text", ["bridge.beta_swd", "=1", "bridge.beta_swd="])
def test_an_assignment_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="KEY=VALUE"):
        parse_assignment(text)


def test_an_unknown_key_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'bridge.beta_swd'"):
        with_keys(Settings(), {"bridge.beta_sdw": 1.0})


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("bridge.beta_kl", -1, "greater than or equal to 0"),
        ("bridge.beta_kl", float("nan"), "finite"),
        ("bridge.n_steps", 1.5, "integer"),
        ("bridge.shared_dim", 0, "greater than or equal to 1"),
        ("bridge.heads", "gate", "'gated', 'linear' or 'residual'"),
        ("n_labels", "many", "'all'"),
        ("n_labels", True, "'all'"),
        ("n_labels", -5, "greater than or equal to 0"),
        ("bridge.lr_decay_from", 2, "less than or equal to 1"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range_is_named(key: str, value: object, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=key) as error:
        with_keys(Settings(), {key: value})
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_key_of_the_vae_reaches_both_sides() -> None:
    settings = Settings(vae_a=VAEConfig(), vae_b=VAEConfig(x_sigma=0.3))
    changed = with_keys(settings, {"vae.latent_dim": 12})
    assert (changed.vae_a.latent_dim, changed.vae_b.latent_dim) == (12, 12)
    assert changed.vae_b.x_sigma == 0.3


def test_a_key_of_a_model_that_the_pair_does_not_train_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="no trained vae"):
        with_keys(Settings(), {"vae.latent_dim": 12})


def test_a_key_reaches_the_side_that_has_what_it_is_of() -> None:
    settings = Settings(vae_a=VAEConfig(), wavegan_b=WaveGANConfig())
    changed = with_keys(settings, {"vae.latent_dim": 12, "wavegan.latent_dim": 12})
    assert (changed.vae_a.latent_dim, changed.vae_b, changed.wavegan_b.latent_dim) == (12, None, 12)
    assert value_of(changed, "wavegan.latent_dim") == 12


def test_every_key_can_be_set_to_what_it_is() -> None:
    settings = Settings(vae_a=VAEConfig(), wavegan_b=WaveGANConfig())
    for key in (k for k in KEYS if not k.startswith("judge.")):
        assert with_keys(settings, {key: value_of(settings, key)}) == settings
