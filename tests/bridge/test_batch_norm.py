"""Batch norm: the rows' statistics in training, fixed ones in the weights of a trained bridge."""

import pytest
import torch

from bridgelab.bridge.batch_norm import EPSILON, NormalisedLinear
from bridgelab.bridge.model import BridgingVAE
from bridgelab.bridge.pack import Pack
from bridgelab.bridge.streams import TrialStreams

NORMALISED = {"bridge.batch_norm": True, "bridge.n_steps": 64}


def test_a_layer_is_torchs_linear_and_batch_norm_with_the_bias_after_it() -> None:
    torch.manual_seed(0)
    layer, x = NormalisedLinear(5, 7), torch.randn(40, 5)
    expected = torch.nn.functional.batch_norm(
        x @ layer.weight.T, None, None, bias=layer.bias, training=True, eps=EPSILON
    )
    torch.testing.assert_close(layer.train()(x), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer.eval()(x), torch.nn.functional.linear(x, layer.weight, layer.bias))


def test_a_trained_bridge_is_an_ordinary_one_that_does_what_it_did_in_training(make_trial, make_member) -> None:
    member = make_member(make_trial(0, **NORMALISED))
    pack = Pack([member])
    trained = pack.run()[0]
    raw = pack.layout.extract(pack._together.state.parameters[0], list(trained.weights))
    z_RD, noise_RS = TrialStreams(member.spec, member.a, member.b).population(1024)
    codes = {}
    for name, weights in ("raw", raw), ("trained", trained.weights):
        bridge = BridgingVAE(2, 2, member.spec.settings.bridge)
        bridge.load_state_dict(weights)
        bridge.train(name == "raw")
        told = [bridge._with_domain(z, side, "encoder") for z, side in zip(z_RD.chunk(2), "ab", strict=True)]
        mu_RS, sigma_RS = bridge._encode(torch.cat(told))
        shared = (mu_RS + sigma_RS * noise_RS).chunk(2)
        told = [bridge._with_domain(z, side, "decoder") for z, side in zip(shared, "ab", strict=True)]
        codes[name] = (mu_RS.detach(), bridge._decode(torch.cat(told)).detach())
    for in_training, afterwards in zip(codes["raw"], codes["trained"], strict=True):
        torch.testing.assert_close(afterwards, in_training, rtol=1e-3, atol=1e-4)


def test_members_with_batch_norm_come_to_the_bits_that_they_come_to_alone(make_trial, make_member) -> None:
    members = [make_member(make_trial(i, **NORMALISED)) for i in range(3)]
    for member, beside in zip(members, Pack(members).run(), strict=True):
        alone = Pack([member]).run()[0]
        assert all(torch.equal(beside.weights[name], alone.weights[name]) for name in alone.weights)


def test_those_with_and_those_without_are_in_different_packs(make_trial) -> None:
    assert make_trial(0, **NORMALISED).shape != make_trial(0, **NORMALISED | {"bridge.batch_norm": False}).shape


@pytest.mark.parametrize("at", [32, 64])
def test_it_goes_on_from_a_snapshot_to_the_same_bits(make_trial, make_member, at: int) -> None:
    member = make_member(make_trial(2, **NORMALISED))
    kept = {}
    whole = Pack([member])
    undisturbed = whole.run(lambda step: kept.update({step: whole.snapshot()}))[0]
    resumed = Pack([member])
    resumed.restore(kept[at])
    weights = resumed.run()[0].weights
    assert all(torch.equal(weights[name], undisturbed.weights[name]) for name in weights)
