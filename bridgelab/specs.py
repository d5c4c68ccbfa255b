"""What is made, as values before it is made: models, trials, packs of them; and their ids.

Imports neither torch nor ray.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from .config import NUMERICS, PIXEL_SYSTEMS, ClassifierConfig, Settings, Side, VAEConfig, canonical, content_id
from .wavegan_config import RejectionConfig, WaveGANConfig

Config = VAEConfig | WaveGANConfig | ClassifierConfig
"""Of a model that is trained."""


def model_id_of(spec: Mapping[str, Any]) -> str:
    """Of a model as JSON values. How latents are drawn has no part in how it is trained."""
    trained = {name: value for name, value in spec.items() if name != "drawn"}
    return content_id("base_model", {**trained, "numerics": NUMERICS})


def latents_id_of(spec: Mapping[str, Any]) -> str:
    """Of a base model as JSON values: what it makes of its data, in each of the places that it was trained to

    see them in; or what is drawn from its prior.
    """
    shift, drawn = (spec["config"] or {}).get("shift", 0), spec.get("drawn")
    how = ({"places": shift} if shift else {}) | ({"drawn": drawn} if drawn else {})
    return content_id("latents", {"model": model_id_of(spec), "data": spec["data_id"]} | how)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """How latents come about where nothing can be encoded: from the prior, chosen by a judge."""

    judge_id: str
    rejection: RejectionConfig


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A base model or a judge before it is trained."""

    kind: Literal["vae", "wavegan", "own", "classifier", "identity", "rule"]
    domain: str
    data_id: str
    "the fingerprint of the domain's data and of its splits"
    config: Config | None
    seed: int
    drawn: Drawn | None = field(default=None, metadata={"neutral": None})
    "of a base model that cannot encode"

    @cached_property
    def model_id(self) -> str:
        return model_id_of(canonical(self))

    @cached_property
    def latents_id(self) -> str:
        return latents_id_of(canonical(self))

    @property
    def shift(self) -> int:
        """By how many pixels the images are moved that it is trained on."""
        return self.config.shift if isinstance(self.config, (VAEConfig, ClassifierConfig)) else 0

    @property
    def is_trained(self) -> bool:
        """Whether it is trained, or imported, into the lab; else it is there without."""
        return self.config is not None

    @property
    def as_trained(self) -> ModelSpec:
        """The model by itself, however latents are drawn from it."""
        return replace(self, drawn=None)


SHARED_IN_A_PACK = (
    "n_layers",
    "hidden_dim",
    "shared_dim",
    "batch_size",
    "labelled_batch_size",
    "n_projections",
    "n_steps",
    "labelled_batch",
    "swd",
    "classifier",
    "precision",
    "batch_norm",
)
"""The settings of a bridge that all members of a pack have in common; every other may differ."""


def shape_of(spec: Mapping[str, Any]) -> str:
    """What trials of a pack have in common, of a trial as JSON values: shapes of tensors and forms of losses."""
    base = spec["settings"]["vae_a"] or spec["settings"].get("wavegan_a")
    latent_dim = None if base is None else base["latent_dim"]
    bridge = spec["settings"]["bridge"]
    form = [bridge[name] for name in SHARED_IN_A_PACK if name in bridge]
    system = spec["settings"].get("system", "bridge")
    form = form if system == "bridge" else [system, spec["settings"].get("pixels")]
    return json.dumps([spec["base_a"]["domain"], spec["base_b"]["domain"], latent_dim, *form])


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """One bridge training: an arm's settings in one replicate."""

    settings: Settings
    base_a: ModelSpec
    base_b: ModelSpec
    judge_a: ModelSpec
    judge_b: ModelSpec
    label_seed: int
    bridge_seed: int

    @cached_property
    def trial_id(self) -> str:
        """Judges are left out: they label what a bridge made and have no part in making it."""
        s = self.settings
        content = {
            **({"bridge": s.as_json["bridge"]} if s.system == "bridge" else {"system": s.system}),
            **({"pixels": s.pixels} if s.system in PIXEL_SYSTEMS else {}),
            "labels": {"n": s.n_labels, "labelled": s.labelled, "overlap": s.overlap}
            | ({} if s.class_map is None else {"class_map": s.class_map})
            | ({"spreading": True} if s.spreads_labels else {}),
            "latents": [self.base_a.latents_id, self.base_b.latents_id],
            "seeds": {"labels": self.label_seed, "bridge": self.bridge_seed},
            "numerics": NUMERICS,
        }
        return content_id("bridge", content)

    @property
    def n_steps(self) -> int:
        """Of training; a closed form is one step."""
        s = self.settings
        return s.bridge.n_steps if s.system == "bridge" else s.pixels.n_steps if s.system in PIXEL_SYSTEMS else 1

    @cached_property
    def shape(self) -> str:
        """Trials of equal shape can be in one pack."""
        sides = {name: {"domain": base.domain} for name, base in (("base_a", self.base_a), ("base_b", self.base_b))}
        return shape_of({"settings": self.settings.as_json, **sides})

    @property
    def judge_id(self) -> str:
        """The judges of both sides; one id where they are one model."""
        ids = dict.fromkeys((self.judge_a.model_id, self.judge_b.model_id))
        return "+".join(ids)


def trial_of(values: Mapping[str, Any]) -> TrialSpec:
    """A trial from its JSON values. Raises KeyError, TypeError or ValueError for what is none."""
    models = {name: _model_of(values[name]) for name in ("base_a", "base_b", "judge_a", "judge_b")}
    settings = dict(values["settings"])
    if settings.get("class_map") is not None:
        settings["class_map"] = tuple(settings["class_map"])
    return TrialSpec(**{**values, **models, "settings": Settings(**settings)})


def _model_of(values: Mapping[str, Any]) -> ModelSpec:
    configs = {"vae": VAEConfig, "wavegan": WaveGANConfig, "classifier": ClassifierConfig}
    config, drawn = values["config"], values.get("drawn")
    made = {"config": None if config is None else configs[values["kind"]](**config)}
    if drawn is not None:
        made["drawn"] = Drawn(judge_id=drawn["judge_id"], rejection=RejectionConfig(**drawn["rejection"]))
    return ModelSpec(**{**values, **made})


@dataclass(frozen=True)
class BaseModelJob:
    """A base model that is wanted, with its latents, on a side of a pair and under its judge."""

    spec: ModelSpec
    judge: ModelSpec
    side: Side


@dataclass(frozen=True)
class Entry:
    """A trial in a pack."""

    spec: TrialSpec
    attempt: int
    trained: bool
    "whether its bridge is in the lab already and only has to be evaluated"
    fid: bool = False
    "whether FID is wanted of it"


@dataclass(frozen=True)
class Leg:
    """The steps of a bracket from one rung to the next, or to the end."""

    search_id: str
    generation: int
    rung: int
    start: int
    stop: int
    is_last: bool

    @property
    def folder(self) -> str:
        """Where the lab keeps the bracket's members between its legs."""
        return f"brackets/{self.search_id}-{self.generation}"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One configuration of a study, without seeds."""

    name: str
    varies: Mapping[str, Any]
    "every key that varies in the study, with this arm's value"
    settings: Settings

    @cached_property
    def arm_id(self) -> str:
        return content_id("arm", {"settings": self.settings})
