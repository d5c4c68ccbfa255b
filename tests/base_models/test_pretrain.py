"""Base models and judges: reproducible, chosen on validation, and good enough to build on."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from bridgelab.base_models import checkpoint, pretrain, shift
from bridgelab.base_models.fit import N_CHECKS, ModelCheckpoint, Objective, fit
from bridgelab.config import STAGE_VERSIONS
from bridgelab.domains import Samples, get_domain
from bridgelab.errors import LabError, ModelError
from bridgelab.keys import with_keys
from bridgelab.lab import Lab
from bridgelab.specs import BaseModelJob
from bridgelab.study import Selection, base_model, judge, resolve

DIGITS = get_domain("digits")


@pytest.fixture(scope="module")
def samples():
    return DIGITS.load("a")


def specs(preset: str, **values):
    """The base model of replicate 0 on side a, and the judge."""
    arm = resolve("component_ablation", Selection(preset=preset)).arms[0]
    settings = with_keys(arm.settings, values)
    return base_model(DIGITS, "a", settings, 0), judge(DIGITS, "a", settings)


SHORT = {"vae.n_steps": 30, "judge.n_steps": 30}
MOVED = {"vae.shift": 1, "judge.shift": 1, "judge.noise": 0.1}


def state(module) -> dict[str, torch.Tensor]:
    return module.state_dict()


def test_training_twice_gives_the_same_bits(samples) -> None:
    vae, classifier = specs("smoke", **SHORT)
    for train, spec in ((pretrain.train_vae, vae), (pretrain.train_classifier, classifier)):
        first, second = (state(train(spec, DIGITS, samples)) for _ in range(2))
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_two_seeds_give_two_models(samples) -> None:
    vae, _ = specs("smoke", **SHORT)
    first = state(pretrain.train_vae(vae, DIGITS, samples))
    second = state(pretrain.train_vae(dataclasses.replace(vae, seed=1), DIGITS, samples))
    assert not any(torch.equal(first[name], second[name]) for name in first)


def test_nothing_is_chosen_on_the_test_split(samples) -> None:
    rng = np.random.default_rng(0)
    noise = Samples(rng.random(samples["test"].x.shape, dtype=np.float32), samples["test"].labels)
    vae, classifier = specs("smoke", **SHORT)
    for train, spec in ((pretrain.train_vae, vae), (pretrain.train_classifier, classifier)):
        honest, blind = state(train(spec, DIGITS, samples)), state(train(spec, DIGITS, {**samples, "test": noise}))
        assert all(torch.equal(honest[name], blind[name]) for name in honest)


def test_the_best_state_on_validation_is_kept(samples) -> None:
    _, spec = specs("smoke", **{"judge.n_steps": 40})
    model = checkpoint.build(spec, DIGITS)
    scores = iter([*range(12), *[0] * 8])  # N_CHECKS of them: the best is the twelfth
    states = []

    def score() -> float:
        states.append(copy.deepcopy(model.state_dict()))
        return next(scores)

    x, y = torch.from_numpy(samples["train"].x), torch.from_numpy(samples["train"].labels)

    def loss(module, index_B, rows):
        return torch.nn.functional.cross_entropy(module(x[index_B]), y[index_B])

    fit(spec, model, Objective(loss, score, {}, len(x)), torch.Generator().manual_seed(0))
    assert len(states) == N_CHECKS
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in states[11].items())
    assert not torch.equal(states[11]["layers.0.weight"], states[19]["layers.0.weight"])


def test_a_model_that_diverges_is_an_error_and_not_a_model(lab: Lab, samples) -> None:
    vae, classifier = specs("smoke", **SHORT, **{"vae.learning_rate": 1e30, "judge.learning_rate": 1e30})
    with pytest.raises(ModelError, match=r"classifier of digits .* diverged.*--set judge\.learning_rate="):
        pretrain.make_judge(lab, classifier, samples)
    with pytest.raises(ModelError, match=r"vae of digits with seed 0 diverged.*--set vae\.learning_rate="):
        pretrain.make_base_model(lab, BaseModelJob(vae, classifier, "a"), samples)
    assert lab.names("models") == []


def test_training_draws_nothing_from_the_global_generators(samples) -> None:
    before = torch.random.get_rng_state()
    for train, spec in zip((pretrain.train_vae, pretrain.train_classifier), specs("smoke", **SHORT), strict=True):
        train(spec, DIGITS, samples)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_saved_model_is_the_one_that_was_trained(lab: Lab, samples) -> None:
    vae, classifier = specs("smoke", **SHORT)
    pretrain.make_judge(lab, classifier, samples)
    pretrain.make_base_model(lab, BaseModelJob(vae, classifier, "a"), samples)
    trained = state(pretrain.train_vae(vae, DIGITS, samples))
    loaded = state(checkpoint.load(lab, vae, DIGITS))
    assert all(torch.equal(trained[name], loaded[name]) for name in trained)
    assert lab.names(f"models/{vae.model_id}") == ["config.json", "metrics.json", "model.safetensors", "timing.json"]


def test_a_model_that_the_lab_has_is_not_trained_again(lab: Lab, samples, monkeypatch: pytest.MonkeyPatch) -> None:
    vae, classifier = specs("smoke", **SHORT)
    for _ in range(2):
        pretrain.make_judge(lab, classifier, samples)
        pretrain.make_base_model(lab, BaseModelJob(vae, classifier, "a"), samples)
        monkeypatch.setattr(pretrain, "train_vae", None)
        monkeypatch.setattr(pretrain, "train_classifier", None)
    assert set(lab.names("models")) == {vae.model_id, classifier.model_id}


def test_a_damaged_model_is_named(lab: Lab, samples) -> None:
    _, classifier = specs("smoke", **SHORT)
    lab.publish_folder(f"models/{classifier.model_id}", {"model.safetensors": b"damaged"})
    with pytest.raises(LabError, match=f"{classifier.model_id}.*remove its folder"):
        checkpoint.load(lab, classifier, DIGITS)


def test_a_model_under_the_name_of_another_is_named(lab: Lab, samples) -> None:
    vae, classifier = specs("smoke", **SHORT)
    model = pretrain.train_classifier(classifier, DIGITS, samples)
    checkpoint.save(lab, vae, model, {})
    with pytest.raises(LabError, match="does not hold the vae of its name"):
        checkpoint.load(lab, vae, DIGITS)


class Stopped(Exception):
    """A worker's death, as far as the loop can tell."""


class StopsAt(ModelCheckpoint):
    """Saves at every step, and stops the loop after some."""

    def __init__(self, lab: Lab, model_id: str, n: int) -> None:
        super().__init__(lab, model_id, every_s=0.0)
        self.left = n

    def save_if_due(self, state) -> None:
        super().save_if_due(state)
        self.left -= 1
        if self.left == 0:
            raise Stopped


@pytest.mark.parametrize("kind", ["vae", "classifier"])
def test_training_goes_on_from_its_checkpoint_to_the_same_bits(lab: Lab, samples, kind: str) -> None:
    spec = dict(zip(("vae", "classifier"), specs("smoke", **SHORT, **MOVED), strict=True))[kind]
    train = {"vae": pretrain.train_vae, "classifier": pretrain.train_classifier}[kind]
    undisturbed = state(train(spec, DIGITS, samples))
    for n in (7, 15):
        with pytest.raises(Stopped):
            train(spec, DIGITS, samples, kept=StopsAt(lab, spec.model_id, n))
    resumed = state(train(spec, DIGITS, samples, kept=ModelCheckpoint(lab, spec.model_id)))
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_a_convolutional_judge_learns_the_digits(samples, pool: str) -> None:
    _, spec = specs("smoke", **{"judge.kind": "cnn", "judge.n_steps": 400, "judge.channels": 4, "judge.pool": pool})
    model = pretrain.train_classifier(spec, DIGITS, samples)
    x, y = torch.from_numpy(samples["test"].x), torch.from_numpy(samples["test"].labels)
    assert float((model.classify(x) == y).float().mean()) > 0.85


def test_bfloat16_comes_close_and_has_an_id_of_its_own(samples) -> None:
    (half, _), (full, _) = specs("smoke", **{"vae.precision": "bfloat16"}), specs("smoke")
    x = torch.from_numpy(samples["validation"].x)
    losses = [float(pretrain.train_vae(s, DIGITS, samples)(x, torch.zeros(len(x), 8))) for s in (half, full)]
    assert half.model_id != full.model_id
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_shifted_images_are_moved_by_whole_pixels_each_by_its_own() -> None:
    x_BX = torch.zeros(200, 64)
    x_BX[:, 27] = 1.0  # row 3, column 3
    moved = shift.shifted(x_BX, DIGITS, 1, torch.Generator().manual_seed(0))
    assert set(moved.argmax(1).tolist()) == {8 * row + column for row in (2, 3, 4) for column in (2, 3, 4)}
    assert torch.equal(moved.sum(1), torch.ones(200))
    assert shift.shifted(x_BX, DIGITS, 0, torch.Generator()) is x_BX


GOLDEN = {1: {"vae": 969.587, "classifier": 1.51368}}
"""Of each version of the stage: the loss on validation after 30 steps."""


def test_the_base_model_stage_gives_its_golden_numbers(samples) -> None:
    vae, classifier = specs("smoke", **SHORT)
    golden = GOLDEN[STAGE_VERSIONS["base_model"]]
    x, y = torch.from_numpy(samples["validation"].x), torch.from_numpy(samples["validation"].labels)
    elbo = pretrain.train_vae(vae, DIGITS, samples)(x, torch.zeros(len(x), vae.config.latent_dim))
    entropy = torch.nn.functional.cross_entropy(pretrain.train_classifier(classifier, DIGITS, samples)(x), y)
    assert float(elbo) == pytest.approx(golden["vae"], rel=1e-4)
    assert float(entropy) == pytest.approx(golden["classifier"], rel=1e-4)


@pytest.mark.slow
def test_at_desk_size_the_judge_and_the_vae_of_the_digits_are_good_enough(lab: Lab, samples) -> None:
    vae, classifier = specs("desk")
    pretrain.make_judge(lab, classifier, samples)
    pretrain.make_base_model(lab, BaseModelJob(vae, classifier, "a"), samples)
    assert lab.read_json(f"models/{classifier.model_id}/metrics.json")["accuracy_test"] >= 0.97
    assert lab.read_json(f"models/{vae.model_id}/metrics.json")["reconstruction_accuracy_test"] >= 0.94
