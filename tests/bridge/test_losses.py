"""The terms of the loss, on numbers that can be checked by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn import functional as F

from bridgelab.bridge.losses import (
    UNLABELLED,
    cross_entropy,
    kl,
    l2_weight,
    sliced_wasserstein,
    softplus,
    sort,
    squared_error,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_squared_error_is_summed_over_dimensions_and_averaged_over_the_batch() -> None:
    z, z_hat = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[3.0, 4.0], [1.0, 2.0]])
    assert squared_error(z, z_hat) == (25 + 1) / 2


def test_the_three_readings_of_l2_differ_by_their_weight() -> None:
    assert [l2_weight(r, 16) for r in ("sum", "half_sum", "mean")] == [1.0, 0.5, 1 / 16]


def test_the_kl_is_zero_for_the_prior_and_as_torch_has_it_elsewhere() -> None:
    assert kl(torch.zeros(3, 2), torch.ones(3, 2)) == 0
    mu, sigma = normal(5, 4), normal(5, 4, seed=1).exp()
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, sigma), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(kl(mu, sigma), expected.sum(1).mean())


@pytest.mark.parametrize("distance", ["squared", "root", "absolute"])
def test_the_swd_is_zero_for_a_permuted_batch(distance: str) -> None:
    a, directions = normal(16, 3), F.normalize(normal(8, 3, seed=1), dim=1)
    assert sliced_wasserstein(a, a[torch.randperm(16)], directions, distance) < 1e-5


@pytest.mark.parametrize(("distance", "expected"), [("squared", 4.0), ("root", 2.0), ("absolute", 2.0)])
def test_the_swd_of_a_shift_along_its_direction_is_that_shift(distance: str, expected: float) -> None:
    a, direction = normal(16, 2), torch.tensor([[1.0, 0.0]])
    shifted = a + torch.tensor([2.0, 5.0])
    assert float(sliced_wasserstein(a, shifted, direction, distance)) == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_labels_has_zero_cross_entropy_and_zero_gradient() -> None:
    logits = normal(4, 10).requires_grad_()
    loss = cross_entropy(logits, torch.full((4,), UNLABELLED))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not logits.grad.any()


def test_the_cross_entropy_is_torchs_over_the_labelled_samples() -> None:
    logits, labels = normal(6, 10), torch.tensor([1, UNLABELLED, 9, 0, UNLABELLED, 3])
    torch.testing.assert_close(cross_entropy(logits, labels), F.cross_entropy(logits, labels, ignore_index=UNLABELLED))


def test_every_term_takes_leading_axes() -> None:
    a, b, sigma = normal(3, 8, 4), normal(3, 8, 4, seed=1), normal(3, 8, 4, seed=2).exp()
    directions = F.normalize(normal(3, 5, 4, seed=3), dim=-1)
    labels = torch.randint(4, (3, 8), generator=torch.Generator().manual_seed(4))
    for k in range(3):
        torch.testing.assert_close(squared_error(a, b)[k], squared_error(a[k], b[k]))
        torch.testing.assert_close(kl(a, sigma)[k], kl(a[k], sigma[k]))
        torch.testing.assert_close(cross_entropy(a, labels)[k], cross_entropy(a[k], labels[k]))
        packed = sliced_wasserstein(a, b, directions, "squared")[k]
        torch.testing.assert_close(packed, sliced_wasserstein(a[k], b[k], directions[k], "squared"))


@given(
    hnp.arrays(
        "float32", st.tuples(st.integers(1, 3), st.integers(1, 40)), elements=st.floats(width=32, allow_nan=False)
    )
)
def test_the_fast_sort_is_torchs_stable_sort(values) -> None:
    x = torch.from_numpy(values)
    assert torch.equal(sort(x), x.sort(stable=True).values)


def test_the_sort_breaks_ties_by_position(device: str) -> None:
    x = torch.tensor([[1.0, -2.0, 1.0, -2.0, 0.0]], device=device).requires_grad_()
    sort(x)[0, 0].backward()
    assert x.grad.tolist() == [[0.0, 1.0, 0.0, 0.0, 0.0]]


def test_the_sort_has_the_gradients_of_torchs(device: str) -> None:
    x, weights = (normal(3, 7, 40, seed=seed).to(device) for seed in (0, 1))
    ours, theirs = (x.clone().requires_grad_() for _ in range(2))
    (sort(ours) * weights).sum().backward()
    (torch.sort(theirs).values * weights).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


def test_the_softplus_is_torchs() -> None:
    x = torch.linspace(-30, 30, 601, dtype=torch.float32)
    torch.testing.assert_close(softplus(x), F.softplus(x), rtol=1e-6, atol=1.2e-7)


def test_infinities_sort_to_the_ends() -> None:
    x = torch.tensor([[math.inf, 0.0, -math.inf]])
    assert sort(x).tolist() == [[-math.inf, 0.0, math.inf]]
