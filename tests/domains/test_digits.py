"""The digits: three disjoint splits of real data, chosen by content."""

import hashlib

import numpy as np
import pytest

from bridgelab.domains import SPLITS, Samples, get_domain, get_pair, stratified
from bridgelab.errors import BridgelabError, DataError, InvalidValueError, UnknownNameError

DIGITS = get_domain("digits")


def test_the_splits_have_the_sizes_that_plans_speak_of() -> None:
    found = {split: len(part) for split, part in DIGITS.load("a").items()}
    assert found == dict(DIGITS.split_sizes)
    assert sum(found.values()) == 1797


def test_no_sample_is_in_two_splits() -> None:
    splits = DIGITS.load("a")
    digests = [hashlib.sha256(x.tobytes()).digest() for split in SPLITS for x in splits[split].x]
    assert len(set(digests)) == len(digests)


def test_every_split_has_every_class_in_proportion() -> None:
    for part in DIGITS.load("a").values():
        shares = np.bincount(part.labels, minlength=10) / len(part)
        assert shares.min() > 0.09
        assert shares.max() < 0.11


def test_pixels_are_in_the_unit_interval() -> None:
    x = DIGITS.load("a")["train"].x
    assert (x.dtype, x.min(), x.max()) == (np.float32, 0.0, 1.0)


def test_a_split_does_not_depend_on_the_order_of_the_source() -> None:
    rng = np.random.default_rng(0)
    samples = Samples(rng.random((60, 4), dtype=np.float32), np.repeat([0, 1, 2], 20))
    order = rng.permutation(60)
    shuffled = Samples(samples.x[order], samples.labels[order])
    chosen = {samples.x[i].tobytes() for i in stratified(samples.x, samples.labels, range(60), 1 / 8)[0]}
    chosen_again = {shuffled.x[i].tobytes() for i in stratified(shuffled.x, shuffled.labels, range(60), 1 / 8)[0]}
    assert chosen == chosen_again


def test_other_digits_than_the_known_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridgelab.domains.digits.CONTENT_SHA256", "0" * 64)
    with pytest.raises(DataError, match="scikit-learn"):
        DIGITS.load("a")


@pytest.mark.parametrize(
    ("pair", "error", "said"),
    [
        ("digits", InvalidValueError, "SOURCE-TARGET"),
        ("digits-", InvalidValueError, "SOURCE-TARGET"),
        ("digits-digts", UnknownNameError, "did you mean 'digits'"),
        ("digits-plane", InvalidValueError, "10 classes"),
    ],
)
def test_a_pair_that_cannot_be_is_explained(pair: str, error: type[BridgelabError], said: str) -> None:
    with pytest.raises(error, match=said):
        get_pair(pair)


def test_the_presets_are_those_that_the_domain_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'desk'"):
        DIGITS.preset("dsk")
