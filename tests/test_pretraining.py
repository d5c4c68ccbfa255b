"""Base models by Ray Train: the same loop, shared by workers that may die."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sweeps import ALWAYS, bridgelab, finish, named, wait_until

from bridgelab import pretraining
from bridgelab.base_models import checkpoint, pretrain
from bridgelab.domains import get_domain
from bridgelab.lab import Lab
from bridgelab.study import Selection, resolve

WORDS = ("label_efficiency", "--preset", "smoke", "--seeds", "1", "--workers", "2", "--json")


@pytest.mark.ray
@pytest.mark.slow
def test_models_of_two_workers_survive_a_death_and_are_those_of_one(tmp_path: Path) -> None:
    sweep = bridgelab(tmp_path, "sweep", *WORDS, *ALWAYS)
    training = tmp_path / "lab/training"
    wait_until(lambda: list(training.glob("[!.]*.checkpoint")), sweep)
    os.kill(named(sweep, "ray::RayTrainWo")[-1], signal.SIGKILL)
    assert finish(sweep)["run"] == 6
    assert not list(training.iterdir())
    lab, digits = Lab(tmp_path / "lab"), get_domain("digits")
    trial = resolve("label_efficiency", Selection(preset="smoke")).members[0].trial
    shared = checkpoint.load(lab, trial.judge_a, digits)
    alone = pretrain.train_classifier(trial.judge_a, digits, digits.load("a"))
    # The same batches and the same draws: only the order of a sum differs.
    x = torch.from_numpy(digits.load("a")["test"].x)
    assert float((shared.classify(x) == alone.classify(x)).float().mean()) > 0.97


def test_batches_that_workers_cannot_share_evenly_are_refused() -> None:
    from bridgelab.base_models.fit import Team
    from bridgelab.errors import InvalidValueError

    trial, digits = resolve("label_efficiency", Selection(preset="smoke")).members[0].trial, get_domain("digits")
    with pytest.raises(InvalidValueError, match="--workers 3: batches of 64 rows"):
        pretrain.train_classifier(trial.judge_a, digits, digits.load("a"), Team(rank=0, size=3))


@pytest.fixture
def four_cores(tmp_path: Path) -> Iterator[None]:
    import ray

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.mark.ray
@pytest.mark.slow
def test_groups_of_workers_train_side_by_side_and_never_two_of_a_model(
    four_cores: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    def met(folder: Path, workers: int, device: str, share: pretraining.Share) -> None:
        """Stands for a training: it ends when another one was there at the same time."""
        mine = folder / f"{share.spec.model_id}-{time.monotonic_ns()}"
        mine.touch()
        deadline = time.monotonic() + 60
        while len(there := list(folder.iterdir())) != 2:
            assert time.monotonic() < deadline, there
            time.sleep(0.05)
        assert len({path.name.partition("-")[0] for path in there}) == 2
        time.sleep(1)  # the other one sees us too
        mine.unlink()

    monkeypatch.setattr(pretraining, "_share", met)
    study = resolve("label_efficiency", Selection(preset="smoke", n_replicates=1))
    trial = study.members[0].trial
    wanted = pretraining.Pretraining(
        lab=Lab(tmp_path / "lab"), study=study, judges=[], jobs=[], samples={}, folder=tmp_path / "there",
        workers=2, slots=4, every_s=30.0, device="cpu",
    )  # fmt: skip
    wanted.folder.mkdir()
    specs = [trial.base_a, trial.base_b, trial.base_a, trial.base_b]
    shares = [pretraining.Share(spec, None, ()) for spec in specs]
    assert Counter(pretraining._share_all(wanted, shares)) == Counter(specs)
