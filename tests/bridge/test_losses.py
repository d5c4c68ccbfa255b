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
        "float32",
        st.tuples(st.integers(1, 3), st.integers(1, 40)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_the_fast_sort_is_torchs_and_says_where_each_value_was(values) -> None:
    x = torch.from_numpy(values)
    found, order = sort(x)
    assert torch.equal(found, x.sort().values)
    assert torch.equal(found, x.gather(-1, order))
    assert torch.equal(order.sort().values, torch.arange(x.shape[-1]).expand_as(x))


def as_written(a: torch.Tensor, b: torch.Tensor, directions: torch.Tensor, distance: str) -> torch.Tensor:
    """The SWD by torch's own operations, whose gradients autograd makes."""
    a_PB, b_PB = (torch.sort(directions @ z.mT).values for z in (a, b))
    if distance == "absolute":
        return (a_PB - b_PB).abs().mean((-2, -1))
    squared_P = (a_PB - b_PB).square().mean(-1)
    return (squared_P if distance == "squared" else (squared_P + 1e-12).sqrt()).mean(-1)


def gradients(function, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """A function's values, and the gradients of their weighted sum."""
    given = [one.clone().requires_grad_() for one in inputs]
    values = function(*given)
    weights = normal(values.numel(), seed=9).to(values.device).view_as(values)
    return values.detach(), *torch.autograd.grad((values * weights).sum(), given)


@pytest.mark.parametrize("distance", ["squared", "root", "absolute"])
@pytest.mark.parametrize("members", [(), (3,)])
def test_the_swd_has_the_gradients_of_its_equation(device: str, distance: str, members: tuple[int, ...]) -> None:
    a, b = (normal(*members, 40, 3, seed=seed).to(device) for seed in (0, 1))
    directions = F.normalize(normal(*members, 7, 3, seed=2), dim=-1).to(device)
    ours = gradients(lambda a, b: sliced_wasserstein(a, b, directions, distance), a, b)
    torch.testing.assert_close(ours, gradients(lambda a, b: as_written(a, b, directions, distance), a, b))


def test_the_other_terms_have_the_gradients_of_their_equations(device: str) -> None:
    mu, sigma, logits = (normal(3, 8, 4, seed=seed).to(device) for seed in (0, 1, 2))
    labels = torch.tensor([[1, UNLABELLED, 3, 0, UNLABELLED, 3, 2, 2], [0] * 8, [UNLABELLED] * 8], device=device)

    def kl_as_written(mu: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return (0.5 * (mu.square() + sigma.square() - 1) - sigma.log()).sum(-1).mean(-1)

    def cross_entropy_as_written(logits: torch.Tensor) -> torch.Tensor:
        of_each = F.cross_entropy(logits.mT, labels, ignore_index=UNLABELLED, reduction="none").sum(-1)
        return of_each / (labels != UNLABELLED).sum(-1).clamp(min=1)

    for ours, written, inputs in (
        (kl, kl_as_written, (mu, sigma.exp())),
        (lambda logits: cross_entropy(logits, labels), cross_entropy_as_written, (logits,)),
        (softplus, F.softplus, (10 * mu,)),
    ):
        torch.testing.assert_close(gradients(ours, *inputs), gradients(written, *inputs), rtol=1e-5, atol=1e-6)


def test_the_softplus_is_torchs() -> None:
    x = torch.linspace(-30, 30, 601, dtype=torch.float32)
    torch.testing.assert_close(softplus(x), F.softplus(x), rtol=1e-6, atol=1.2e-7)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_the_swd_of_what_is_not_finite_is_not_finite(bad: float) -> None:
    a, directions = torch.tensor([[0.0], [bad], [1.0]]), torch.tensor([[1.0]])
    assert not sliced_wasserstein(a, torch.zeros(3, 1), directions, "squared").isfinite()
