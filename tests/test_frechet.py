"""FID against the formula, and as a metric of the trials that ask for it."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from untrained import JUDGE

from bridgelab.base_models import Features
from bridgelab.domains import get_domain
from bridgelab.frechet import frechet_distance, frechet_distances
from bridgelab.metrics import FRECHET
from bridgelab.study import Selection, resolve


def by_the_formula(a: np.ndarray, b: np.ndarray) -> float:
    s, t = np.cov(a.T), np.cov(b.T)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s + t - 2 * sqrtm(s @ t).real))


def test_the_distance_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((300, 6)), 0.5 + rng.standard_normal((200, 6)) * [1, 2, 1, 0.5, 1, 1]
    found = frechet_distance(torch.from_numpy(a), torch.from_numpy(b))
    assert found == pytest.approx(by_the_formula(a, b), rel=1e-6)


def test_a_set_is_at_no_distance_from_itself() -> None:
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 4)))
    dead = torch.cat([rows, torch.zeros(50, 2, dtype=rows.dtype)], dim=1)  # units that are never active
    assert frechet_distances(Features(dead, rows), Features(dead, rows)) == pytest.approx(
        {"penultimate": 0.0, "softmax": 0.0}, abs=1e-5
    )


def test_a_study_that_asks_for_fid_gets_it_where_judges_have_features() -> None:
    assert resolve("transfer_pairs", Selection(pair="digits-digits")).measures_fid
    assert not resolve("transfer_pairs", Selection(pair="plane-plane")).measures_fid
    assert not resolve("component_ablation", Selection(pair="digits-digits")).measures_fid


def test_a_judges_features_lead_to_its_classes() -> None:
    from bridgelab.base_models import checkpoint
    from bridgelab.specs import ModelSpec

    spec = ModelSpec(kind="classifier", domain="mnist", data_id="none", config=JUDGE, seed=0)
    judge = checkpoint.build(spec, get_domain("mnist"))
    x = torch.rand(9, 784, generator=torch.Generator().manual_seed(0))
    features = judge.features(x)
    assert features.penultimate.shape == (9, JUDGE.hidden_dim)
    assert torch.equal(features.softmax.argmax(1), judge.classify(x))
    assert torch.allclose(features.softmax.sum(1), torch.ones(9))
    assert len(FRECHET) == 12
