"""From a study to its arms and trials. Imports neither torch nor ray."""

from __future__ import annotations

import importlib
import itertools
import json
import pkgutil
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .config import (
    BUILT_ON,
    LABEL_COUNTS,
    PIXEL_SYSTEMS,
    RECIPES,
    Preset,
    Search,
    Settings,
    Study,
    Times,
    VAEConfig,
    canonical,
    content_id,
)
from .domains import Domain, get_pair
from .errors import InvalidValueError, UnknownNameError, UserFileError
from .keys import KEYS, value_of, with_keys
from .metrics import METRICS
from .replicates import MOST_REPLICATES, Crossed, Seeds, check_replicates
from .sides import base_model, check_widths, judge, n_labelled_of, of_one_width
from .specs import Arm, ModelSpec, TrialSpec
from .user_file import UserFile, read_user_file
from .wavegan_config import WaveGANConfig


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What chooses one run of a study: the options that a study's commands share."""

    pair: str | None = None
    preset: str | None = None
    "None: desk"
    recipe: str | None = None
    "None: the study's own"
    n_replicates: int | Crossed | None = None
    n_base: int | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    labels: str | None = None
    "a file of bins that take the place of the classes"

    @property
    def words(self) -> list[str]:
        """The options that say the same on a command line."""
        options = {"--pair": self.pair, "--preset": self.preset, "--recipe": self.recipe}
        options |= {"--labels": self.labels}
        options |= {"--seeds": _text(self.n_replicates), "--base-seeds": _text(self.n_base)}
        words = [word for name, value in options.items() if value is not None for word in (name, value)]
        for key, value in self.overrides.items():
            words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
        return words


def _text(number: int | Crossed | None) -> str | None:
    return None if number is None else str(number)


@dataclass(frozen=True)
class StudyMember:
    """A trial with its place in a study."""

    arm: Arm
    arm_index: int
    replicate: int
    trial: TrialSpec


@dataclass(frozen=True, kw_only=True)
class ResolvedStudy:
    """A study over one pair at one size with one recipe: everything but the seeds is decided."""

    study: Study
    given_as: str
    "the name or path that it was asked for by"
    source_sha256: str | None
    "of a user's own study file; None for ours"
    pair: tuple[Domain, Domain]
    pair_given_as: str
    "by the names, or by the paths of domains of the user's own"
    labels_given_as: str | None
    domain_files: tuple[UserFile, ...]
    "of domains of the user's own: workers make them from these"
    preset: str
    recipe: str
    overrides: Mapping[str, Any]
    base: Settings
    "what holds in every arm that does not set it otherwise"
    arms: tuple[Arm, ...]
    n_replicates: int
    n_base: int | None
    "how many pairs of base models the replicates share; None: each has its own"
    crossed: Crossed | None = None
    "the design of the replicates, where it is more than one index"
    _models: dict[ModelSpec, ModelSpec] = field(default_factory=dict, init=False, repr=False, compare=False)
    "of equal models the one that all trials share, so that its ids are worked out once"

    @property
    def pair_name(self) -> str:
        return f"{self.pair[0].name}-{self.pair[1].name}"

    @property
    def reference(self) -> str:
        """The arm that the others are compared with: the one that the study names, or the recipe, or the last one."""
        recipe = next((arm.name for arm in self.arms if arm.settings == self.base), self.arms[-1].name)
        return self.study.reference or recipe

    @property
    def measures_fid(self) -> bool:
        """Whether FID is asked for, and both judges have features that it can be taken on."""
        return self.study.fid and all(j is not None for j in (self.base.judge_a, self.base.judge_b))

    @cached_property
    def choices(self) -> dict[str, Any]:
        """What study_id is the hash of. Neither the number of replicates nor a wording is part of it."""
        return {
            "name": self.study.name,
            "source_sha256": self.source_sha256,
            "pair": self.pair_name,
            "preset": self.preset,
            "recipe": self.recipe,
            "overrides": canonical(self.overrides),
            "n_base": self.n_base,
            "arms": {arm.name: arm.arm_id for arm in self.arms},
            **({} if self.crossed is None else {"crossed": canonical(self.crossed)}),
        }

    @cached_property
    def study_id(self) -> str:
        return content_id("study", self.choices)

    @property
    def definition(self) -> dict[str, Any]:
        """The resolved study as JSON values, with all that a report says of it."""
        return {
            **self.choices,
            "study": canonical(self.study),
            "base": canonical(self.base),
            "command": self.command,
        }

    @property
    def command(self) -> str:
        """What runs it again, as one types it."""
        chosen = Selection(
            pair=self.pair_given_as,
            preset=self.preset,
            recipe=self.recipe,
            n_replicates=self.crossed or self.n_replicates,
            n_base=self.n_base,
            overrides=self.overrides,
            labels=self.labels_given_as,
        )
        return shlex.join(["bridgelab", "sweep", self.given_as, *chosen.words])

    def arms_of(self, study: Study) -> tuple[Arm, ...]:
        """The arms of another study that starts from the same settings."""
        presets = (self.pair[0].preset(self.preset), self.pair[1].preset(self.preset))
        return _arms(study, self.pair, presets, self.base, self.overrides)

    @cached_property
    def members(self) -> tuple[StudyMember, ...]:
        """Every arm in every replicate."""
        return tuple(
            StudyMember(arm, index, replicate, self.trial(arm.settings, replicate))
            for index, arm in enumerate(self.arms)
            for replicate in range(self.n_replicates)
        )

    def trial(self, settings: Settings, replicate: int, base: int | None = None) -> TrialSpec:
        """Some settings in a replicate, on its base models or on those of index `base`."""
        seeds = self.seeds(replicate)
        base = seeds.base if base is None else base
        a, b = self.pair
        # Two models of one domain are two initialisations of one architecture: 2i and 2i + 1.
        seed_a, seed_b = (2 * base, 2 * base + 1) if a.name == b.name else (base, base)
        return TrialSpec(
            settings=settings,
            base_a=self._shared(base_model(a, "a", settings, seed_a)),
            base_b=self._shared(base_model(b, "b", settings, seed_b)),
            judge_a=self._shared(judge(a, "a", settings)),
            judge_b=self._shared(judge(b, "b", settings)),
            label_seed=seeds.label,
            bridge_seed=seeds.bridge,
        )

    def _shared(self, model: ModelSpec) -> ModelSpec:
        return self._models.setdefault(model, model)

    def seeds(self, replicate: int) -> Seeds:
        """Of a replicate."""
        if self.crossed is not None:
            return self.crossed.seeds(replicate)
        return Seeds(replicate if self.n_base is None else replicate % self.n_base, replicate, replicate)


def study_names() -> list[str]:
    """The studies that come with bridgelab."""
    import search_spaces

    return sorted(module.name for module in pkgutil.iter_modules(search_spaces.__path__))


def load_study(name: str) -> tuple[Study | Search, str | None]:
    """A study or search by name, or from a Python file of the user's own with the sha256 of its source.

    The file is code and is run. Raises UnknownNameError or UserFileError.
    """
    if name.endswith(".py") or "/" in name:
        return _from_file(name)
    if name not in study_names():
        raise UnknownNameError("study", name, study_names(), "a file of your own is given as a path, ./mine.py")
    study = importlib.import_module(f"search_spaces.{name}").study()
    assert isinstance(study, (Study, Search))
    return study, None


def _from_file(path: str) -> tuple[Study | Search, str]:
    file = read_user_file(path)
    study = file.make("study", Study, Search)
    assert isinstance(study, (Study, Search))
    if study.name in study_names():
        raise UserFileError(f"{path}: '{study.name}' is the name of a study that comes with bridgelab; give it another")
    return study, file.sha256


@dataclass(frozen=True)
class Loaded:
    """A study or search with where it came from."""

    study: Study | Search
    given_as: str
    source_sha256: str | None

    @property
    def name(self) -> str:
        return self.study.name


def load(wanted: str | Study | Search | Loaded) -> Loaded:
    """A study or search, by itself, by name or by path; a file of the user's own is run once."""
    if isinstance(wanted, Loaded):
        return wanted
    if isinstance(wanted, (Study, Search)):
        return Loaded(wanted, wanted.name, None)
    study, source_sha256 = load_study(wanted)
    return Loaded(study, wanted, source_sha256)


def resolve(name: str | Study, selection: Selection | None = None, data: str | Path | None = None) -> ResolvedStudy:
    """A study, by itself, by name or by path, with every setting of every arm decided.

    `data` is the folder of data from outside.

    From weak to strong: the preset's sizes, the recipe, what the recipe sets otherwise in this pair's
    domains, the study's base, --set, the arm. Raises UnknownNameError, InvalidValueError or DataError.
    """
    loaded = load(name)
    if isinstance(loaded.study, Search):
        raise InvalidValueError(f"'{loaded.name}' is a search: it has no arms before it has run")
    return resolve_loaded(loaded, loaded.study, selection, data)


def resolve_loaded(
    loaded: Loaded, study: Study, selection: Selection | None = None, data: str | Path | None = None
) -> ResolvedStudy:
    """`resolve` for what is loaded already; of a search, a `study` of some of its arms."""
    chosen = selection or Selection()
    if study.primary_metric not in METRICS:
        raise UnknownNameError(f"metric in study '{study.name}',", study.primary_metric, METRICS)
    pair, files = get_pair(chosen.pair or study.pair, data, chosen.labels)
    preset, recipe = chosen.preset or "desk", chosen.recipe or study.recipe
    presets = (pair[0].preset(preset), pair[1].preset(preset))
    if recipe not in RECIPES:
        raise UnknownNameError("recipe", recipe, RECIPES)
    base = _base_settings(study, pair, presets, recipe, chosen.overrides)
    return ResolvedStudy(
        study=study,
        given_as=loaded.given_as,
        source_sha256=loaded.source_sha256,
        pair=pair,
        pair_given_as=chosen.pair or study.pair,
        labels_given_as=chosen.labels,
        domain_files=files,
        preset=preset,
        recipe=recipe,
        overrides={key: value_of(base, key) for key in chosen.overrides},  # 2 and 2.0 are one value
        base=base,
        arms=_arms(study, pair, presets, base, chosen.overrides),
        **_replicates(chosen, min(study.n_replicates or MOST_REPLICATES, *(p.n_replicates for p in presets))),
    )


def _demand(preset: Preset) -> tuple[int, int]:
    """Width and steps of the bridge."""
    return preset.bridge["bridge.hidden_dim"], preset.bridge["bridge.n_steps"]


def _replicates(chosen: Selection, default: int) -> dict[str, Any]:
    """The fields of a resolved study that say how many replicates it has, and how they share base models."""
    n, n_base = default if chosen.n_replicates is None else chosen.n_replicates, chosen.n_base
    if not isinstance(n, Crossed):
        n_base = None if n_base is None else check_replicates("--base-seeds", n_base)
        return {"n_replicates": check_replicates("--seeds", n), "n_base": n_base}
    if n_base is not None:
        raise InvalidValueError(f"--base-seeds {n_base}: --seeds {n} says how many base models there are; leave it out")
    return {"n_replicates": n.n, "n_base": None, "crossed": n}


def _base_settings(
    study: Study,
    pair: tuple[Domain, Domain],
    presets: tuple[Preset, Preset],
    recipe: str,
    overrides: Mapping[str, Any],
) -> Settings:
    a, b = presets
    class_map = _class_map(study, pair)
    bases = of_one_width(*(None if d.own_base else p.vae or p.wavegan for d, p in zip(pair, presets, strict=True)))
    vaes = [base if isinstance(base, VAEConfig) else None for base in bases]
    wavegans = [base if isinstance(base, WaveGANConfig) else None for base in bases]
    settings = Settings(
        class_map=class_map,
        vae_a=vaes[0],
        vae_b=vaes[1],
        wavegan_a=wavegans[0],
        wavegan_b=wavegans[1],
        judge_a=a.judge,
        judge_b=b.judge,
    )
    # A bridge between two domains is as large, and set, as the more demanding of them asks for.
    demands = sorted(zip((a, b), pair, strict=True), key=lambda d: _demand(d[0]))
    sizes = max((a, b), key=_demand).bridge
    layers = [a.rejection, b.rejection, sizes]
    for name in (BUILT_ON[recipe], recipe) if recipe in BUILT_ON else (recipe,):
        layers += [RECIPES[name], *(domain.recipes.get(name, {}) for _, domain in demands)]
    for values in (*layers, study.base, overrides):
        settings = with_keys(settings, values)
    return settings


def _class_map(study: Study, pair: tuple[Domain, Domain]) -> tuple[int, ...] | None:
    """The study's class map by place. Raises UnknownNameError, and InvalidValueError for one that is not one to one."""
    if not study.class_map:
        return None
    a, b = pair[0].class_names, pair[1].class_names
    for domain, names in ((pair[0], study.class_map), (pair[1], study.class_map.values())):
        for name in names:
            if name not in domain.class_names:
                raise UnknownNameError(f"class of {domain.name}", name, domain.class_names)
    missing = [name for name in a if name not in study.class_map]
    if missing or len(set(study.class_map.values())) < len(b):
        what = f"'{missing[0]}' has none" if missing else "two classes have the same"
        raise InvalidValueError(f"the class_map of study '{study.name}' gives each class another: {what}")
    return tuple(b.index(study.class_map[name]) for name in a)


def _arms(
    study: Study,
    pair: tuple[Domain, Domain],
    presets: tuple[Preset, Preset],
    base: Settings,
    overrides: Mapping[str, Any],
) -> tuple[Arm, ...]:
    variations = dict(study.arms) if study.arms else _grid(study, pair, base)
    varied = list(dict.fromkeys(key for values in variations.values() for key in values))
    for key in varied:
        if key not in KEYS:
            raise UnknownNameError(f"key in study '{study.name}',", key, KEYS)
        if key in overrides:
            raise InvalidValueError(f"--set {key}: study '{study.name}' varies it; leave it out, or copy the study")
    arms = []
    for name, values in variations.items():
        settings = _with_pixels(with_keys(base, values), pair, presets, {**overrides, **values})
        _check(settings, pair, name)
        arms.append(Arm(name=name, varies={key: value_of(settings, key) for key in varied}, settings=settings))
    for name in study.named_arms:
        if name not in variations:
            raise UnknownNameError(f"arm in study '{study.name}',", name, variations)
    return tuple(arms)


def _with_pixels(
    settings: Settings, pair: tuple[Domain, Domain], presets: tuple[Preset, Preset], chosen: Mapping[str, Any]
) -> Settings:
    """Settings of a system between pictures: without base models, and at the preset's sizes."""
    if settings.system not in PIXEL_SYSTEMS:
        return settings
    shapes = {domain.image_shape for domain in pair}
    if len(shapes) > 1 or None in shapes:
        names = f"{pair[0].name} and {pair[1].name}"
        raise InvalidValueError(f"{settings.system} goes between pictures of one size; {names} have none in common")
    sizes = {key: value for key, value in presets[0].pixels.items() if key not in chosen}
    return replace(with_keys(settings, sizes), vae_a=None, vae_b=None)


def _grid(study: Study, pair: tuple[Domain, Domain], base: Settings) -> dict[str, Mapping[str, Any]]:
    n_train = min(n_labelled_of(pair[0], "a", base), n_labelled_of(pair[1], "b", base))
    common = [n for n in pair[0].label_counts if n in pair[1].label_counts and (n == "all" or n < n_train)]
    axes = {key: common if v == LABEL_COUNTS else _values(key, v, base) for key, v in study.grid.items()}
    cells = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return {", ".join(f"{key}={value}" for key, value in cell.items()): cell for cell in cells}


def _values(key: str, values: Times | Sequence[Any], base: Settings) -> tuple[Any, ...]:
    if not isinstance(values, Times):
        return tuple(values)
    recipe = value_of(base, key) if key in KEYS else None
    if not isinstance(recipe, (int, float)):
        raise InvalidValueError(f"{key}: only a number can be multiplied; give a list of values")
    return tuple(recipe if factor == 1 else float(f"{factor * recipe:.2g}") for factor in values.factors)


def _check(settings: Settings, pair: tuple[Domain, Domain], arm: str) -> None:
    a, b = pair
    same_data = a.data_id("a") == b.data_id("b") and settings.wavegan_a is settings.wavegan_b is None
    for key in ("labelled", "overlap"):
        if getattr(settings, key) != getattr(Settings(), key) and not same_data:
            raise InvalidValueError(
                f"{key}={getattr(settings, key)}: {a.name} and {b.name} hold different samples here; leave it out"
            )
    if settings.labelled == "same" and settings.overlap == "disjoint":
        raise InvalidValueError("labelled=same, overlap=disjoint: halves have no image in common; leave one out")
    if settings.system not in ("bridge", "cyclegan") and settings.n_labels == 0:
        raise InvalidValueError(f"n_labels=0 in arm '{arm}': {settings.system} is made from labels; give it some")
    n_train = min(n_labelled_of(a, "a", settings), n_labelled_of(b, "b", settings))
    n_train //= 2 if settings.overlap == "disjoint" else 1
    if settings.n_labels != "all" and settings.n_labels > n_train:
        raise InvalidValueError(
            f"n_labels={settings.n_labels} in arm '{arm}': {a.name}-{b.name} has {n_train} training samples "
            "with a label; use 'all'"
        )
    check_widths(pair, settings)
