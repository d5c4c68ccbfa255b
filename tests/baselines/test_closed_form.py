"""Maps in closed form: each recovers what it can recover exactly, and is a trial like any other."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import special_ortho_group

from bridgelab.baselines import closed_form
from bridgelab.baselines.closed_form import CLOSED_FORMS, Labelled, StackedMaps
from bridgelab.bridge.pool import pool
from bridgelab.errors import InvalidValueError
from bridgelab.keys import with_keys
from bridgelab.latents import Latents
from bridgelab.specs import Entry
from bridgelab.study import Selection, resolve
from bridgelab.trial import Runtime, run_pack

D, C = 4, 6
RNG = np.random.default_rng(0)
ROTATION = special_ortho_group.rvs(D, random_state=1)
MEANS = 3 * RNG.standard_normal((C, D))


def gaussians(n: int = 600) -> Labelled:
    classes = np.arange(n) % C
    return Labelled(MEANS[classes] + 0.3 * RNG.standard_normal((n, D)), classes, C)


def moved(side: Labelled, matrix: np.ndarray, shift: np.ndarray) -> Labelled:
    return dataclasses.replace(side, z_ND=side.z_ND @ matrix + shift)


def test_procrustes_recovers_a_rotation_with_a_scale() -> None:
    source = gaussians()
    (matrix,), (shift,) = closed_form.procrustes(source, moved(source, 1.7 * ROTATION, np.arange(D)))
    assert np.allclose(matrix, 1.7 * ROTATION, atol=1e-8)
    assert np.allclose(shift, np.arange(D), atol=1e-8)


def test_least_squares_recovers_an_affine_map() -> None:
    source, matrix = gaussians(), RNG.standard_normal((D, D))
    (found,), (shift,) = closed_form.least_squares(source, moved(source, matrix, np.ones(D)))
    assert np.allclose(found, matrix, atol=1e-8)
    assert np.allclose(shift, 1, atol=1e-8)


def test_optimal_transport_takes_each_classs_gaussian_to_its_own() -> None:
    source, target = gaussians(), moved(gaussians(), 0.5 * ROTATION, np.ones(D))
    matrices, shifts = closed_form.gaussian_ot(source, target)
    for c in range(C):
        mean, cov = source.means_CD[c], source.covariances_CDD[c]
        assert np.allclose(mean @ matrices[c] + shifts[c], target.means_CD[c], atol=1e-6)
        assert np.allclose(matrices[c].T @ cov @ matrices[c], target.covariances_CDD[c], atol=1e-6)


def test_the_discriminant_is_that_of_scikit_learn_but_for_the_shrinkage(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    monkeypatch.setattr(closed_form, "SHRINKAGE", 0.0)
    side = gaussians()
    weight, bias = side.discriminant()
    theirs = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(C, 1 / C)).fit(side.z_ND, side.classes_N)
    points = 4 * RNG.standard_normal((500, D))
    assert np.array_equal((points @ weight.T + bias).argmax(1), theirs.predict(points))


def test_a_class_without_a_label_is_never_read() -> None:
    side = gaussians()
    kept = side.classes_N != 2
    weight, bias = Labelled(side.z_ND[kept], side.classes_N[kept], C).discriminant()
    assert 2 not in (side.z_ND @ weight.T + bias).argmax(1)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_one_label_a_class_is_enough(name: str) -> None:
    one = Labelled(MEANS, np.arange(C), C)
    matrices, shifts = CLOSED_FORMS[name](one, moved(one, ROTATION, np.zeros(D)))
    assert np.isfinite(matrices).all()
    assert np.isfinite(shifts).all()


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_maps_crossed_together_are_what_each_is_alone(name: str, make_trial) -> None:
    rng, specs = np.random.default_rng(3), [make_trial(i, system=name) for i in range(2)]
    sides = [Latents(*rng.standard_normal((2, 40, D)).astype(np.float32), np.arange(40) % 2) for _ in range(4)]
    weights = [closed_form.fit(spec, *sides[2 * i : 2 * i + 2], 2) for i, spec in enumerate(specs)]
    z = torch.from_numpy(rng.standard_normal((2, 9, D)).astype(np.float32))
    together = StackedMaps(weights).cross(z, z, 0)
    for k in range(2):
        alone = StackedMaps([weights[k]]).cross(z[k : k + 1], z[k : k + 1], 0)
        assert torch.equal(together.of(k).transferred, alone.of(0).transferred)
        assert torch.equal(together.of(k).classes, alone.of(0).classes)


def test_a_map_sees_the_labels_of_its_trial_and_no_others(make_trial) -> None:
    rng, labels = np.random.default_rng(3), np.arange(40) % 2
    spec = make_trial(0, system="gaussian_ot", n_labels=10)
    a, b = (Latents(*rng.standard_normal((2, 40, D)).astype(np.float32), labels) for _ in range(2))
    unseen = np.setdiff1d(np.arange(40), pool(spec, "a", a).labelled)
    scrambled = dataclasses.replace(a, labels=labels.copy(), mu=a.mu.copy())
    scrambled.mu[unseen] = 99
    before, after = closed_form.fit(spec, a, b, 2), closed_form.fit(spec, scrambled, b, 2)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_map_is_a_trial_like_any_other(around, make_trial) -> None:
    specs = [make_trial(i, system="least_squares") for i in range(3)]
    result = run_pack(Runtime("pack"), [Entry(spec, 0, trained=False) for spec in specs], around)
    trials, metrics = (result.rows[name].to_pandas() for name in ("trials", "metrics"))
    assert trials["state"].tolist() == ["COMPLETE"] * 3
    assert set(metrics["trial_id"]) == {spec.trial_id for spec in specs}
    accuracy = metrics[(metrics["metric"] == "transfer_accuracy_ab") & (metrics["split"] == "test")]
    assert (accuracy["value"] > 0.9).all()  # two classes of the plane, by their means


def test_a_map_is_not_the_bridge_and_does_not_depend_on_its_settings(make_trial) -> None:
    bridge, one = make_trial(0), make_trial(0, system="procrustes")
    other = make_trial(0, system="procrustes", **{"bridge.beta_swd": 9.0})
    assert bridge.trial_id != one.trial_id == other.trial_id
    assert one.shape != bridge.shape


def test_a_map_without_labels_is_refused() -> None:
    template = resolve("label_efficiency", Selection(pair="plane-plane", preset="smoke"))
    assert with_keys(template.base, {"system": "procrustes"}).system == "procrustes"
    with pytest.raises(InvalidValueError, match=r"n_labels=0 in arm .*procrustes is made from labels"):
        resolve("label_efficiency", Selection(pair="plane-plane", overrides={"system": "procrustes"}))
