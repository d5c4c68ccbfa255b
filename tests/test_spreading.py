"""Labels spread along the graph of nearest samples, to as many of each class."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bridgelab.config import UNLABELLED
from bridgelab.spreading import ALPHA, graph, spread


def clusters(n_each: int = 40, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(np.arange(n_classes), n_each)
    noise = np.random.default_rng(0).normal(size=(len(labels), 2))
    return (8 * np.eye(n_classes, 2)[labels] + noise).astype(np.float32), labels


def only(labels: np.ndarray, *given: int) -> np.ndarray:
    return np.where(np.isin(np.arange(len(labels)), given), labels, UNLABELLED)


def test_one_label_a_cluster_is_enough() -> None:
    z_ND, labels = clusters()
    assert np.array_equal(spread(graph(z_ND), only(labels, 0, 40, 80)), labels)


def test_the_graph_is_symmetric_and_its_largest_eigenvalue_is_one() -> None:
    near = graph(clusters()[0]).toarray()
    assert np.array_equal(near, near.T)
    assert np.linalg.eigvalsh(near)[-1] == pytest.approx(1)


def test_labels_reach_as_far_as_the_system_of_equations_says() -> None:
    z_ND, labels = clusters()
    z_ND[labels == 1] -= z_ND[labels == 1].mean(0) * 0.8  # clusters that touch
    z_ND[labels == 0] -= z_ND[labels == 0].mean(0) * 0.8
    near, given = graph(z_ND), only(labels, 0, 40, 80)
    reached = np.linalg.solve(np.eye(120) - ALPHA * near.toarray(), (given[:, None] == np.arange(3)).astype(float))
    p = reached
    for _ in range(50):
        p = p / p.mean(0)
        p = p / p.sum(1, keepdims=True)
    found = spread(near, given)
    sure = p.max(1) > np.sort(p, axis=1)[:, -2] + 1e-4
    unlabelled = sure & (given == UNLABELLED)
    assert np.array_equal(found[unlabelled], p.argmax(1)[unlabelled])


def test_a_given_label_stays_however_its_neighbours_are_called() -> None:
    z_ND, labels = clusters()
    given = only(labels, *range(5), 40, 80)
    given[2] = 1
    assert spread(graph(z_ND), given)[2] == 1


def test_a_class_with_more_labels_does_not_take_the_samples_of_another() -> None:
    z_ND = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)  # one cluster, cut in two
    labels = (z_ND[:, 0] > 0).astype(np.int64)
    given = only(labels, *np.flatnonzero(labels == 0)[:20], np.flatnonzero(labels == 1)[0])
    assert (spread(graph(z_ND), given) == labels).mean() > 0.9


def test_one_class_alone_is_everybody_s() -> None:
    z_ND, labels = clusters()
    assert (spread(graph(z_ND), only(labels, 0, 1)) == 0).all()


def test_a_hundred_labels_name_the_other_digits() -> None:
    digits = load_digits()
    given = np.random.default_rng(0).permutation(len(digits.target))[:100]
    found = spread(graph(digits.data.astype(np.float32)), only(digits.target, *given))
    assert (found == digits.target).mean() > 0.93
