"""Labs for tests of analysis."""

import functools
from collections.abc import Callable

import pytest
from filling import fill_lab

from bridgelab.lab import Lab
from bridgelab.study import ResolvedStudy


@pytest.fixture
def fill(lab: Lab) -> Callable[..., ResolvedStudy]:
    """fill("label_efficiency", value): fill_lab of the test's own lab."""
    return functools.partial(fill_lab, lab)
