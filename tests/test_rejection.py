"""Latents that are drawn and judged: who is kept, in which split, and what is said where a class stays rare."""

import json

import numpy as np
import pytest
import torch
from untrained import JUDGE, wavegan

from bridgelab import latents, rejection
from bridgelab.base_models import Features
from bridgelab.domains import SPLITS, Samples
from bridgelab.errors import InvalidValueError, ModelError
from bridgelab.lab import Lab
from bridgelab.rejection import BATCH, Draws
from bridgelab.specs import Drawn, ModelSpec
from bridgelab.wavegan_config import RejectionConfig

N = 10
JUDGED_BY = ModelSpec(kind="classifier", domain="fsdd_wave", data_id="none", config=JUDGE, seed=0)


class Itself:
    """A generator whose samples are its latents."""

    def decode(self, z_BD: torch.Tensor) -> torch.Tensor:
        return z_BD


class ByAngle:
    """Ten classes by the direction of the first two coordinates, surer the nearer to the middle of a sector."""

    def __init__(self, deaf_to: tuple[int, ...] = ()) -> None:
        self.deaf_to = list(deaf_to)

    def features(self, x_BX: torch.Tensor) -> Features:
        angle_B = torch.atan2(x_BX[:, 1], x_BX[:, 0])
        logits_BC = 8 * torch.cos(angle_B[:, None] - torch.arange(N) * (2 * torch.pi / N))
        logits_BC[:, self.deaf_to] -= 1e3
        return Features(x_BX, torch.softmax(logits_BC, 1))

    def classify(self, x_BX: torch.Tensor) -> torch.Tensor:
        return self.features(x_BX).softmax.argmax(1)


REAL = Samples(np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32), np.arange(200) % N)


def spec(lab: Lab, **values: object) -> ModelSpec:
    return wavegan(lab, "fsdd_wave", JUDGED_BY, **values)


DRAWS = Draws(
    z=np.arange(6, dtype=np.float32)[:, None],
    p=np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1], [0.4, 0.6], [0.99, 0.01]], np.float32),
)


def test_the_most_confident_of_each_class_are_kept_the_first_among_equals() -> None:
    assert [rows.tolist() for rows in rejection.most_confident(DRAWS, 2)] == [[0, 5], [2, 4]]


def test_the_first_above_a_threshold_are_kept() -> None:
    assert [rows.tolist() for rows in rejection.first_above(DRAWS, 2, 0.75)] == [[0, 3], [2]]
    assert DRAWS.counts(0.75).tolist() == [3, 1]


def test_the_likeliest_of_a_class_may_be_of_another_and_no_draw_is_kept_twice() -> None:
    kept = rejection.likeliest(DRAWS, 3)
    assert [rows.tolist() for rows in kept] == [[0, 3, 5], [1, 2, 4]]


def test_a_threshold_is_what_a_share_of_real_samples_reaches() -> None:
    judge = ByAngle()
    labels = judge.classify(torch.from_numpy(REAL.x)).numpy()
    threshold = rejection.calibrated(judge, Samples(REAL.x, labels), 0.25)
    confidence = judge.features(torch.from_numpy(REAL.x)).softmax.max(1).values.numpy()
    assert (confidence >= threshold).sum() == 50


def test_each_class_is_drawn_often_enough_and_the_best_are_spread_over_the_splits(lab: Lab) -> None:
    wanted = spec(lab, rule="top_k", n_per_class=40, n_drawn_per_class=160)
    rejection.make(lab, wanted, Itself(), ByAngle(), {"validation": REAL})
    found = latents.read(lab, wanted.latents_id)
    counts = {split: np.bincount(found[split].labels).tolist() for split in SPLITS}
    assert counts == {"train": [30] * N, "validation": [5] * N, "test": [5] * N}
    about = json.loads(lab.read(f"latents/{wanted.latents_id}/draws.json"))
    assert min(about["drawn_of_class"]) >= 160
    assert sum(about["drawn_of_class"]) == about["n_draws"]
    assert about["acceptance"] == 400 / about["n_draws"]
    for split in SPLITS:
        assert not found[split].sigma.any()
        z = torch.from_numpy(found[split].mu)
        judged = ByAngle().features(z).softmax
        assert np.array_equal(judged.argmax(1).numpy(), found[split].labels)
        assert judged.max(1).values.min() >= min(about["least_confidence"])
    assert len(np.unique(np.concatenate([found[split].mu for split in SPLITS]), axis=0)) == 400


def test_the_same_seed_draws_the_same_latents_and_another_rule_chooses_among_them(lab: Lab) -> None:
    top = rejection.draw(spec(lab, rule="top_k", n_drawn_per_class=40), Itself(), ByAngle(), REAL)
    again = rejection.draw(spec(lab, rule="top_k", n_drawn_per_class=40), Itself(), ByAngle(), REAL)
    sure = rejection.draw(spec(lab, rule="threshold", real_share=0.9), Itself(), ByAngle(), REAL)
    assert all(np.array_equal(top.splits[s].mu, again.splits[s].mu) for s in SPLITS)
    every, others = ({tuple(row) for s in SPLITS for row in of.splits[s].mu} for of in (top, sure))
    assert every != others
    assert every & others


def test_draws_are_capped_and_the_starving_classes_are_named(lab: Lab) -> None:
    heard = []
    wanted = spec(lab, rule="top_k", most_draws=2 * BATCH)
    with pytest.raises(ModelError, match=r"of 1,024 draws, 16 .* too few of two \(0\), seven \(0\); .*wavegan.n_steps"):
        rejection.draw(wanted, Itself(), ByAngle((2, 7)), REAL, told=lambda n, counts: heard.append((n, counts[2])))
    assert heard == [(BATCH, 0), (2 * BATCH, 0)]


def test_the_lab_knows_how_far_the_draws_have_come(lab: Lab) -> None:
    class Watching(ByAngle):
        def features(self, x_BX: torch.Tensor) -> Features:
            seen.extend(json.loads(lab.read(f"training/{name}")) for name in lab.names("training"))
            return super().features(x_BX)

    seen, wanted = [], spec(lab, rule="top_k", n_per_class=16, n_drawn_per_class=100)
    rejection.make(lab, wanted, Itself(), Watching(), {"validation": REAL})
    assert seen[0]["n_draws"] == BATCH == sum(seen[0]["of_class"])
    assert lab.names("training") == []


def test_how_latents_are_drawn_has_no_part_in_the_model_but_in_the_latents(lab: Lab) -> None:
    one, other = spec(lab), spec(lab, n_per_class=8)
    assert one.model_id == other.model_id == one.as_trained.model_id
    drawn = Drawn(judge_id="another", rejection=one.drawn.rejection)
    third = ModelSpec(kind="wavegan", domain="fsdd_wave", data_id="none", config=one.config, seed=0, drawn=drawn)
    assert len({one.latents_id, other.latents_id, third.latents_id}) == 3


def test_more_cannot_be_kept_than_are_drawn() -> None:
    with pytest.raises(InvalidValueError, match="rejection.n_drawn_per_class at least as many"):
        RejectionConfig(n_per_class=100, n_drawn_per_class=50)
    with pytest.raises(ValueError, match="greater than or equal to 5"):
        RejectionConfig(n_per_class=3)
