"""Products of batches of float32 matrices on an x86-64 CPU, by OpenBLAS.

By default torch leaves them to MKL, which uses vectors of half the width on processors that are not Intel's.
OpenBLAS takes half the time there, and a call for a whole batch where oneDNN takes one for each matrix. A process
has a copy of its own, beside numpy's: which kernels it uses is told by its environment when it is loaded, and on
processors that are newer than itself it would choose those without AVX-512.

Shapes: K matrices, R rows, I inner, C columns.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from .environment import environment

AVAILABLE = sys.platform == "linux" and platform.machine() == "x86_64"
KERNELS = {"AVX512": "SKYLAKEX", "AVX2": "HASWELL"}
"""By the vectors that torch sees: the same kernels on every processor that has these."""
BY_ROWS, AS_IT_STANDS, TRANSPOSED = 101, 111, 112
"""CblasRowMajor, CblasNoTrans, CblasTrans."""


def serves(matrix: Tensor) -> bool:
    """Whether products of batches of such matrices are done here."""
    return AVAILABLE and matrix.device.type == "cpu" and matrix.dtype == torch.float32


def matmul(left: Tensor, right: Tensor) -> Tensor:
    """left @ right; by torch where these are no batches (K, R, I) and (K, I, C) that are served here."""
    if left.ndim != 3 or not serves(left):
        return left @ right
    out_KRC = left.new_empty(len(left), left.shape[1], right.shape[2])
    multiply(left, right, out_KRC)
    return out_KRC


def multiply(left_KRI: Tensor, right_KIC: Tensor, out_KRC: Tensor, add: bool = False) -> None:
    """Writes K products to `out`, each of whose rows lies in one piece; with `add`, adds them to what is there."""
    left, left_as, left_row = _laid_out(left_KRI)
    right, right_as, right_row = _laid_out(right_KIC)
    k, r, c = out_KRC.shape
    _sgemm_batch_strided()(
        BY_ROWS, left_as, right_as, r, c, left.shape[2],
        1.0, left.data_ptr(), left_row, left.stride(0),
        right.data_ptr(), right_row, right.stride(0),
        float(add), out_KRC.data_ptr(), out_KRC.stride(1), out_KRC.stride(0), k,
    )  # fmt: skip


def _laid_out(matrices: Tensor) -> tuple[Tensor, int, int]:
    """Matrices as the library can read them: as they stand or transposed, and how far it is from row to row."""
    _, rows, columns = matrices.shape
    _, down, across = matrices.stride()
    if across == 1 and down >= columns:
        return matrices, AS_IT_STANDS, down
    if down == 1 and across >= rows:
        return matrices, TRANSPOSED, across
    return matrices.contiguous(), AS_IT_STANDS, columns


@functools.cache
def _sgemm_batch_strided() -> Callable[..., None]:
    function = library().scipy_cblas_sgemm_batch_strided
    n, number, floats = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
    function.argtypes = [n, n, n, n, n, n, number, floats, n, n, floats, n, n, number, floats, n, n, n]
    function.restype = None
    return function


@functools.cache
def library() -> ctypes.CDLL:
    """This process's OpenBLAS. Raises ModuleNotFoundError where it is not installed."""
    package = importlib.util.find_spec("scipy_openblas32")  # to import it would show its symbols to other libraries
    if package is None or package.origin is None:
        raise ModuleNotFoundError("there is no scipy_openblas32 here: pip install scipy-openblas32")
    (path,) = (Path(package.origin).parent / "lib").glob("libscipy_openblas*.so")
    kernels = KERNELS.get(torch.backends.cpu.get_cpu_capability())
    one_thread = {"OPENBLAS_NUM_THREADS": "1"}  # as a pack has
    with environment(one_thread | ({"OPENBLAS_CORETYPE": kernels} if kernels else {})):
        return ctypes.CDLL(str(path))
