"""What can be configured, and the ids that follow from it. Imports neither torch nor ray.

An id is the hash of a full configuration, of the ids of what it was made from, and of the version of
its stage, so two equal ids mean the same computation. Device, pack size and number of workers never
enter an id; the numerical policy does.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic.dataclasses import dataclass as validated

from .errors import InvalidValueError
from .values import CHECKED, Count, Positive, Precision, Share, Shift, Switch, Weight
from .wavegan_config import RejectionConfig, WaveGANConfig

Side = Literal["a", "b"]
"""The two domains of a pair: transfers run a -> b and b -> a."""

Decode = Literal["mean", "sample"]
DECODES: tuple[Decode, Decode] = ("mean", "sample")
SIDES: tuple[Side, Side] = ("a", "b")

NLabels = Literal["all"] | Annotated[int, Field(ge=0, strict=True)]
System = Literal["bridge", "procrustes", "least_squares", "gaussian_ot", "pix2pix", "cyclegan"]
PIXEL_SYSTEMS: tuple[System, ...] = ("pix2pix", "cyclegan")
"""Between the pictures themselves: they have no base models."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


def _plain(value: Any) -> Any:
    """Numpy's numbers and arrays, and ranges, as Python's own values."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(value) if isinstance(value, (list, range)) else value


Value = Annotated[StrictBool | StrictInt | StrictFloat | StrictStr, BeforeValidator(_plain)]
"""What a setting of an arm can be."""
Values = Annotated[Sequence[Value], BeforeValidator(_plain)]

STAGE_VERSIONS = {"base_model": 1, "latents": 1, "bridge": 1, "evaluation": 1, "checkpoint": 2}
"""Raised by hand whenever the numbers of a stage change; a golden test a stage holds this."""

UNLABELLED = -100
"""The label of a sample without one: what cross entropy passes over."""
CHUNK_STEPS = 32
"""Steps whose random draws are made at once; between two chunks a pack can stop."""
CHECKPOINT_EVERY_S = 30.0
"""At most this much training is lost with a worker."""

NUMERICS = {"dtype": "float32", "tf32": False, "compiled": False}
"""The numerical policy of everything that is trained here: part of every id."""

LABEL_COUNTS: Final = "the label counts of the domains"
"""In a study's grid: the values that the pair's domains supply for n_labels."""


@validated(frozen=True, kw_only=True, config=CHECKED)
class BridgeConfig:
    """The bridging VAE and its training (paper, section 2 and appendices A and B).

    The defaults are the paper's text for MNIST <-> MNIST; the recipes below say what differs.
    """

    shared_dim: Count = 8
    "width of the shared latent space, z'"
    n_layers: Count = 4
    hidden_dim: Count = 512
    "the trunks of encoder and decoder: n_layers ReLU layers of width hidden_dim"
    heads: Literal["gated", "linear", "residual"] = "gated"
    "gated mixing layers (Fig. 8); or in their place one linear layer, or its sum with a linear skip"
    batch_norm: Switch = field(default=False, metadata={"neutral": False})
    "in the layers of both trunks, before each ReLU"
    conditional: Switch = True
    "whether encoder and decoder are told the domain (one-hot); an unconditional bridge sees zeros"
    conditioned: Literal["both", "encoder", "decoder"] = field(default="both", metadata={"neutral": "both"})
    "which of the two is told, where the bridge is conditional"

    reconstruction: Literal["sum", "half_sum", "mean"] = "sum"
    "squared error over the latent's dimensions: the text's sum, half of it (sigma = 1), or the mean"
    beta_kl: Weight = 0.05
    beta_swd: Weight = 1.0
    beta_cls: Weight = 0.05
    swd: Literal["squared", "root", "absolute"] = "squared"
    "1-D distance of sorted projections: W2 squared, W2, or the mean absolute difference (W1)"
    n_projections: Count = 64
    "how many random unit vectors a step; the paper does not say"
    classifier: Literal["linear", "gated"] = "linear"
    "f on the shared space; gated: sigmoid(W_g z') * (W z' + b)"
    classifier_trained: Switch = True
    "false: f stays as initialised, and only the encoder learns to match it"

    batch_size: Count = 128
    "samples of each domain in a step"
    labelled_batch: Literal["separate", "masked"] = "separate"
    "where cross entropy is taken: a batch of labelled samples, or those that the batch happens to hold"
    labelled_batch_size: Count = 128
    unlabelled_batch: Literal["uniform", "label_balanced"] = "uniform"
    "label_balanced leaks every label into the sampling, also at n_labels 0"
    learning_rate: Positive = 1e-3
    lr_decay_from: Share = 1.0
    "the share of the steps after which the rate falls linearly to zero; 1: it stays constant"
    n_steps: Count = 50_000
    precision: Precision = field(default="float32", metadata={"neutral": "float32"})
    "bfloat16: the matrix products of training are in it; weights, losses and the optimizer stay float32"


@validated(frozen=True, kw_only=True, config=CHECKED)
class VAEConfig:
    """An MLP VAE with a Gaussian likelihood of deviation x_sigma around a sigmoid mean."""

    hidden_dim: Count = 1024
    n_layers: Count = 3
    latent_dim: Count = 100
    x_sigma: Positive = 0.1
    beta: Weight = 1.0
    learning_rate: Positive = 3e-4
    batch_size: Count = 512
    n_steps: Count = 200_000
    shift: Shift = field(default=0, metadata={"neutral": 0})
    "training images are moved by up to so many pixels, each anew in each step; so are those behind the latents"
    precision: Precision = field(default="float32", metadata={"neutral": "float32"})
    "bfloat16: the products of training are in it, weights and losses stay float32"


@validated(frozen=True, kw_only=True, config=CHECKED)
class ClassifierConfig:
    """The judge of a domain: it labels samples, is trained once, and then fixed."""

    kind: Literal["mlp", "cnn"] = field(default="mlp", metadata={"neutral": "mlp"})
    "n_layers layers of width hidden_dim on pixels, or two convolutions and one layer of width hidden_dim"
    hidden_dim: Count = 2048
    n_layers: Count = 4
    channels: Count = field(default=16, metadata={"neutral": 16})
    "of a cnn's first convolution; the second has twice as many"
    pool: Literal["max", "mean"] = field(default="max", metadata={"neutral": "max"})
    "of a cnn: the mean over four pixels depends less on details that a base model's samples lack"
    noise: Weight = 0.0
    "deviation of Gaussian noise on the inputs in training"
    learning_rate: Positive = 3e-4
    weight_decay: Weight = 0.0
    batch_size: Count = 256
    n_steps: Count = 20_000
    shift: Shift = field(default=0, metadata={"neutral": 0})
    "as that of a VAE"
    precision: Precision = field(default="float32", metadata={"neutral": "float32"})
    "as that of a VAE"


@validated(frozen=True, kw_only=True, config=CHECKED)
class PixelConfig:
    """Pix2Pix or CycleGAN between small pictures; the defaults are those of their authors' code."""

    n_filters: Count = 64
    n_blocks: Count = 6
    "residual blocks in a generator of CycleGAN"
    learning_rate: Positive = 2e-4
    batch_size: Count = 64
    n_steps: Count = 50_000


@validated(frozen=True, kw_only=True, config=CHECKED)
class Settings:
    """One configuration of a bridge and of the base models under it, without seeds."""

    system: System = field(default="bridge", metadata={"neutral": "bridge"})
    "what goes between the latents: the bridge, or a map in closed form from the same labels; or between the pictures"
    n_labels: NLabels = "all"
    "labelled samples of each domain, spread evenly over the classes"
    labelled: Literal["independent", "same"] = "independent"
    "same: both domains label the same images (two models of one domain only)"
    overlap: Literal["same", "disjoint"] = "same"
    "disjoint: each side of the bridge sees its own half of the images (two models of one domain only)"
    label_spreading: Switch = field(default=False, metadata={"neutral": False})
    "whether the labels go on to the samples that have none, along the graph of nearest latents"
    class_map: tuple[int, ...] | None = field(default=None, metadata={"neutral": None})
    "for each class of side a the class of side b that it stands for; None: the one of the same place"
    decode: Decode = "sample"
    "which accuracies stand in tables: from the means of both posteriors, or from a sample of each"
    bridge: BridgeConfig = field(default_factory=BridgeConfig)
    pixels: PixelConfig = field(default_factory=PixelConfig, metadata={"neutral": PixelConfig()})
    "of pix2pix and cyclegan"
    rejection: RejectionConfig = field(default_factory=RejectionConfig, metadata={"neutral": RejectionConfig()})
    "of the sides whose base model is a WaveGAN"
    vae_a: VAEConfig | None = None
    vae_b: VAEConfig | None = None
    wavegan_a: WaveGANConfig | None = field(default=None, metadata={"neutral": None})
    wavegan_b: WaveGANConfig | None = field(default=None, metadata={"neutral": None})
    judge_a: ClassifierConfig | None = None
    judge_b: ClassifierConfig | None = None

    @property
    def spreads_labels(self) -> bool:
        """Whether there are labels to spread."""
        return self.label_spreading and self.n_labels != 0

    @functools.cached_property
    def as_json(self) -> dict[str, Any]:
        """As JSON values, made once for all trials of an arm."""
        found: dict[str, Any] = canonical(self)
        return found


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How large things are in one domain: its base model, its judge, a bridge from or to it."""

    vae: VAEConfig | None
    "None: the base model is the identity, or a WaveGAN"
    judge: ClassifierConfig | None
    "None: the domain has a rule that labels its samples"
    bridge: Mapping[str, Any]
    "the sizes in a BridgeConfig"
    n_replicates: int
    pixels: Mapping[str, Any] = field(default_factory=dict)
    "the sizes in a PixelConfig, where they are not its own"
    wavegan: WaveGANConfig | None = None
    rejection: Mapping[str, Any] = field(default_factory=dict)
    "the sizes in a RejectionConfig, where they are not its own"


RECIPES: Mapping[str, Mapping[str, Any]] = {
    # Mean L2 and a classifier weight of 1 to 3 are what makes the method work: see docs/method.md.
    "default": {
        "bridge.reconstruction": "mean",
        "bridge.beta_kl": 0.1,
        "bridge.beta_swd": 1.0,
        "bridge.beta_cls": 3.0,
        "bridge.n_projections": 16,
        "bridge.lr_decay_from": 0.5,
        "decode": "mean",
    },
    # The text to the letter, at the preset's sizes.
    "paper": {"bridge.learning_rate": 1e-3},
    "few_labels": {"label_spreading": True},
}
"""Method settings over the preset's sizes; what a recipe does not name is BridgeConfig's default."""
BUILT_ON: Mapping[str, str] = {"few_labels": "default"}
"""Recipe -> the one that it changes."""


@validated(frozen=True, config=CHECKED)
class Times:
    """In a study's grid: values that are so many times what they are in the recipe."""

    factors: tuple[Positive, ...]


@validated(frozen=True, kw_only=True, config=CHECKED)
class Study:
    """What varies, over which pair of domains, and against what it is read.

    Give either `grid` (every combination is an arm) or `arms` (each named, with what it sets).
    Keys are those of --set: n_labels, labelled, overlap, bridge.*, vae.*, judge.*.
    """

    name: Name
    question: str
    rebuilds: str = "-"
    "the table or figure of the paper that it rebuilds"
    pair: str = "digits-digits"
    recipe: str = "default"
    "the one that it starts from, where none is asked for"
    class_map: Mapping[str, str] = field(default_factory=dict)
    "class of the source -> class of the target that it stands for, by name; empty: those of the same place"
    base: Mapping[str, Value] = field(default_factory=dict)
    "what holds in every arm"
    grid: Mapping[str, Literal["the label counts of the domains"] | Times | Values] = field(default_factory=dict)
    arms: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    reference: str = ""
    "the arm that the others are compared with; of a grid: its name, as in 'n_labels=all'; none: the recipe's own"
    ladder: Sequence[str] = ()
    "arms in the order in which they add one component each"
    leave_one_out: Mapping[str, str] = field(default_factory=dict)
    "component -> the arm that lacks just this one"
    primary_metric: str = "transfer_accuracy_ab"
    fid: Switch = False
    "whether FID is measured too"
    n_replicates: Count | None = None
    "where none are asked for; None: the preset's"

    def __post_init__(self) -> None:
        if bool(self.grid) == bool(self.arms):
            raise InvalidValueError(f"study '{self.name}' needs either grid or arms; give one of them")
        for key, values in self.grid.items():
            listed = values.factors if isinstance(values, Times) else values
            if not listed:
                raise InvalidValueError(f"study '{self.name}' gives {key} no value; give a list of them")
            if len(set(listed)) < len(listed) and listed != LABEL_COUNTS:
                raise InvalidValueError(f"study '{self.name}' gives {key} a value twice; leave one out")

    @property
    def named_arms(self) -> tuple[str, ...]:
        """The arms that it speaks of."""
        return tuple(name for name in (self.reference, *self.ladder, *self.leave_one_out.values()) if name)


@validated(frozen=True, config=CHECKED)
class Float:
    """A distribution over the numbers from low to high; log: over their logarithms."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)


@validated(frozen=True, config=CHECKED)
class Int:
    """A distribution over the whole numbers from low to high, both among them."""

    low: StrictInt
    high: StrictInt
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)


@validated(frozen=True, config=CHECKED)
class Categorical:
    """A distribution over values that have no order."""

    choices: Values


def _check_range(low: float, high: float, log: bool) -> None:
    if not low < high or (log and low <= 0):
        raise InvalidValueError(f"a distribution from {low:g} to {high:g}: give low < high" + ", and low > 0" * log)


@validated(frozen=True, kw_only=True, config=CHECKED)
class Search:
    """What Optuna looks for: the arm of most transfer accuracy on validation, over a space of settings.

    A generation is one bracket: its arms are asked at once, from all generations before it, and are
    trained in one replicate together with the reference. At each rung the better half goes on. What is
    found is confirmed as a grid, on replicates and base models that the search never saw.
    """

    name: Name
    question: str
    rebuilds: str = "-"
    pair: str = "digits-digits"
    recipe: str = "default"
    "where the search starts from: its reference"
    class_map: Mapping[str, str] = field(default_factory=dict)
    base: Mapping[str, Value] = field(default_factory=dict)
    "what holds in every arm"
    space: Mapping[str, Float | Int | Categorical]
    "key -> distribution"
    n_generations: Count = 6
    bracket: Annotated[int, Field(ge=2, le=1024, strict=True)] = 16
    "arms asked at once: the fewer, the better each is chosen; the more, the better they are packed"
    rungs: Sequence[Share] = (0.125, 0.25, 0.5)
    "shares of the steps after which the bracket meets; empty: nobody leaves before the end"
    n_confirmed: Annotated[int, Field(ge=1, le=64, strict=True)] = 3
    "the best arms of all generations, compared with the reference in the end"
    seed: Annotated[int, Field(ge=0, strict=True)] = field(default=0, metadata={"neutral": 0})
    "another one: other proposals for the same question"

    def __post_init__(self) -> None:
        if not self.space:
            raise InvalidValueError(f"search '{self.name}' has an empty space; give it a distribution")
        if list(self.rungs) != sorted(set(self.rungs)) or not all(0 < share < 1 for share in self.rungs):
            raise InvalidValueError(f"search '{self.name}': rungs are rising shares between 0 and 1")


_LEAVES = frozenset({str, int, float, bool, type(None)})
_NOTHING = object()
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def other(side: Side) -> Side:
    """The other side of a pair."""
    return "b" if side == "a" else "a"


def canonical(value: Any) -> Any:
    """A configuration as plain JSON values.

    A field whose metadata has a `neutral` value is left out where it has it: a field that is added
    later, with the behaviour of before as its neutral value, changes no id.
    """
    if type(value) in _LEAVES:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = _neutrals(type(value)).items()
        return {name: canonical(item) for name, neutral in kept if (item := getattr(value, name)) != neutral}
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    return value


@functools.cache
def _neutrals(kind: type) -> dict[str, Any]:
    """The fields of a class, each with its neutral value; where it has none, with one that nothing is equal to."""
    return {f.name: f.metadata.get("neutral", _NOTHING) for f in dataclasses.fields(kind)}


def canonical_json(value: Any) -> str:
    """One line of JSON, the same for equal configurations."""
    return _encode(canonical(value))


def content_id(stage: str, content: Mapping[str, Any]) -> str:
    """20 hex digits that name a result of a stage."""
    versioned = {"stage": stage, "version": STAGE_VERSIONS.get(stage, 1), "content": content}
    return hashlib.sha256(canonical_json(versioned).encode()).hexdigest()[:20]


def stream_seed(*names: str | int) -> int:
    """The seed of a named random stream: 63 bits from its names, on every machine the same."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
