"""Pix2Pix and CycleGAN: their networks, one step against the formulas, and that training goes on to the same bits."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bridgelab.baselines.pixels import LAMBDA_L1, PixelTraining, ResNet, StackedPixels, UNet, build, patch_discriminator
from bridgelab.config import PixelConfig, Settings
from bridgelab.errors import InvalidValueError
from bridgelab.latents import Latents
from bridgelab.specs import ModelSpec, TrialSpec
from bridgelab.study import Selection, resolve

SHAPE = (28, 28)
SYSTEMS = ("pix2pix", "cyclegan")


def trial(system: str, **values: object) -> TrialSpec:
    config = PixelConfig(n_filters=2, n_blocks=1, batch_size=4, **{"n_steps": 3, **values})
    base = ModelSpec(kind="identity", domain="mnist", data_id="none", config=None, seed=0)
    judge = ModelSpec(kind="rule", domain="mnist", data_id="none", config=None, seed=0)
    return TrialSpec(
        settings=Settings(system=system, pixels=config), base_a=base, base_b=base, judge_a=judge, judge_b=judge,
        label_seed=0, bridge_seed=0,
    )  # fmt: skip


def pictures(seed: int) -> Latents:
    """Of two classes: bright above, or bright below."""
    rng, labels = np.random.default_rng(seed), np.arange(40) % 2
    x = 0.2 * rng.random((40, *SHAPE), np.float32)
    x[labels == 0, :14] += 0.7
    x[labels == 1, 14:] += 0.7
    return Latents(x.reshape(40, -1), np.zeros((40, 784), np.float32), labels)


def training(system: str, **values: object) -> PixelTraining:
    return PixelTraining(trial(system, **values), pictures(0), pictures(1), SHAPE)


@pytest.mark.parametrize("shape", [(28, 28), (32, 32), (8, 8)])
def test_generators_keep_the_shape_of_a_picture(shape: tuple[int, int]) -> None:
    x = torch.rand(3, 1, *shape)
    for generator in (UNet(4), ResNet(4, 1)):
        made = generator(x)
        assert made.shape == x.shape
        assert made.abs().max() <= 1


def test_the_sizes_of_the_networks_are_those_known_of_them() -> None:
    def n(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    assert n(UNet(64)) == pytest.approx(16.7e6, rel=0.02)
    assert n(ResNet(64, 6)) == pytest.approx(7.8e6, rel=0.02)
    assert patch_discriminator(2, 8, torch.nn.BatchNorm2d)(torch.rand(2, 2, 32, 32)).shape == (2, 1, 6, 6)


@pytest.mark.parametrize("system", SYSTEMS)
def test_training_goes_on_from_a_snapshot_to_the_same_bits(system: str) -> None:
    whole, begun, resumed = (training(system) for _ in range(3))
    kept = {}

    def keep(step: int) -> None:
        if step == 2:
            kept.update({name: tensor.clone() for name, tensor in begun.snapshot().items()})

    expected = whole.run().weights
    begun.run(keep)
    resumed.restore(kept)
    assert resumed.n_done == 2
    found = resumed.run().weights
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("system", SYSTEMS)
def test_training_leaves_the_global_generator_alone(system: str) -> None:
    before = torch.random.get_rng_state()
    training(system, n_steps=1).run()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_step_of_pix2pix_follows_its_formula() -> None:
    one = training("pix2pix", n_steps=1)
    reference, stream = training("pix2pix", n_steps=1), torch.Generator()
    stream.set_state(reference.stream.get_state())
    reference.networks.train()
    with torch.random.fork_rng(devices=[]):
        from bridgelab.config import stream_seed

        torch.manual_seed(stream_seed("pixels", 0, "dropout", 0))
        x, classes = reference.sides["a"].draw_labelled(4, stream)
        y = reference.sides["b"].draw_of(classes, stream)
        x, y = ((2 * z - 1).reshape(4, 1, *SHAPE) for z in (x, y))
        g, d = reference.networks["generator_ab"], reference.networks["discriminator_ab"]
        made = g(x)
        real, fake = d(torch.cat([x, y], 1)), d(torch.cat([x, made.detach()], 1))
        loss = 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())
        gradients = torch.autograd.grad(loss, list(d.parameters()))
    rate = reference.config.learning_rate
    one.run()
    for p, old, gradient in zip(one.networks["discriminator_ab"].parameters(), d.parameters(), gradients, strict=True):
        moved = old - rate * gradient / (gradient.abs() + 1e-8)  # Adam's first step
        clear = gradient.abs() > 1e-6
        assert torch.allclose(p[clear], moved[clear], atol=rate / 50)
    assert LAMBDA_L1 == 100


def test_pix2pix_is_shown_pairs_of_one_class() -> None:
    own = training("pix2pix").sides["b"]
    classes = torch.tensor([0, 1, 1, 0])
    shown = own.draw_of(classes, torch.Generator().manual_seed(0)).reshape(4, *SHAPE)
    assert (shown[:, :14].mean((1, 2)) > shown[:, 14:].mean((1, 2))).tolist() == [True, False, False, True]


def test_cyclegan_is_shown_no_label() -> None:
    scrambled = dataclasses.replace(pictures(0), labels=np.zeros(40, np.int64))
    plain = training("cyclegan").run().weights
    blind = PixelTraining(trial("cyclegan"), scrambled, pictures(1), SHAPE).run().weights
    assert all(torch.equal(plain[name], blind[name]) for name in plain)


@pytest.mark.parametrize("system", SYSTEMS)
def test_trained_generators_are_crossed_as_bridges_are(system: str) -> None:
    spec = trial(system)
    weights = training(system).run().weights
    x = torch.rand(1, 5, 784, generator=torch.Generator().manual_seed(0))
    crossing = StackedPixels([spec], [weights], SHAPE).cross(x, x, 1)
    generator = build(spec, 0)["generator_ba"]
    generator.load_state_dict({n.removeprefix("generator_ba."): t for n, t in weights.items() if "_ba." in n})
    with torch.inference_mode():
        expected = (generator.eval()((2 * x[0] - 1).reshape(-1, 1, *SHAPE)).flatten(1) + 1) / 2
    assert torch.allclose(crossing.transferred[0], expected, atol=1e-6)
    assert crossing.reconstructed.shape == x.shape
    assert 0 <= crossing.transferred.min() <= crossing.transferred.max() <= 1


def test_a_trial_between_pictures_has_no_base_models_and_the_presets_sizes() -> None:
    resolved = resolve("pixel_baselines", Selection(pair="digits-digits", preset="smoke"))
    pix2pix = next(m.trial for m in resolved.members if m.arm.name == "Pix2Pix")
    assert (pix2pix.base_a.kind, pix2pix.base_b.kind) == ("identity", "identity")
    assert pix2pix.judge_a.kind == "classifier"
    assert pix2pix.n_steps == pix2pix.settings.pixels.n_steps < 100
    assert resolved.n_replicates == 2
    chosen = resolve("pixel_baselines", Selection(pair="digits-digits", overrides={"pixels.n_steps": 7}))
    assert {m.trial.settings.pixels.n_steps for m in chosen.members} == {7}


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="goes between pictures of one size"):
        resolve("pixel_baselines", Selection(pair="plane-plane"))
