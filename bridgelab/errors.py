"""Everything that bridgelab raises on purpose. Each message names the thing and what to do next.

BridgelabError          the command line prints it as one line and exits with status 2
├── UnknownNameError    no such study, domain, preset, recipe, key or choice; offers the nearest match
├── InvalidValueError   a value of the wrong type or out of range
├── UserFileError      a user's study file that cannot be read, run or used
├── DataError           data that is missing or is not what it should be
├── ModelError          a base model or judge that did not train
├── LabError            a lab that cannot be read or written
│   ├── AbsentError     what it does not have
│   ├── NoRunError      a run that it does not have
│   └── DamagedError    what it has, and is not what it should be
└── ClusterError        a Ray cluster or a device that cannot be had
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pydantic


class BridgelabError(Exception):
    """The root: what a user can mend. Its message bids a terminal nothing, whatever the names in it."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class UnknownNameError(BridgelabError):
    """A name that is not among those that exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        cure = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(known)}"
        super().__init__(f"no {kind} '{name}'; {cure}" + (f" ({hint})" if hint else ""))
        self._made_of = (kind, name, known, hint)

    def __reduce__(self) -> tuple[type[UnknownNameError], Any]:
        """From a worker it arrives as it was raised."""
        return type(self), self._made_of


class InvalidValueError(BridgelabError):
    """A value of the wrong type or out of range."""


class UserFileError(BridgelabError):
    """A study file that cannot be read, run or used."""


class DataError(BridgelabError):
    """Data that is missing or is not what it should be."""


class ModelError(BridgelabError):
    """A base model or judge that did not train."""


class LabError(BridgelabError):
    """A lab that cannot be read or written."""


class AbsentError(LabError):
    """What a lab does not have."""


class NoRunError(LabError):
    """A run of a study that a lab does not have."""


class DamagedError(LabError):
    """What a lab has, and is not what it should be."""


class ClusterError(BridgelabError):
    """A Ray cluster or a device that cannot be had."""


def printable(text: str) -> str:
    """A text in which what a terminal would obey, or cannot show, is written as its number."""
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(letter: str) -> str:
    is_shown = unicodedata.category(letter)[0] != "C" and letter not in "\u2028\u2029"
    return letter if is_shown else letter.encode("unicode_escape").decode()


def reason(error: pydantic.ValidationError) -> str:
    """All that pydantic says of a value, as one line."""
    said = []
    for problem in error.errors(include_url=False):
        place, message = problem["loc"], problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
        if len(place) > 1 and place[0] in ("grid", "base", "arms", "leave_one_out"):
            wanted = "values in a list" if place[0] == "grid" else "plain values: numbers, texts, True or False"
            said.append(f"{place[0]} '{place[1]}' needs {wanted}")
        elif problem["type"] == "string_pattern_mismatch":
            said.append(f"{place[0]} '{problem['input']}' should be of small letters, digits and _")
        else:
            said.append(f"{place[0]} {message}" if place else message)
    return " or ".join(dict.fromkeys(said))
