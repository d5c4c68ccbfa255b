"""The published numbers (ICLR 2019 submission, Tables 1 to 5), and where they may stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TABLE_1 = {"mnist": 0.989, "fashion_mnist": 0.903, "sc09": 0.739}
"""Reconstruction accuracy of the bridge, by domain."""

TABLE_2 = {
    ("mnist", "mnist"): 0.980,
    ("mnist", "fashion_mnist"): 0.945,
    ("fashion_mnist", "mnist"): 0.890,
    ("mnist", "sc09"): 0.670,
    ("sc09", "mnist"): 0.982,
}
"""Transfer accuracy of the bridge with all labels, by source and target."""

BASELINES = {
    "Pix2Pix": {"transfer_accuracy_ab": 0.773, "transfer_accuracy_ba": 0.084},
    "CycleGAN": {"transfer_accuracy_ab": 0.075, "transfer_accuracy_ba": 0.132},
}
"""Transfer accuracy of the baselines of Tables 2 and 5, MNIST -> Fashion-MNIST and back."""

TABLE_5_FID = {"bridge": 0.0055, "Pix2Pix": 0.0786, "CycleGAN": 0.3333}
"""MNIST -> Fashion-MNIST; of which layer is not said, but a softmax gives numbers of this size."""

TABLE_3 = {0: 0.1390, 10: 0.339, 100: 0.524, 1_000: 0.6810, 10_000: 0.898, 60_000: 0.980}
"""MNIST -> MNIST transfer accuracy by the number of labels of each domain."""

TABLE_4 = {"vanilla": 0.149, "conditional": 0.849, "full": 0.980}
"""MNIST -> MNIST, all labels, the classifier on in every column."""

N_EVALUATED = 1_000
"""Items behind each published accuracy, as the authors' code has it; the text does not say."""
N_IMAGES = {"mnist": 60_000, "fashion_mnist": 60_000}
"""What the paper trained on."""
SHARE_IN_TRAINING = 0.8
"""Where at least so much of that is trained on here, the data are the paper's; the rest is validation."""

DIGITS = "mnist-mnist"
FULL = ("bridge", "n_labels=all")
"""The arms of transfer_pairs, baselines and reconstruction, and of label_efficiency, that Tables 1 and 2 speak of."""


def published(study: str, pair: str, arm_name: str, arm: Mapping[str, Any], metric: str) -> float | None:
    """The paper's number for an arm and metric; None where pair, data or count are not the paper's."""
    if pair == DIGITS and metric == "transfer_accuracy_ab":
        if study == "label_efficiency":
            return TABLE_3.get(arm["n_labels"])
        if study == "component_ablation":
            return TABLE_4.get(arm_name)
    if study == "pixel_baselines" and pair == "mnist-fashion_mnist" and arm_name in BASELINES:
        return BASELINES[arm_name].get(metric)
    if (
        study in ("transfer_pairs", "baselines", "pixel_baselines", "reconstruction", "label_efficiency")
        and arm_name in FULL
    ):
        return _of_the_bridge(study, pair, metric)
    return None


def _of_the_bridge(study: str, pair: str, metric: str) -> float | None:
    a, b = pair.partition("-")[0], pair.partition("-")[2].removesuffix("_wave")
    side = {"bridge_reconstruction_accuracy_a": a, "bridge_reconstruction_accuracy_b": b}.get(metric)
    if side == "sc09" or study == "reconstruction":
        return None if side is None else TABLE_1.get(side)
    ways = {"transfer_accuracy_ab": (a, b), "transfer_accuracy_ba": (b, a)}
    if (study == "label_efficiency" and pair == DIGITS) or metric not in ways:
        return None  # of Table 3 the last column has a count, 60,000
    return TABLE_2.get(ways[metric])


def other_data(pair: str, n_train: float) -> str | None:
    """How the training data of side a or the base models differ from the paper's, in words; None where they do not."""
    if "sc09" in pair.split("-"):
        return "speech under a VAE of log-mel pictures where the paper has a WaveGAN"
    of_paper = N_IMAGES.get(pair.partition("-")[0], 0)
    if n_train >= SHARE_IN_TRAINING * of_paper:
        return None
    return f"trained on {n_train:,.0f} images {whose(pair)} where the paper has {of_paper:,}"


def whose(pair: str) -> str:
    """Of which sides a number of training samples is known: a lab keeps that of side a."""
    a, _, b = pair.partition("-")
    return "a side" if a == b else f"of {a}"


def context(study: str) -> str | None:
    """The paper's numbers in words, for a table that they cannot be set beside."""
    if study == "label_efficiency":
        cells = ", ".join(f"{n:,} labels {value:.3f}" for n, value in TABLE_3.items())
        return f"The paper's Table 3 (MNIST to MNIST, 60,000 images): {cells}."
    if study in ("baselines", "pixel_baselines"):
        cells = ", ".join(f"{name} {value:.4f}" for name, value in TABLE_5_FID.items())
        return f"The paper's FID from MNIST to Fashion-MNIST, of which layer is not said: {cells}."
    if study == "component_ablation":
        cells = ", ".join(f"{name} {value:.3f}" for name, value in TABLE_4.items())
        return f"The paper's Table 4 (MNIST to MNIST, all 60,000 labels): {cells}."
    return None
