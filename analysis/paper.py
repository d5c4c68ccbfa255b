"""The published numbers (ICLR 2019 submission, Tables 3 and 4), and where they may be compared with ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TABLE_3 = {0: 0.1390, 10: 0.339, 100: 0.524, 1_000: 0.6810, 10_000: 0.898, 60_000: 0.980}
"""MNIST -> MNIST transfer accuracy by the number of labels of each domain."""

TABLE_4 = {"vanilla": 0.149, "conditional": 0.849, "full": 0.980}
"""MNIST -> MNIST, all labels, the classifier on in every column."""

COMPARABLE_PAIR = "mnist-mnist"
METRIC = "transfer_accuracy_ab"


def published(study: str, pair: str, arm_name: str, arm: Mapping[str, Any], metric: str) -> float | None:
    """The paper's number for an arm and metric; None where pair, data or count are not the paper's."""
    if pair != COMPARABLE_PAIR or metric != METRIC:
        return None
    if study == "label_efficiency":
        return TABLE_3.get(arm["n_labels"])
    if study == "component_ablation":
        return TABLE_4.get(arm_name)
    return None


def context(study: str) -> str | None:
    """The paper's numbers in words, for a table that they cannot be set beside."""
    if study == "label_efficiency":
        cells = ", ".join(f"{n:,} labels {value:.3f}" for n, value in TABLE_3.items())
        return f"The paper's Table 3 (MNIST to MNIST, 60,000 images): {cells}."
    if study == "component_ablation":
        cells = ", ".join(f"{name} {value:.3f}" for name, value in TABLE_4.items())
        return f"The paper's Table 4 (MNIST to MNIST, all 60,000 labels): {cells}."
    return None
