"""Replicates: which base models, label draw and bridge seed each has. Imports neither torch nor ray."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from .errors import InvalidValueError

MOST_REPLICATES = 1000
SOURCES = ("base", "label", "bridge")


class Seeds(NamedTuple):
    """Of one replicate."""

    base: int
    "the index of its pair of base models"
    label: int
    bridge: int


@dataclass(frozen=True)
class Crossed:
    """Every pair of base models with every label draw and every bridge seed: variance can be split by source."""

    base: int
    label: int
    bridge: int

    def __post_init__(self) -> None:
        for name in SOURCES:
            if getattr(self, name) < 1:
                raise InvalidValueError(f"--seeds {self}: each of {', '.join(SOURCES)} is 1 or more")
        if self.n > MOST_REPLICATES:
            raise InvalidValueError(f"--seeds {self}: that is {self.n} replicates; at most {MOST_REPLICATES} are run")

    def __str__(self) -> str:
        return ",".join(f"{name}={getattr(self, name)}" for name in SOURCES)

    @property
    def n(self) -> int:
        return self.base * self.label * self.bridge

    def seeds(self, replicate: int) -> Seeds:
        """Those of a replicate; the bridge's change fastest, the base models' slowest."""
        rest, bridge = divmod(replicate, self.bridge)
        base, label = divmod(rest, self.label)
        return Seeds(base, label, bridge)


def replicates_from(text: str) -> int | Crossed:
    """What --seeds says: N, or base=B,label=L,bridge=R. Raises InvalidValueError."""
    if re.fullmatch(r"[+-]?\d+", text.strip()):
        return check_replicates("--seeds", int(text))
    parts = dict(part.partition("=")[::2] for part in text.split(","))
    if {name.strip() for name in parts} != set(SOURCES) or not all(n.strip().isdigit() for n in parts.values()):
        raise InvalidValueError(f"--seeds {text}: give a whole number, 1 or more, or base=4,label=2,bridge=2")
    return Crossed(**{name.strip(): int(n) for name, n in parts.items()})


def check_replicates(option: str, value: int) -> int:
    """A number of replicates, as it is; raises InvalidValueError for none that can be."""
    if not isinstance(value, int) or not 1 <= value <= MOST_REPLICATES:
        raise InvalidValueError(f"{option} {value}: give a whole number, 1 or more and at most {MOST_REPLICATES}")
    return value
