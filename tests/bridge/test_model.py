"""The reference bridge: what its settings do."""

import pytest
import torch

from bridgelab.bridge.layers import GatedMixing, LinearHead, SharedClassifier
from bridgelab.bridge.model import Batch, BridgingVAE
from bridgelab.config import BridgeConfig

SMALL = {"n_layers": 2, "hidden_dim": 16, "shared_dim": 3}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_gate_mixes_the_skip_and_the_trunk() -> None:
    layer, x, h = GatedMixing(4, 6, 2), normal(5, 4), normal(5, 6)
    with torch.no_grad():
        layer.gate.weight.zero_()
        layer.gate.bias.fill_(-30.0)
        torch.testing.assert_close(layer(x, h), layer.skip(x))
        layer.gate.bias.fill_(30.0)
        torch.testing.assert_close(layer(x, h), layer.delta(h))
        layer.gate.bias.zero_()
        torch.testing.assert_close(layer(x, h), (layer.skip(x) + layer.delta(h)) / 2)


def test_a_linear_head_has_no_skip() -> None:
    head = LinearHead(4, 6, 2)
    assert [name for name, _ in head.named_parameters()] == ["delta.weight", "delta.bias"]


def test_a_gated_classifier_scales_its_logits() -> None:
    f, z = SharedClassifier(3, 4, gated=True), normal(5, 3)
    torch.testing.assert_close(f(z), torch.sigmoid(f.gate(z)) * f.linear(z))


def test_a_conditional_bridge_tells_the_domains_apart_and_an_unconditional_one_does_not() -> None:
    z = normal(7, 5)
    for conditional in (True, False):
        bridge = BridgingVAE(5, 4, BridgeConfig(conditional=conditional, **SMALL))
        same_code = torch.equal(bridge.encode(z, "a")[0], bridge.encode(z, "b")[0])
        same_latent = torch.equal(bridge.decode(z[:, :3], "a"), bridge.decode(z[:, :3], "b"))
        assert (same_code, same_latent) == (not conditional, not conditional)


def test_deviations_are_positive() -> None:
    bridge = BridgingVAE(5, 4, BridgeConfig(**SMALL))
    assert (bridge.encode(100 * normal(64, 5), "a")[1] > 0).all()


def test_a_frozen_classifier_gets_no_gradient() -> None:
    bridge = BridgingVAE(5, 4, BridgeConfig(classifier_trained=False, **SMALL))
    assert not any(parameter.requires_grad for parameter in bridge.classifier.parameters())
    assert any(parameter.requires_grad for parameter in bridge.parameters())


@pytest.mark.parametrize(("weight", "terms"), [("beta_kl", "kl"), ("beta_swd", "swd"), ("beta_cls", "cls")])
def test_a_loss_weight_of_zero_takes_its_term_out(weight: str, terms: str) -> None:
    batch = {
        side: Batch(
            normal(8, 5, seed=i),
            normal(8, 3, seed=i + 2),
            (normal(6, 5, seed=i + 4), normal(6, 3)),
            torch.arange(6) % 4,
        )
        for i, side in enumerate("ab")
    }
    directions = torch.nn.functional.normalize(normal(4, 3), dim=1)

    def loss(**weights: float) -> float:
        bridge = BridgingVAE(5, 4, BridgeConfig(**SMALL, **weights))
        for i, parameter in enumerate(bridge.parameters()):
            parameter.data = 0.3 * normal(*parameter.shape, seed=i)
        return float(bridge.loss(batch["a"], batch["b"], directions).detach())

    none = {"beta_kl": 0.0, "beta_swd": 0.0, "beta_cls": 0.0}
    alone = [loss(**none | {weight: w}) - loss(**none) for w in (1.0, 2.0)]
    assert alone[0] > 0
    assert alone[1] == pytest.approx(2 * alone[0], rel=1e-3)
