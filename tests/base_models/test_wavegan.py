"""WaveGAN as published: its sizes, its layers against the rule that they were published with, its phase shuffle."""

import numpy as np
import pytest
import torch

from bridgelab.base_models.wavegan import Critic, WaveGAN, draw_shifts, shuffled
from bridgelab.errors import InvalidValueError
from bridgelab.wavegan_config import WaveGANConfig


def models(n_samples: int, **values) -> tuple[WaveGAN, Critic]:
    config = WaveGANConfig(**{"n_filters": 2, "latent_dim": 3} | values)
    torch.manual_seed(0)
    return WaveGAN(n_samples, config), Critic(n_samples, config)


@pytest.mark.parametrize(("n_samples", "n_layers"), [(2048, 4), (4096, 4), (4096, 5), (8192, 5), (16384, 5)])
def test_a_clip_has_its_length_at_every_size(n_samples: int, n_layers: int) -> None:
    generator, critic = models(n_samples, n_layers=n_layers)
    clips = generator.decode(torch.randn(2, 3))
    assert clips.shape == (2, n_samples)
    assert clips.abs().max() <= 1
    assert critic(clips, [0] * (n_layers - 1)).shape == (2,)


def test_the_full_size_has_the_published_number_of_weights() -> None:
    with torch.device("meta"):
        pair = WaveGAN(16384, WaveGANConfig()), Critic(16384, WaveGANConfig())
    assert [sum(p.numel() for p in module.parameters()) for module in pair] == [19_065_345, 17_427_969]


def test_a_length_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(InvalidValueError, match=r"n_layers=6: 2,048 samples .* 5 times; give at most 5"):
        models(2048, n_layers=6)
    with pytest.raises(InvalidValueError, match=r"phase_shuffle=8.* a layer of 8 steps"):
        models(2048, n_layers=5, phase_shuffle=8)


def same_convolution(x_TI: np.ndarray, kernel_KIO: np.ndarray, stride: int) -> np.ndarray:
    """The rule "same" by its definition: out[t] = sum over k of in[stride * t + k - before] * kernel[k]."""
    n, k = len(x_TI), len(kernel_KIO)
    n_out = -(-n // stride)
    before = max((n_out - 1) * stride + k - n, 0) // 2
    out = np.zeros((n_out, kernel_KIO.shape[2]))
    for t in range(n_out):
        for j in range(k):
            if 0 <= (place := stride * t + j - before) < n:
                out[t] += x_TI[place] @ kernel_KIO[j]
    return out


def same_transposed(x_TI: np.ndarray, kernel_KOI: np.ndarray, stride: int) -> np.ndarray:
    """The transpose of that convolution, as a matrix: what carries gradients from its output to its input."""
    n_out, n_o = stride * len(x_TI), kernel_KOI.shape[1]
    columns = []
    for unit in np.eye(n_out * n_o).reshape(-1, n_out, n_o):
        columns.append(same_convolution(unit, kernel_KOI, stride).ravel())
    return (np.array(columns) @ x_TI.ravel()).reshape(n_out, n_o)


def test_the_generator_is_that_of_the_rule_it_was_published_with() -> None:
    generator, _ = models(64, n_layers=2)
    z = torch.randn(3)
    state = {name: tensor.double().numpy() for name, tensor in generator.state_dict().items()}
    x = (state["project.weight"] @ z.double().numpy() + state["project.bias"]).reshape(4, 4)  # time, channels
    for i in range(2):
        kernel_KOI = state[f"up.{i}.weight"].transpose(2, 1, 0)
        x = same_transposed(np.maximum(x, 0), kernel_KOI, 4) + state[f"up.{i}.bias"]
    assert np.allclose(np.tanh(x[:, 0]), generator.decode(z[None]).detach().numpy()[0], atol=1e-6)


def test_the_critic_is_that_of_the_rule_it_was_published_with() -> None:
    _, critic = models(64, n_layers=2)
    clip = torch.randn(64)
    state = {name: tensor.double().numpy() for name, tensor in critic.state_dict().items()}
    x = clip.double().numpy()[:, None]
    for i in range(2):
        x = same_convolution(x, state[f"down.{i}.weight"].transpose(2, 1, 0), 4) + state[f"down.{i}.bias"]
        x = np.where(x > 0, x, 0.2 * x)
        x = np.concatenate([x[1:], x[-2:-1]]) if i == 0 else x  # one step earlier
    expected = state["score.weight"][0] @ x.ravel() + state["score.bias"][0]
    assert float(critic(clip[None], [-1]).detach()) == pytest.approx(expected, abs=1e-5)


def test_the_phase_shuffle_reflects_what_comes_in() -> None:
    x = torch.arange(5.0).reshape(1, 1, 5)
    moved = {shift: shuffled(x, shift).flatten().tolist() for shift in (-2, -1, 0, 1, 2)}
    assert moved == {
        -2: [2, 3, 4, 3, 2],
        -1: [1, 2, 3, 4, 3],
        0: [0, 1, 2, 3, 4],
        1: [1, 0, 1, 2, 3],
        2: [2, 1, 0, 1, 2],
    }


def test_a_call_draws_one_shift_for_each_layer_but_the_last_from_its_stream() -> None:
    config = WaveGANConfig()
    drawn = [draw_shifts(config, torch.Generator().manual_seed(seed)) for seed in range(200)]
    assert drawn[7] == draw_shifts(config, torch.Generator().manual_seed(7))
    assert {len(shifts) for shifts in drawn} == {4}
    assert {shift for shifts in drawn for shift in shifts} == {-2, -1, 0, 1, 2}
