"""A pack trains each member to the bits that it has alone, and by the reference's equations."""

import dataclasses

import numpy as np
import pytest
import torch

from bridgelab.bridge.lockstep import TERMS, learning_rate
from bridgelab.bridge.model import Batch, BridgingVAE
from bridgelab.bridge.pack import Member, Pack, initial_weights
from bridgelab.bridge.streams import Chunk, TrialStreams
from bridgelab.bridge.transfer import cross, stack, transfer_means
from bridgelab.config import STAGE_VERSIONS, BridgeConfig
from bridgelab.latents import Latents

SHORT = {"bridge.n_steps": 70}
COMPANY = [
    {"n_labels": 0},
    {"n_labels": 10},
    {"bridge.conditional": False, "bridge.beta_swd": 0.0},
    {"bridge.heads": "linear"},
    {"bridge.beta_cls": 0.0, "bridge.heads": "residual"},
    {"bridge.reconstruction": "sum", "bridge.learning_rate": 1e-4},
    {"bridge.classifier_trained": False, "bridge.unlabelled_batch": "label_balanced"},
    {"bridge.beta_kl": 1.0, "labelled": "independent", "bridge.conditioned": "decoder"},
    {"label_spreading": True, "n_labels": 10},
    {"label_spreading": True, "n_labels": 50, "overlap": "disjoint"},
]
"""Members of one shape that differ in everything that members of a pack may differ in."""

FORMS = [
    *COMPANY,
    {"bridge.heads": "residual"},
    {"bridge.batch_norm": True, "bridge.labelled_batch_size": 16},
    {"bridge.batch_norm": True, "bridge.labelled_batch": "masked", "bridge.n_layers": 3},
    {"bridge.conditioned": "encoder"},
    {"bridge.conditioned": "decoder", "bridge.heads": "residual"},
    {"bridge.labelled_batch": "masked", "n_labels": 300},
    {"bridge.swd": "absolute"},
    {"bridge.swd": "root", "bridge.classifier": "gated"},
    {"bridge.n_layers": 1, "bridge.shared_dim": 5, "bridge.batch_size": 48},
    {"bridge.reconstruction": "half_sum", "bridge.lr_decay_from": 1.0},
]


def train(members, device="cpu"):
    return Pack(members, device).run()


def same_bits(one, other) -> bool:
    """Whether two results have equal weights and equal learning curves."""
    weights = one.weights.keys() == other.weights.keys() and all(
        torch.equal(one.weights[name], other.weights[name]) for name in one.weights
    )
    curves = len(one.curve) == len(other.curve) and all(
        a[0] == b[0] and np.array_equal(a[1], b[1]) for a, b in zip(one.curve, other.curve, strict=True)
    )
    return weights and curves


def test_bfloat16_products_train_float32_weights_to_about_the_same_place(make_trial, make_member) -> None:
    whole, low = (
        [
            train([make_member(make_trial(0, **SHORT, **{"bridge.precision": p, "bridge.batch_norm": b}))])[0]
            for b in (False, True)
        ]
        for p in ("float32", "bfloat16")
    )
    for one, other in zip(whole, low, strict=True):
        assert all(tensor.dtype == torch.float32 for tensor in other.weights.values())
        assert other.curve[-1][1][0] == pytest.approx(one.curve[-1][1][0], rel=0.05)
        assert not same_bits(one, other)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_trial_is_bitwise_the_same_alone_and_in_a_pack_of_eight(make_trial, make_member, precision: str) -> None:
    chosen = SHORT | {"bridge.precision": precision}
    members = [make_member(make_trial(i, **chosen, **values)) for i, values in enumerate(COMPANY)]
    together = train(members)
    for member, packed in zip(members, together, strict=True):
        assert same_bits(train([member])[0], packed)


DESK = {"bridge.n_layers": 2, "bridge.hidden_dim": 64, "bridge.shared_dim": 8, "bridge.batch_size": 32}
SHAPES = [
    (24, {**DESK, "bridge.labelled_batch_size": 32, "bridge.n_steps": 70}),
    (3, {"bridge.n_layers": 4, "bridge.hidden_dim": 512, "bridge.batch_size": 128, "bridge.n_steps": 6}),
    (5, {"bridge.n_layers": 1, "bridge.hidden_dim": 33, "bridge.shared_dim": 5, "bridge.n_steps": 40}),
    (4, {"bridge.labelled_batch": "masked", "bridge.swd": "root", "bridge.classifier": "gated", "bridge.n_steps": 40}),
]
"""(K, settings): the desk preset's, the paper's, odd numbers, and the other forms of the losses."""


@pytest.mark.parametrize(("k", "values"), SHAPES)
@pytest.mark.parametrize("latent_dim", [2, 16])
def test_members_of_every_shape_come_to_the_bits_that_they_come_to_alone(
    make_trial, make_member, k: int, values, latent_dim: int
) -> None:
    members = [widened(make_member(make_trial(i % 16, **values)), latent_dim, seed=i) for i in range(k)]
    together = train(members)
    for i in {0, k // 2, k - 1}:
        assert same_bits(train([members[i]])[0], together[i])


@pytest.mark.parametrize("values", [values for _, values in SHAPES])
def test_a_bridge_carries_latents_to_the_same_bits_alone_and_in_company(make_trial, make_member, values) -> None:
    members = [widened(make_member(make_trial(i, **values)), 16, seed=i) for i in range(5)]
    weights, configs = [initial_weights(m) for m in members], [m.spec.settings.bridge for m in members]
    z_KND = torch.randn(5, 700, 16, generator=torch.Generator().manual_seed(0))
    noise_KNS = torch.randn(5, 700, configs[0].shared_dim, generator=torch.Generator().manual_seed(1))
    together = cross(stack(weights, configs, 2), z_KND, noise_KNS, source=0)
    for k in range(5):
        alone = cross(stack(weights[k : k + 1], configs[:1], 2), z_KND[k : k + 1], noise_KNS[k : k + 1], source=0)
        assert torch.equal(alone.transferred[0], together.transferred[k])
        assert torch.equal(alone.reconstructed[0], together.reconstructed[k])


def test_means_arrive_where_a_crossing_without_noise_brings_them_to_the_bit(make_trial, make_member) -> None:
    members = [widened(make_member(make_trial(i)), 16, seed=i) for i in range(3)]
    bridges = stack([initial_weights(m) for m in members], [m.spec.settings.bridge for m in members], 2)
    z_KND = torch.randn(3, 700, 16, generator=torch.Generator().manual_seed(0))
    whole = cross(bridges, z_KND, torch.zeros(3, 700, bridges.n_shared), source=1)
    assert torch.equal(transfer_means(bridges, z_KND, source=1), whole.transferred)


def widened(member: Member, latent_dim: int, seed: int) -> Member:
    """A member over random latents of another width."""
    rng = np.random.default_rng(seed)

    def latents(like: Latents) -> Latents:
        mu = rng.normal(size=(len(like), latent_dim)).astype(np.float32)
        return Latents(mu, np.full_like(mu, 0.1), like.labels)

    return member if latent_dim == 2 else dataclasses.replace(member, a=latents(member.a), b=latents(member.b))


def test_a_trial_does_not_depend_on_its_place_in_a_pack(make_trial, make_member) -> None:
    members = [make_member(make_trial(i, **SHORT, **values)) for i, values in enumerate(COMPANY)]
    forwards, backwards = train(members), train(members[::-1])
    assert all(same_bits(a, b) for a, b in zip(forwards, backwards[::-1], strict=True))


@pytest.mark.parametrize("values", FORMS, ids=str)
def test_the_gradients_are_those_of_the_reference(make_trial, make_member, device: str, values) -> None:
    member = make_member(make_trial(3, **values))
    pack = Pack([make_member(make_trial(1, **values)), member], device)
    row = pack.gradients()[1].cpu()
    expected = reference_gradients(member, device)
    found = pack.layout.extract(row, list(expected))
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def reference_gradients(member, device: str) -> dict[str, torch.Tensor]:
    """By the nn.Module, on what the trial's streams give the first step."""
    bridge, config = reference(member), member.spec.settings.bridge
    a, b, directions = first_batches(member, config, device)
    bridge.loss(a, b, directions).backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in bridge.named_parameters()}


def reference(member) -> BridgingVAE:
    bridge = BridgingVAE(member.latent_dim, member.n_classes, member.spec.settings.bridge)
    bridge.load_state_dict(initial_weights(member))
    return bridge


def first_chunk(member, device: str) -> Chunk:
    chunk = TrialStreams(member.spec, member.a, member.b, torch.device(device)).next_chunk()
    return Chunk(*(getattr(chunk, f.name).cpu() for f in dataclasses.fields(Chunk)))


def first_batches(member, config: BridgeConfig, device: str) -> tuple[Batch, Batch, torch.Tensor]:
    chunk = first_chunk(member, device)
    z, noise, labels = chunk.z[0], chunk.noise[0], chunk.labels[0]
    size, masked = config.batch_size, config.labelled_batch == "masked"
    rest, rest_noise = z[2 * size :], noise[2 * size :]

    def batch(side: int) -> Batch:
        rows = slice(side * size, (side + 1) * size)
        own = slice(side * config.labelled_batch_size, (side + 1) * config.labelled_batch_size)
        extra = None if masked else (rest[own], rest_noise[own])
        return Batch(z[rows], noise[rows], extra, labels[side])

    return batch(0), batch(1), chunk.directions[0]


@pytest.mark.parametrize("n_steps", [1, 3])
def test_the_steps_are_those_of_torchs_adam(make_trial, make_member, device: str, n_steps: int) -> None:
    member = make_member(make_trial(2, **{"bridge.n_steps": n_steps, "bridge.lr_decay_from": 1.0}))
    bridge, config = reference(member), member.spec.settings.bridge
    adam = torch.optim.Adam(bridge.parameters(), lr=config.learning_rate, betas=(0.9, 0.999), eps=1e-8)
    chunk = first_chunk(member, device)
    for t in range(n_steps):
        rolled = dataclasses.replace(chunk, **{f.name: getattr(chunk, f.name)[t:] for f in dataclasses.fields(chunk)})
        a, b, directions = batches_of(rolled, config)
        adam.zero_grad()
        bridge.loss(a, b, directions).backward()
        adam.step()
    other = make_member(make_trial(5, **{"bridge.n_steps": n_steps, "bridge.learning_rate": 1e-4}))
    found = train([other, member], device)[1].weights
    for name, tensor in bridge.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=2e-5)


def batches_of(chunk, config: BridgeConfig) -> tuple[Batch, Batch, torch.Tensor]:
    size, extra = config.batch_size, config.labelled_batch_size

    def batch(side: int) -> Batch:
        rows, own = slice(side * size, (side + 1) * size), slice(2 * size + side * extra, 2 * size + (side + 1) * extra)
        return Batch(
            chunk.z[0][rows], chunk.noise[0][rows], (chunk.z[0][own], chunk.noise[0][own]), chunk.labels[0][side]
        )

    return batch(0), batch(1), chunk.directions[0]


def test_a_member_whose_loss_is_not_finite_leaves_and_the_others_go_on_unchanged(make_trial, make_member) -> None:
    healthy = [make_member(make_trial(i, **SHORT)) for i in (0, 1)]
    doomed = make_member(make_trial(2, **SHORT, **{"bridge.learning_rate": 1e30}))
    first, failed, second = train([healthy[0], doomed, healthy[1]])
    assert failed.weights is None
    assert 1 <= failed.failed_at <= 70
    assert all(np.isfinite(values).all() for _, values in failed.curve)
    for member, result in zip(healthy, (first, second), strict=True):
        assert result.failed_at is None
        assert same_bits(train([member])[0], result)


def test_a_pack_in_which_every_member_fails_ends(make_trial, make_member) -> None:
    doomed = [make_member(make_trial(i, **SHORT, **{"bridge.learning_rate": 1e30})) for i in (0, 1)]
    assert all(result.weights is None for result in train(doomed))


def test_a_frozen_classifier_stays_as_it_was_drawn(make_trial, make_member) -> None:
    members = [
        make_member(make_trial(0, **SHORT, **{"bridge.classifier_trained": trained})) for trained in (False, True)
    ]
    frozen, trained = train(members)
    before = initial_weights(members[0])["classifier.linear.weight"]
    assert torch.equal(frozen.weights["classifier.linear.weight"], before)
    assert not torch.equal(trained.weights["classifier.linear.weight"], before)


def test_the_curve_has_every_term_up_to_the_last_step(make_trial, make_member) -> None:
    curve = train([make_member(make_trial(0, **SHORT))])[0].curve
    steps = [step for step, _ in curve]
    assert steps == sorted(set(steps))
    assert steps[-1] == 70
    assert all(values.shape == (len(TERMS),) for _, values in curve)


def test_the_loss_is_the_weighted_sum_of_its_terms(make_trial, make_member) -> None:
    trial = make_trial(0, **SHORT, **{"bridge.reconstruction": "mean"})
    c = trial.settings.bridge
    for _, values in train([make_member(trial)])[0].curve:
        t = dict(zip(TERMS, values.astype(float), strict=True))
        l2, kl, cls = (t[f"{name}_a"] + t[f"{name}_b"] for name in ("l2", "kl", "cls"))
        expected = l2 / 2 + c.beta_kl * kl + c.beta_swd * t["swd"] + c.beta_cls * cls
        assert t["total"] == pytest.approx(expected, rel=1e-4)


def test_the_rate_is_constant_and_then_falls_linearly_to_zero() -> None:
    config = BridgeConfig(learning_rate=1.0, n_steps=100, lr_decay_from=0.5)
    assert [learning_rate(config, step) for step in (0, 49, 50, 75, 99)] == pytest.approx([1, 1, 1, 0.5, 0.02])
    assert learning_rate(dataclasses.replace(config, lr_decay_from=1.0), 99) == 1.0


def test_training_draws_nothing_from_the_global_generators(make_trial, make_member) -> None:
    member = make_member(make_trial(0, **SHORT))
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    train([member])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_arms_of_a_replicate_see_the_same_draws(make_trial, make_member) -> None:
    members = [make_member(make_trial(4, **values)) for values in ({}, {"n_labels": 10}, {"bridge.beta_swd": 0.0})]
    chunks = [TrialStreams(m.spec, m.a, m.b).next_chunk() for m in members]
    size = 2 * members[0].spec.settings.bridge.batch_size
    for chunk in chunks[1:]:
        assert torch.equal(chunk.z[:, :size], chunks[0].z[:, :size])
        assert torch.equal(chunk.noise, chunks[0].noise)
        assert torch.equal(chunk.directions, chunks[0].directions)


def test_every_step_draws_afresh(make_trial, make_member) -> None:
    member = make_member(make_trial(0))
    streams = TrialStreams(member.spec, member.a, member.b)
    first, second = streams.next_chunk(), streams.next_chunk()
    assert not torch.equal(first.z[0], first.z[1])
    assert not torch.equal(first.z, second.z)


def test_only_labelled_samples_show_their_label(make_trial, make_member) -> None:
    member = make_member(make_trial(0, n_labels=0))
    assert (TrialStreams(member.spec, member.a, member.b).next_chunk().labels == -100).all()


GOLDEN = {1: [2.36721, 0.679852, 1.33135, 0.878467, 0.858963, 0.0149542, 0.609508, 0.702401]}
"""Of each version of the stage: the terms of the loss at step 40."""


def test_the_bridge_stage_gives_its_golden_numbers(make_trial, make_member) -> None:
    curve = train([make_member(make_trial(0, **{"bridge.n_steps": 40}))])[0].curve
    assert curve[-1][1].tolist() == pytest.approx(GOLDEN[STAGE_VERSIONS["bridge"]], rel=1e-4, abs=1e-6)


def test_a_pack_comes_to_the_same_bits_again(make_trial, make_member, device: str) -> None:
    members = [make_member(make_trial(i, **SHORT, **values)) for i, values in enumerate(COMPANY)]
    once, again = train(members, device), train(members, device)
    assert all(same_bits(a, b) for a, b in zip(once, again, strict=True))


def test_a_warm_up_leaves_no_trace(make_trial, make_member) -> None:
    members = [make_member(make_trial(i, **SHORT)) for i in range(2)]
    warm = Pack(members)
    warm._draw()
    warm._together._warm_up()
    warm._streams = Pack(members)._streams
    assert all(same_bits(a, b) for a, b in zip(warm.run(), train(members), strict=True))


@pytest.mark.gpu
def test_a_gpu_comes_to_about_the_loss_of_a_cpu(make_trial, make_member) -> None:
    members = [make_member(make_trial(i, **{"bridge.n_steps": 600})) for i in range(8)]
    ends = [np.mean([r.curve[-1][1][0] for r in train(members, device)]) for device in ("cpu", "cuda")]
    assert ends[1] == pytest.approx(ends[0], rel=0.2)


@pytest.mark.parametrize("at", [32, 64])
def test_a_pack_that_goes_on_from_a_snapshot_comes_to_the_same_bits(
    make_trial, make_member, device: str, at: int
) -> None:
    members = [make_member(make_trial(i, **SHORT, **values)) for i, values in enumerate(COMPANY[:3])]
    members.append(make_member(make_trial(3, **SHORT, **{"bridge.learning_rate": 1e30})))
    kept = {}
    whole = Pack(members, device)
    undisturbed = whole.run(lambda step: kept.update({step: whole.snapshot()}))
    other = Pack(members, device)
    other.restore({name: tensor.clone() for name, tensor in kept[at].items()})
    assert other.n_done == at
    for one, again in zip(undisturbed, other.run(), strict=True):
        assert one.failed_at == again.failed_at
        assert one.weights is None or same_bits(one, again)
