"""An error in a task of Ray's is told as it was raised there."""

import pytest
from ray.exceptions import RayTaskError

from bridgelab.causes import as_raised
from bridgelab.errors import LabError, ModelError


def in_a_task(error: Exception) -> Exception:
    """As `ray.get` raises it."""
    raised: Exception = RayTaskError("task", "Traceback ...", error).as_instanceof_cause()
    return raised


def test_an_error_of_ours_comes_out_of_its_wrappers() -> None:
    with pytest.raises(LabError) as told, as_raised():
        raise in_a_task(LabError("lab: no room; make some"))
    assert str(told.value) == "lab: no room; make some"
    assert type(told.value) is LabError


def test_any_other_error_names_what_raised_it_in_one_line() -> None:
    line = r"^a pack that was measured raised ValueError: two lines; mend"
    with pytest.raises(ModelError, match=line) as told, as_raised("a pack that was measured"):
        raise in_a_task(ValueError("two\nlines"))
    assert told.value.__suppress_context__


def test_what_no_task_raised_passes_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), as_raised():
        raise ZeroDivisionError
