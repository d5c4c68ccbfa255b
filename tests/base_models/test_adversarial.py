"""The training of a WaveGAN: its loss against the same by hand, its steps against plain torch, its checkpoints."""

import copy
import math

import numpy as np
import pytest
import torch

from bridgelab.base_models import Examiner, Features, adversarial, checkpoint
from bridgelab.base_models.adversarial import CriticLoss, GeneratorLoss, score_of_classes, train_wavegan
from bridgelab.base_models.fit import ModelCheckpoint, Team
from bridgelab.base_models.wavegan import Critic, WaveGAN, draw_shifts
from bridgelab.config import ClassifierConfig, stream_seed
from bridgelab.domains import get_domain
from bridgelab.errors import InvalidValueError, ModelError
from bridgelab.lab import Lab
from bridgelab.specs import ModelSpec
from bridgelab.wavegan_config import WaveGANConfig

DOMAIN = get_domain("fsdd_wave")
CONFIG = WaveGANConfig(latent_dim=3, n_filters=1, n_layers=4, n_critic=2, batch_size=4, n_steps=6, n_scored=16)


def spec(config: WaveGANConfig = CONFIG) -> ModelSpec:
    return ModelSpec(kind="wavegan", domain="fsdd_wave", data_id="x", config=config, seed=0)


class ByLoudness:
    """A judge of two classes: how loud a clip is gives the first one."""

    def features(self, x_BT: torch.Tensor) -> Features:
        p_B = x_BT.abs().mean(1)
        return Features(x_BT, torch.stack([p_B, 1 - p_B], 1))

    def classify(self, x_BT: torch.Tensor) -> torch.Tensor:
        return self.features(x_BT).softmax.argmax(1)


@pytest.fixture(scope="module")
def real() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (10, 4096)).astype(np.float32))


def test_the_loss_of_a_linear_critic_is_what_one_computes_by_hand() -> None:
    class Linear(torch.nn.Module):
        def forward(self, x_BT, shifts):
            return x_BT @ torch.tensor([3.0, 4.0])  # of slope 5 everywhere

    real_BT, fake_BT = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    loss = CriticLoss(Linear(), 10.0)(real_BT, fake_BT, torch.tensor([0.2, 0.7]), [[], [], []])
    assert float(loss) == pytest.approx((7 + 0) / 2 - (3 + 4) / 2 + 10 * (5 - 1) ** 2)


def test_the_penalty_is_that_of_slopes_by_finite_differences_between_each_pair(real: torch.Tensor) -> None:
    torch.manual_seed(0)
    critic = Critic(64, WaveGANConfig(n_filters=2, n_layers=2)).double()
    real_BT, fake_BT = real[:2, :64].double(), real[2:4, :64].double()
    mixture_B, shifts = torch.tensor([0.3, 0.8], dtype=torch.float64), [[1], [0], [-2]]
    distance = critic(fake_BT, [0]).mean() - critic(real_BT, [1]).mean()
    loss = CriticLoss(critic, 10.0)(real_BT, fake_BT, mixture_B, shifts)
    slopes = []
    for x_T in real_BT + mixture_B[:, None] * (fake_BT - real_BT):
        steps = 1e-6 * torch.eye(64, dtype=torch.float64)
        with torch.no_grad():
            slopes.append((critic(x_T + steps, [-2]) - critic(x_T - steps, [-2])) / 2e-6)
    penalty = torch.stack([(slope_T.norm() - 1) ** 2 for slope_T in slopes]).mean()
    assert float(loss.detach()) == pytest.approx(float((distance + 10 * penalty).detach()), rel=1e-5)


def test_a_step_of_both_is_that_of_plain_torch(real: torch.Tensor) -> None:
    """One critic step and one generator step, from the same draws, written down once more."""
    config = WaveGANConfig(latent_dim=3, n_filters=1, n_layers=4, n_critic=1, batch_size=4, n_steps=1, n_scored=16)
    training = adversarial._Training(spec(config), DOMAIN, Team())
    generator, critic = copy.deepcopy(training.generator), copy.deepcopy(training._critic)
    training.improve_critic(real)
    training.improve_generator()

    def stream(name: str) -> torch.Generator:
        return torch.Generator().manual_seed(stream_seed("base_model", "fsdd_wave", "wavegan", 0, name))

    batches, prior, mixture, phase = (stream(name) for name in ("batches", "prior", "mixture", "phase"))
    x = real[torch.randint(10, (4,), generator=batches)]
    fake = generator(torch.randn(4, 3, generator=prior)).detach()
    alpha = torch.rand(4, generator=mixture).reshape(4, 1)
    of_real, of_fake, of_mixed = (draw_shifts(config, phase) for _ in range(3))
    mixed = (alpha * fake + (1 - alpha) * x).requires_grad_()
    gradient = torch.autograd.grad(critic(mixed, of_mixed), mixed, torch.ones(4), create_graph=True)[0]
    loss = critic(fake, of_fake).mean() - critic(x, of_real).mean()
    loss = loss + 10 * ((gradient.pow(2).sum(1).sqrt() - 1) ** 2).mean()
    adam(critic, torch.autograd.grad(loss, list(critic.parameters())))
    loss = -critic(generator(torch.randn(4, 3, generator=prior)), draw_shifts(config, phase)).mean()
    adam(generator, torch.autograd.grad(loss, list(generator.parameters())))
    for ours, plain in ((training._critic, critic), (training.generator, generator)):
        for name, tensor in plain.state_dict().items():
            assert torch.allclose(ours.state_dict()[name], tensor, atol=1e-6), name


@torch.no_grad()
def adam(module: torch.nn.Module, gradients: tuple[torch.Tensor, ...]) -> None:
    """The first step of Adam at 1e-4 with betas 0.5 and 0.9: its moments, corrected, are the gradient and its square.

    The bias of the critic's score is in both means, so that its gradient is nothing but rounding.
    """
    for (name, parameter), gradient in zip(module.named_parameters(), gradients, strict=True):
        if name == "score.bias":
            assert gradient.abs() < 1e-6
        parameter -= 1e-4 * gradient / (gradient.abs() + 1e-8)


def test_training_goes_on_from_its_checkpoint_to_the_same_bits(lab: Lab, real: torch.Tensor) -> None:
    class Stopped(Exception):
        pass

    class StopsAt(ModelCheckpoint):
        def __init__(self, n: int) -> None:
            super().__init__(lab, spec().model_id, every_s=0.0)
            self.left = n

        def save_if_due(self, state) -> None:
            super().save_if_due(state)
            self.left -= 1
            if self.left == 0:
                raise Stopped

    undisturbed = train_wavegan(spec(), DOMAIN, real, ByLoudness())
    for n in (1, 3):
        with pytest.raises(Stopped):
            train_wavegan(spec(), DOMAIN, real, ByLoudness(), kept=StopsAt(n))
    resumed = train_wavegan(spec(), DOMAIN, real, ByLoudness(), kept=ModelCheckpoint(lab, spec().model_id))
    assert resumed.scores == undisturbed.scores
    assert [step for step, _ in resumed.scores] == [1, 2, 3, 4, 5, 6]
    for name, tensor in undisturbed.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor)


def test_the_generator_of_the_best_score_is_kept(real: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, states = iter([1.0, 1.5, math.nan, 1.2, 1.5, 1.1]), []

    def score(model: WaveGAN, *_: object) -> float:
        states.append(copy.deepcopy(model.state_dict()))
        return next(scores)

    monkeypatch.setattr(adversarial, "inception_score", score)
    found = train_wavegan(spec(), DOMAIN, real, ByLoudness())
    assert found.best == (2, 1.5)
    assert all(torch.equal(found.model.state_dict()[name], tensor) for name, tensor in states[1].items())


def test_a_wavegan_that_diverges_is_an_error(real: torch.Tensor) -> None:
    with pytest.raises(ModelError, match=r"wavegan of fsdd_wave .* diverged.*--set wavegan\.learning_rate=1e-05"):
        train_wavegan(spec(), DOMAIN, real * math.nan, ByLoudness())


def test_workers_that_cannot_share_a_batch_are_refused(real: torch.Tensor) -> None:
    with pytest.raises(InvalidValueError, match="--workers 3: batches of 4 rows"):
        train_wavegan(spec(), DOMAIN, real, ByLoudness(), Team(size=3))


def test_the_shares_of_a_team_average_to_the_whole_batch(real: torch.Tensor) -> None:
    generator, critic = checkpoint.build(spec(), DOMAIN), Critic(4096, CONFIG)
    assert isinstance(generator, WaveGAN)
    z_BD, shifts, mixture_B = (
        torch.randn(4, 3, generator=torch.Generator().manual_seed(1)),
        (1, 0, -1),
        torch.full((4,), 0.3),
    )
    fake_BT = generator(z_BD).detach()

    def losses(rows: slice) -> torch.Tensor:
        of_critic = CriticLoss(critic, 10.0)(real[:4][rows], fake_BT[rows], mixture_B[rows], [shifts] * 3)
        return torch.stack([of_critic, GeneratorLoss(generator)(z_BD[rows], critic, shifts)])

    halves = [losses(Team(rank, 2).rows) for rank in range(2)]
    assert torch.allclose(losses(Team().rows), (halves[0] + halves[1]) / 2, atol=1e-5)


def test_a_waveform_is_judged_by_its_picture(lab: Lab, real: torch.Tensor) -> None:
    judge = ModelSpec(kind="classifier", domain="fsdd_wave", data_id="x", config=ClassifierConfig(hidden_dim=8), seed=0)
    classifier = checkpoint.build(judge, DOMAIN)
    checkpoint.save(lab, judge, classifier, {})
    found = checkpoint.load_judge(lab, judge, DOMAIN, "b")
    pictures = torch.from_numpy(DOMAIN.pictures(real.numpy()))
    assert isinstance(found, Examiner)
    assert pictures.shape == (10, 32 * 33)
    assert torch.equal(found.features(real).softmax, torch.softmax(classifier(pictures), 1))
    assert torch.equal(found.classify(real), classifier(pictures).argmax(1))


def test_the_inception_score_goes_from_one_to_the_number_of_classes() -> None:
    assert score_of_classes(torch.eye(10).repeat(3, 1)) == pytest.approx(10)
    assert score_of_classes(torch.full((4, 10), 0.1)) == pytest.approx(1)
    p = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    by_hand = (0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25) + math.log(1 / 0.75)) / 2
    assert score_of_classes(p) == pytest.approx(math.exp(by_hand))
