"""Dotted keys: how an arm, a recipe and --set name a setting, and how a typed value gets there."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pydantic

from .config import BridgeConfig, ClassifierConfig, PixelConfig, Settings, VAEConfig
from .errors import InvalidValueError, UnknownNameError
from .wavegan_config import RejectionConfig, WaveGANConfig

GROUPS: Mapping[str, tuple[type, tuple[str, ...]]] = {
    "bridge": (BridgeConfig, ("bridge",)),
    "pixels": (PixelConfig, ("pixels",)),
    "rejection": (RejectionConfig, ("rejection",)),
    "vae": (VAEConfig, ("vae_a", "vae_b")),
    "wavegan": (WaveGANConfig, ("wavegan_a", "wavegan_b")),
    "judge": (ClassifierConfig, ("judge_a", "judge_b")),
}
"""Prefix of a key -> the class that has its fields, and where in Settings it is kept."""

TOP_LEVEL = ("system", "n_labels", "labelled", "overlap", "label_spreading", "decode")

KEYS: tuple[str, ...] = TOP_LEVEL + tuple(
    f"{prefix}.{field.name}" for prefix, (cls, _) in GROUPS.items() for field in dataclasses.fields(cls)
)
"""Every key that can be set."""


def with_keys(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with the values of some keys replaced.

    Raises UnknownNameError for a key that does not exist and InvalidValueError for a value of the
    wrong type or out of range.
    """
    for key, value in values.items():
        settings = _with_key(settings, key, value)
    return settings


def value_of(settings: Settings, key: str) -> Any:
    """What a key stands at; of two base models, the value of side a; None where there is none of its kind."""
    prefix, _, name = key.rpartition(".")
    holders = [getattr(settings, place) for place in GROUPS[prefix][1]] if prefix else [settings]
    return next((getattr(holder, name) for holder in holders if holder is not None), None)


def value_in(settings: Mapping[str, Any], key: str) -> Any:
    """What a key stands at in settings as JSON values, as `value_of` says it."""
    prefix, _, name = key.rpartition(".")
    cls, places = GROUPS[prefix] if prefix else (Settings, ())
    default = next(field.default for field in dataclasses.fields(cls) if field.name == name)
    absent: dict[str, Any] | None = {} if len(places) == 1 else None  # what stands at its neutral value is left out
    holders = [settings.get(place, absent) for place in places] if prefix else [settings]
    return next((holder.get(name, default) for holder in holders if holder is not None), None)


def parse_assignment(text: str) -> tuple[str, Any]:
    """KEY=VALUE as typed on a command line; a value that is not JSON is taken as text."""
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise InvalidValueError(f"--set {text}: write KEY=VALUE, as in --set bridge.beta_swd=0.5")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, {"True": True, "False": False}.get(value, value)


def _with_key(settings: Settings, key: str, value: Any) -> Settings:
    if key not in KEYS:
        namesakes = [known for known in KEYS if known.rpartition(".")[2] == key.rpartition(".")[2]]
        raise UnknownNameError("key", key, namesakes or KEYS)
    prefix, _, name = key.rpartition(".")
    try:
        if not prefix:
            return replace(settings, **{name: value})
        replaced = {}
        for place in GROUPS[prefix][1]:
            holder = getattr(settings, place)
            if holder is not None:
                replaced[place] = replace(holder, **{name: value})
        if not replaced:
            raise InvalidValueError(f"{key}: this pair has no trained {prefix}; leave it out")
        return replace(settings, **replaced)
    except pydantic.ValidationError as error:
        raise InvalidValueError(f"{key}={_shown(value)}: {_said(error)}") from None


def _said(error: pydantic.ValidationError) -> str:
    """What is wrong with the value, without the name that the message has already."""
    reasons = [problem["msg"].removeprefix("Input ") for problem in error.errors(include_url=False)]
    return " or ".join(dict.fromkeys(reasons))


def _shown(value: Any) -> str:
    """A value as it was given; a text that looks like a number or a switch in quotes."""
    with contextlib.suppress(ValueError):
        if isinstance(value, str) and json.loads(value) is not None:
            return repr(value)
    return value if isinstance(value, str) else json.dumps(value)
