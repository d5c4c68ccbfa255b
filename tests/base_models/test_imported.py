"""A WaveGAN that was trained elsewhere: the same clips as by the graph that it was trained in."""

from pathlib import Path

import bundles
import numpy as np
import pytest
import torch

from bridgelab.base_models.imported import read_wavegan
from bridgelab.base_models.wavegan import WaveGAN
from bridgelab.errors import DataError

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return (0.3 * RNG.normal(size=shape)).astype(np.float32)


TENSORS = {
    "G/z_project/dense/kernel": normal(3, 4 * 4),  # 4 steps of 4 channels
    "G/z_project/dense/bias": normal(16),
    "G/upconv_0/conv2d_transpose/kernel": normal(1, 25, 2, 4),
    "G/upconv_0/conv2d_transpose/bias": normal(2),
    "G/upconv_1/conv2d_transpose/kernel": normal(1, 25, 1, 2),
    "G/upconv_1/conv2d_transpose/bias": normal(1),
    "G/upconv_1/conv2d_transpose/bias/Adam": normal(1),
    "G/upconv_1/conv2d_transpose/bias/Adam_1": normal(1),
    "D/downconv_0/conv1d/kernel": normal(25, 1, 2),
    "global_step": np.array(7, np.int64),
}


def by_definition(z_D: np.ndarray) -> np.ndarray:
    """Each step of a signal adds its kernel to the four times longer one, from ten steps before its place."""
    t = {name: array.astype(np.float64) for name, array in TENSORS.items()}
    x_TC = (z_D @ t["G/z_project/dense/kernel"] + t["G/z_project/dense/bias"]).reshape(4, 4)
    for i in range(2):
        kernel_KOI = t[f"G/upconv_{i}/conv2d_transpose/kernel"][0]
        wide = np.zeros((10 + 4 * len(x_TC) + 25, kernel_KOI.shape[1]))
        for step, x_C in enumerate(np.maximum(x_TC, 0)):
            wide[4 * step : 4 * step + 25] += kernel_KOI @ x_C
        x_TC = wide[10 : 10 + 4 * len(x_TC)] + t[f"G/upconv_{i}/conv2d_transpose/bias"]
    return np.tanh(x_TC[:, 0])


def test_the_imported_generator_makes_what_its_own_graph_makes(tmp_path: Path) -> None:
    bundles.write(tmp_path / "model.ckpt", TENSORS)
    found = read_wavegan(tmp_path / "model.ckpt", 64)
    assert (found.config.latent_dim, found.config.n_filters, found.config.n_layers) == (3, 2, 2)
    model = WaveGAN(64, found.config)
    model.load_state_dict(found.state)
    z_ND = RNG.normal(size=(5, 3))
    with torch.inference_mode():
        clips = model.decode(torch.from_numpy(z_ND).float()).numpy()
    assert np.allclose(clips, [by_definition(z_D) for z_D in z_ND], atol=1e-6)


def test_the_weights_are_part_of_what_it_is_called(tmp_path: Path) -> None:
    bundles.write(tmp_path / "a", TENSORS)
    bundles.write(tmp_path / "b", TENSORS, n_shards=2)
    bundles.write(tmp_path / "c", TENSORS | {"G/upconv_1/conv2d_transpose/bias": normal(1)})
    a, b, c = (read_wavegan(tmp_path / name, 64).config.imported for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("changed", "n_samples", "said"),
    [
        ({}, 128, "makes clips of 64 samples, and those of the domain have 128"),
        ({"G/z_project/dense/kernel": None}, 64, "no generator of a WaveGAN"),
        ({"G/upconv_0/conv2d_transpose/bias": None}, 64, "no tensor 'G/upconv_0/conv2d_transpose/bias'"),
        ({"G/upconv_0/conv2d_transpose/bias": normal(3)}, 64, r"bias is float32 \(3,\), and should be float32 \(2,\)"),
        ({"G/upconv_1/batch_normalization/gamma": normal(1)}, 64, "which a WaveGAN without batch norm"),
        ({"G/upconv_1/conv2d_transpose/bias": np.full(1, np.nan, np.float32)}, 64, "values that are not finite"),
    ],
)
def test_a_checkpoint_of_something_else_is_one_line(tmp_path: Path, changed, n_samples: int, said: str) -> None:
    bundles.write(tmp_path / "x", {n: a for n, a in (TENSORS | changed).items() if a is not None})
    with pytest.raises(DataError, match=said) as error:
        read_wavegan(tmp_path / "x", n_samples)
    assert "\n" not in str(error.value)
