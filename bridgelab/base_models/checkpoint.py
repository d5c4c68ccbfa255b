"""Base models and judges in the lab: built from their spec, saved whole, loaded without pickle."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .. import weights
from ..config import ClassifierConfig, Side, VAEConfig, canonical, stream_seed
from ..domains import Domain
from ..domains.logmel import Waves
from ..errors import LabError
from ..lab import Lab
from ..specs import ModelSpec
from ..wavegan_config import WaveGANConfig
from . import Generator, Identity, Judge, Rule
from .classifier import Classifier, Listener
from .own import Own
from .vae import VAE
from .wavegan import WaveGAN


def build(spec: ModelSpec, domain: Domain) -> nn.Module:
    """The untrained module of a spec, its parameters drawn from the spec's own named streams."""
    module = _unfilled(spec, domain)
    give_memory(module)
    draw = initialise_glorot if isinstance(module, WaveGAN) else initialise
    draw(module, "base_model", spec.domain, spec.kind, spec.seed)
    return module


def _unfilled(spec: ModelSpec, domain: Domain) -> nn.Module:
    """The module without memory for its tensors."""
    n_pixels = math.prod(domain.sample_shape)
    with torch.device("meta"):  # no draw from the global generator
        if isinstance(spec.config, VAEConfig):
            module: nn.Module = VAE(n_pixels, spec.config)
        elif isinstance(spec.config, WaveGANConfig):
            module = WaveGAN(n_pixels, spec.config)
        elif isinstance(spec.config, ClassifierConfig):
            module = Classifier(domain.picture_shape or (1, n_pixels), len(domain.class_names), spec.config)
        else:
            raise TypeError(f"a {spec.kind} has nothing to train")
    return module


def give_memory(module: nn.Module) -> None:
    """Puts tensors on the CPU, with anything in them, in place of those that a module made on `meta` has.

    `to_empty` does so too, and takes a quarter of a second when it is first called, as it imports sympy.
    """
    module.load_state_dict(
        {n: torch.empty(t.shape, dtype=t.dtype) for n, t in module.state_dict().items()}, assign=True
    )


@torch.no_grad()
def initialise(module: nn.Module, *names: str | int) -> None:
    """Draws every linear and convolutional layer as torch does, each tensor from a stream of its own."""
    for layer_name, layer in module.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for name, tensor in layer.named_parameters():
                seed = stream_seed(*names, "init", f"{layer_name}.{name}")
                tensor.uniform_(-bound, bound, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def initialise_normal(module: nn.Module, *names: str | int) -> None:
    """Draws convolutions from N(0, 0.02), the scales of batch norm from N(1, 0.02): how GANs of pictures begin."""
    for layer_name, layer in module.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)):
            stream = torch.Generator().manual_seed(stream_seed(*names, "init", layer_name))
            centre = 1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0
            layer.weight.normal_(centre, 0.02, generator=stream)
            if layer.bias is not None:
                layer.bias.zero_()
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()


@torch.no_grad()
def initialise_glorot(module: nn.Module, *names: str | int) -> None:
    """Draws weights as Glorot and Bengio do, each layer from a stream of its own; biases are 0: how WaveGAN begins."""
    for layer_name, layer in module.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)):
            stream = torch.Generator().manual_seed(stream_seed(*names, "init", layer_name))
            n_taps = layer.weight[0, 0].numel()
            bound = math.sqrt(6 / (n_taps * (layer.weight.shape[0] + layer.weight.shape[1])))
            layer.weight.uniform_(-bound, bound, generator=stream)
            assert layer.bias is not None
            layer.bias.zero_()


def save(
    lab: Lab,
    spec: ModelSpec,
    module: nn.Module,
    metrics: Mapping[str, float | str],
    timing: Mapping[str, float] | None = None,
    more: Mapping[str, bytes] | None = None,
) -> None:
    """Publishes lab/models/<model_id>: the weights, the spec, what was measured, how long it took, and `more` files."""
    save_state(lab, spec, module.state_dict(), metrics, timing, more)


def save_state(
    lab: Lab,
    spec: ModelSpec,
    state: Mapping[str, Tensor],
    metrics: Mapping[str, float | str],
    timing: Mapping[str, float] | None = None,
    more: Mapping[str, bytes] | None = None,
) -> None:
    """`save` of a module's tensors."""
    files = {
        **(more or {}),
        "model.safetensors": weights.encode(state),
        "config.json": json.dumps(canonical(spec.as_trained), indent=2).encode(),
        "metrics.json": json.dumps(dict(metrics), indent=2).encode(),
        "timing.json": json.dumps(dict(timing or {}), indent=2).encode(),
    }
    lab.publish_folder(f"models/{spec.model_id}", files)


def load_weights(lab: Lab, spec: ModelSpec) -> dict[str, Tensor]:
    """The saved tensors of a model. Raises LabError where they are missing or damaged."""
    return weights.read(lab, f"models/{spec.model_id}/model.safetensors", "remove its folder and run again")


def load(lab: Lab, spec: ModelSpec, domain: Domain) -> nn.Module:
    """A trained module in evaluation mode. It takes the memory of its saved tensors, whatever its spec says."""
    state = load_weights(lab, spec)
    module = None if spec.config is None or spec.config.n_layers > len(state) else _unfilled(spec, domain)
    if module is None or _forms(module.state_dict()) != _forms(state):
        path = lab.show(f"models/{spec.model_id}")
        raise LabError(f"{path} does not hold the {spec.kind} of its name; remove it and run again")
    module.load_state_dict({name: tensor.clone() for name, tensor in state.items()}, assign=True)
    return module.eval().requires_grad_(False)


def _forms(state: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}


def load_base_model(lab: Lab, spec: ModelSpec, domain: Domain) -> Generator:
    """The frozen generator of a spec."""
    if spec.kind == "identity":
        return Identity()
    if spec.kind == "own":
        return Own(domain)
    model = load(lab, spec, domain)
    assert isinstance(model, (VAE, WaveGAN))
    return model


def on_device(model: Generator, device: str) -> Generator:
    """The model where it is to be used."""
    return model.to(device) if isinstance(model, nn.Module) else model


def load_judge(lab: Lab, spec: ModelSpec, domain: Domain, side: Side) -> Judge:
    """The frozen judge of a spec; `side` matters only to domains whose sides differ."""
    if spec.kind == "rule":
        return Rule(domain, side)
    model = load(lab, spec, domain)
    assert isinstance(model, Classifier)
    return Listener(model, domain.sound) if isinstance(domain.sound, Waves) else model


def weights_sha256(lab: Lab, spec: ModelSpec) -> str | None:
    """The sha256 of a model's saved weights; None for one that has none in the lab."""
    if not spec.is_trained:
        return None
    return hashlib.sha256(lab.read(f"models/{spec.model_id}/model.safetensors")).hexdigest()
