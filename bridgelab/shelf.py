"""What the driver tells workers of the packs of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .planning import PackPlan


@dataclass(frozen=True)
class OnTheShelf:
    """A pack, and what a worker needs to know of it."""

    pack: PackPlan
    manifest: Mapping[str, Any]
    may_adopt: bool
    shown: frozenset[str]
    "trials that have panels in the report"


@dataclass(frozen=True)
class Shelf:
    """The packs of the batch that runs, where workers find them by their ids: in the key-value store of Ray's head.

    An actor would take a process, which imports and starts while packs could, and its node may die.
    """

    sweep_id: str

    def fill(self, packs: Iterable[OnTheShelf]) -> None:
        """Puts packs there, in place of those before."""
        from ray import cloudpickle
        from ray.experimental import internal_kv

        self.clear()
        for one in packs:
            internal_kv._internal_kv_put(one.pack.pack_id, cloudpickle.dumps(one), namespace=self.sweep_id)

    def take(self, pack_id: str) -> OnTheShelf:
        """The pack of that id; it stays there, for a worker that takes the place of this one."""
        from ray import cloudpickle
        from ray.experimental import internal_kv

        found: OnTheShelf = cloudpickle.loads(internal_kv._internal_kv_get(pack_id, namespace=self.sweep_id))
        return found

    def clear(self) -> None:
        """Takes all of the sweep's packs away."""
        from ray.experimental import internal_kv

        internal_kv._internal_kv_del("", del_by_prefix=True, namespace=self.sweep_id)
