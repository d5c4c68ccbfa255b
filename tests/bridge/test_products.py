"""Products of many members are those of each by itself, in values and in gradients."""

import pytest
import torch

from bridgelab import openblas
from bridgelab.bridge.products import Affine, Gradient, Shift, affine

WIDTHS = [(3, 5), (64, 64), (130, 200)]
"""(I, O), on both sides of what is narrow."""


def some(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n_in", "n_out"), WIDTHS)
@pytest.mark.parametrize("relu", [False, True])
def test_values_and_gradients_are_those_of_autograd(n_in: int, n_out: int, relu: bool, device: str) -> None:
    x, weight, bias = (
        some(*s, seed=i).to(device) for i, s in enumerate([(3, 9, n_in), (3, n_in, n_out), (3, 1, n_out)])
    )
    ours, theirs = ([tensor.clone().requires_grad_() for tensor in (x, weight, bias)] for _ in range(2))
    into = Gradient(torch.full_like(weight, 7.0), torch.full_like(bias, 7.0))
    out = Affine.apply(*ours, into, relu)
    expected = theirs[0] @ theirs[1] + theirs[2]
    expected = torch.relu(expected) if relu else expected
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
    out.square().sum().backward()
    expected.square().sum().backward()
    for found, reference in zip((ours[0].grad, into.weight, into.bias), theirs, strict=True):
        torch.testing.assert_close(found, reference.grad, rtol=1e-3, atol=1e-2)
    assert ours[1].grad is None


@pytest.mark.parametrize(("n_in", "n_out"), WIDTHS)
def test_a_member_has_the_bits_that_it_has_alone(n_in: int, n_out: int) -> None:
    x, weight, bias = some(5, 33, n_in, seed=0), some(5, n_in, n_out, seed=1), some(5, 1, n_out, seed=2)
    together = affine(x, weight, bias)
    for k in range(5):
        assert torch.equal(affine(x[k : k + 1], weight[k : k + 1], bias[k : k + 1])[0], together[k])


@pytest.mark.parametrize(("n_in", "n_out"), WIDTHS)
def test_without_openblas_the_same_comes_from_torch(n_in: int, n_out: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_and_gradients() -> list[torch.Tensor]:
        x, weight, bias = some(2, 33, n_in, seed=0), some(2, n_in, n_out, seed=1), some(2, 1, n_out, seed=2)
        into = Gradient(torch.empty_like(weight), torch.empty_like(bias))
        out = Affine.apply(x.requires_grad_(), weight, bias, into, True)
        out.sum().backward()
        return [out, x.grad, into.weight, into.bias]

    found = out_and_gradients()
    monkeypatch.setattr(openblas, "AVAILABLE", False)
    for one, other in zip(found, out_and_gradients(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_gradient_of_a_shift_is_the_sum_over_its_rows() -> None:
    into = Gradient(torch.empty(0), torch.empty(2, 1, 3))
    x, weights = some(2, 9, 3, seed=0).requires_grad_(), some(2, 9, 3, seed=1)
    (Shift.apply(x, some(2, 1, 3, seed=2), into) * weights).sum().backward()
    assert torch.equal(x.grad, weights)
    torch.testing.assert_close(into.bias, weights.sum(1, keepdim=True))
