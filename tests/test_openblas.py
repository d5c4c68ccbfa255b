"""Products by OpenBLAS are torch's, however the matrices lie in memory."""

import ctypes
import os

import pytest
import torch
from torch import Tensor

from bridgelab import openblas

pytestmark = pytest.mark.skipif(
    not openblas.AVAILABLE, reason="its wheels are taken for Linux on x86-64 only; torch does them"
)


def some(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def part_of_rows(matrices: Tensor) -> Tensor:
    """The same matrices as views of longer rows, as a pack keeps weights."""
    k, rows, columns = matrices.shape
    wide = torch.zeros(k, 2, rows * columns + 64)
    wide[:, 1, : rows * columns] = matrices.flatten(1)
    return wide[:, 1, : rows * columns].view(k, rows, columns)


def spread(matrices: Tensor) -> Tensor:
    """The same matrices with a gap between any two numbers."""
    return matrices.repeat_interleave(2, -1)[..., ::2]


LAYOUTS = [Tensor.contiguous, part_of_rows, lambda m: m.mT.contiguous().mT, spread]


@pytest.mark.parametrize("left_lies", LAYOUTS)
@pytest.mark.parametrize("right_lies", LAYOUTS)
@pytest.mark.parametrize("sizes", [(256, 64, 64), (5, 1, 7), (1, 9, 1), (100, 8, 256)])
def test_a_batch_is_the_product_of_each_pair(left_lies, right_lies, sizes: tuple[int, int, int]) -> None:
    r, i, c = sizes
    left, right = some(3, r, i), some(3, i, c)
    found = openblas.matmul(left_lies(left), right_lies(right))
    torch.testing.assert_close(found, left @ right, rtol=1e-4, atol=1e-4)


def test_it_adds_to_what_is_there() -> None:
    left, right, there = some(2, 9, 5), some(2, 5, 3), some(2, 9, 3)
    out = part_of_rows(there)
    openblas.multiply(left, right, out, add=True)
    torch.testing.assert_close(out, there + left @ right)


@pytest.mark.parametrize("sizes", [(256, 64, 64), (256, 18, 10), (256, 512, 130)])
def test_a_pair_has_the_bits_that_it_has_alone(sizes: tuple[int, int, int]) -> None:
    r, i, c = sizes
    left, right = some(5, r, i), some(5, i, c)
    together = openblas.matmul(left, right)
    for k in range(5):
        assert torch.equal(openblas.matmul(left[k : k + 1].clone(), right[k : k + 1].clone())[0], together[k])


def test_single_matrices_and_other_numbers_are_left_to_torch() -> None:
    assert torch.equal(openblas.matmul(some(3, 4), some(4, 5)), some(3, 4) @ some(4, 5))
    low = some(2, 3, 4).bfloat16()
    assert openblas.matmul(low, low.mT).dtype == torch.bfloat16


def test_it_has_one_thread_and_kernels_of_full_width_and_leaves_the_environment_alone() -> None:
    before = dict(os.environ)
    openblas.library.cache_clear()
    library = openblas.library()
    library.scipy_openblas_get_corename.restype = ctypes.c_char_p
    expected = {"AVX512": b"SkylakeX", "AVX2": b"Haswell"}.get(torch.backends.cpu.get_cpu_capability())
    assert expected is None or library.scipy_openblas_get_corename() == expected
    assert library.scipy_openblas_get_num_threads() == 1
    assert dict(os.environ) == before
