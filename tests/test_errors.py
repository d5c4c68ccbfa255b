"""Errors: one line that names the thing and the cure, wherever they were raised."""

import copy

import pydantic
import pytest

from bridgelab.config import BridgeConfig, Study
from bridgelab.errors import UnknownNameError, reason


def test_the_nearest_name_is_offered_or_all_of_them() -> None:
    assert str(UnknownNameError("preset", "dsk", ["smoke", "desk"])) == "no preset 'dsk'; did you mean 'desk'?"
    assert str(UnknownNameError("preset", "x", ["smoke", "desk"])) == "no preset 'x'; there are: desk, smoke"


def test_an_error_of_a_worker_arrives_as_it_was_raised() -> None:
    error = UnknownNameError("domain", "mnits", ["mnist"], "a hint")
    assert str(copy.copy(error)) == str(error)  # by __reduce__, as between processes


def test_what_pydantic_says_becomes_one_line_with_the_name_of_the_field() -> None:
    with pytest.raises(pydantic.ValidationError) as config:
        BridgeConfig(n_layers=0, batch_size="many")  # type: ignore[arg-type]
    assert (
        reason(config.value) == "n_layers should be greater than or equal to 1 or batch_size should be a valid integer"
    )
    with pytest.raises(pydantic.ValidationError) as study:
        Study(name="x", arms={"a": {}})  # type: ignore[call-arg]
    assert "question" in reason(study.value)
