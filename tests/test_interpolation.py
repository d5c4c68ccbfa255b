"""What is said of paths that were sent across: exact on maps that anybody can follow."""

import numpy as np
import pytest
import torch

from bridgelab.interpolation import N_PATHS, N_POINTS, Target, draw_paths, measure, points
from bridgelab.latents import Latents

RNG = np.random.default_rng(0)


def _latents(n: int) -> Latents:
    mu = RNG.standard_normal((n, 2)).astype(np.float32)
    return Latents(mu, np.ones_like(mu), np.arange(n) % 3)


THERE = Target({"train": _latents(500), "test": _latents(300)})


def _paths() -> torch.Tensor:
    z_ND = torch.from_numpy(RNG.standard_normal((20, 2)).astype(np.float32))
    return points(z_ND, draw_paths(np.arange(20) % 3, "between", np.random.default_rng(1)))


@pytest.mark.parametrize(("where", "alike"), [("within", True), ("between", False)])
def test_paths_go_between_two_items_of_one_class_or_of_two(where: str, alike: bool) -> None:
    labels_N = np.array([0, 0, 1, 1, 1, 2])
    ends_P2 = draw_paths(labels_N, where, np.random.default_rng(0))  # type: ignore[arg-type]
    assert ends_P2.shape == (N_PATHS, 2)
    assert (ends_P2[:, 0] != ends_P2[:, 1]).all()
    assert (np.equal(*labels_N[ends_P2].T) == alike).all()


@pytest.mark.parametrize(("where", "labels"), [("within", [0, 1, 2]), ("between", [0, 0, 0])])
def test_where_no_such_pair_is_there_are_no_paths(where: str, labels: list[int]) -> None:
    assert len(draw_paths(np.array(labels), where, np.random.default_rng(0))) == 0  # type: ignore[arg-type]


def test_a_map_that_turns_and_scales_bends_no_path_and_jumps_nowhere() -> None:
    before_PTD = _paths()
    after_PTD = before_PTD @ torch.tensor([[0.0, 2.0], [-2.0, 0.0]])
    lengths = measure("ab", "between", before_PTD, before_PTD, THERE)
    found = measure("ab", "between", before_PTD, after_PTD, THERE)
    assert found["path_jump_between_ab"] == pytest.approx(1, abs=1e-3)
    assert found["path_length_between_ab"] == pytest.approx(lengths["path_length_between_ab"], rel=1e-4)


def test_a_path_that_jumps_once_has_all_its_length_in_one_step() -> None:
    before_PTD = _paths()
    after_PTD = torch.zeros_like(before_PTD)
    after_PTD[:, N_POINTS // 2 :] = torch.tensor([1.0, 0.0])
    found = measure("ba", "within", before_PTD, after_PTD, THERE)
    assert found["path_length_within_ba"] == pytest.approx(1)
    assert found["path_jump_within_ba"] > 5


def test_distances_are_in_those_of_the_target_s_own_test_items() -> None:
    test = _latents(300)
    there = Target({"train": _latents(500), "test": test})
    assert there.distance(torch.from_numpy(test.mu)) == pytest.approx(1)
    assert there.distance(torch.full((4, 2), 50.0)) > 100
