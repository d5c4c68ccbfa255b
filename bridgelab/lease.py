"""Who trains a pack: a lease in its folder, whose counter moves while its holder lives.

Clocks of different machines are never compared. An observer calls a lease stale when the counter has not
moved for STALE_S seconds of the observer's own clock; whoever then takes the pack over writes its own name
into the lease, and the former holder, should it come back, sees that and publishes nothing more.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any, Literal

from .errors import AbsentError, DamagedError, LabError
from .lab import Lab

BEAT_S = 1.0
STALE_S = 8.0
MOST_COUNT = 1 << 53

SIZE_BYTES = 512
"""Of a lease."""

NOBODY = ""

State = Literal["free", "unknown", "live", "stale"]


class LostLeaseError(LabError):
    """Another worker has taken this pack over."""


@dataclass(frozen=True)
class Beat:
    """A lease as it stands in a pack's folder."""

    owner: str
    "the sweep, and a name of its own for each worker that took the pack; NOBODY where it was let go"
    count: int = 0
    step: int = 0
    n_steps: int = 0
    adopted: int = 0
    "how often the pack was taken over from a holder that had gone"


def read_beat(lab: Lab, pack_id: str) -> Beat | None:
    """The lease of a pack; None where it has none. Raises LabError where the lab cannot be read."""
    try:
        beat = Beat(**lab.read_json(_path(pack_id)))
    except (AbsentError, DamagedError, TypeError):
        return None  # gone with its pack, or not a lease at all
    return beat if _is_whole(beat) else None


def _is_whole(beat: Beat) -> bool:
    counts = [value for name, value in vars(beat).items() if name != "owner"]
    return isinstance(beat.owner, str) and all(type(n) is int and 0 <= n < MOST_COUNT for n in counts)


def read_manifest(lab: Lab, pack_id: str) -> dict[str, Any] | None:
    """What a pack's folder says of it; None where the pack ended while we looked, or the file is damaged."""
    try:
        found = lab.read_json(f"packs/{pack_id}/manifest.json")
    except (AbsentError, DamagedError):
        return None
    if not isinstance(found, dict):
        return None
    columns: dict[str, tuple[type, ...]] = {"trials": (str,), "attempts": (int,), "judges": (str, type(None))}
    lists = [found.get(name) for name in columns]
    if not all(isinstance(one, list) and len(one) == len(found["trials"]) for one in lists):
        return None
    whole = all(isinstance(one, kind) for name, kind in columns.items() for one in found[name])
    if not whole or not isinstance(found.get("study"), str) or not _is_leg(found.get("leg")):
        return None
    return {name: found.get(name) for name in (*columns, "study", "leg", "started_at")}


def _is_leg(found: Any) -> bool:
    """Whether it is what a manifest says of a leg, or None."""
    wanted = {"search_id": str, "generation": int, "rung": int}
    return found is None or (
        isinstance(found, dict) and all(isinstance(found.get(name), kind) for name, kind in wanted.items())
    )


def release(lab: Lab, sweep_id: str) -> None:
    """Lets go of every pack of a sweep that ends, so that the next one need not wait."""
    for pack_id in lab.names("packs"):
        beat = read_beat(lab, pack_id)
        if beat is not None and beat.owner.startswith(f"{sweep_id}/"):
            lab.publish(_path(pack_id), _encode(replace(beat, owner=NOBODY)))


class Lease:
    """A pack of one's own, from `take` to the end of a `with` block."""

    def __init__(self, lab: Lab, pack_id: str, beat: Beat) -> None:
        self._lab, self._pack_id, self._beat = lab, pack_id, beat
        self._stopped = threading.Event()
        self._lost = False
        self._beaten_at = time.monotonic()
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)

    @classmethod
    def take(
        cls, lab: Lab, pack_id: str, manifest: Mapping[str, Any], sweep_id: str, adoptable: Iterable[str] = ()
    ) -> Lease | None:
        """The lease of a pack, or None where somebody else holds it.

        A pack that exists can be taken where its lease was let go, where it belongs to the same sweep
        (whose worker died), or where it is among the `adoptable` ones, whose leases are stale.
        """
        mine = Beat(owner=f"{sweep_id}/{uuid.uuid4().hex}")
        files = {"manifest.json": json.dumps(manifest).encode(), "lease.json": _encode(mine)}
        if not lab.publish_folder(f"packs/{pack_id}", files):
            held = read_beat(lab, pack_id)
            ours = held is None or held.owner == NOBODY or held.owner.startswith(f"{sweep_id}/")
            if not ours and pack_id not in set(adoptable):
                return None
            if held is not None:
                mine = replace(held, owner=mine.owner, adopted=held.adopted + (held.owner != NOBODY))
            lab.publish(_path(pack_id), _encode(mine))
        # Where nothing can be renamed, two may have taken it in the same moment: the last one has it.
        taken = read_beat(lab, pack_id)
        return cls(lab, pack_id, mine) if taken is not None and taken.owner == mine.owner else None

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def at(self, step: int, n_steps: int) -> None:
        """Says how far the pack is. Raises LostLeaseError where it is another's by now."""
        self._beat = replace(self._beat, step=step, n_steps=n_steps)
        if time.monotonic() - self._beaten_at > STALE_S / 2:
            self.check()  # we have slept, and may be a zombie that wakes
        if self._lost:
            raise LostLeaseError(f"pack {self._pack_id} was taken over by another worker")

    def check(self) -> None:
        """Raises LostLeaseError unless the pack is still ours: before anything of it is published."""
        held = read_beat(self._lab, self._pack_id)
        if held is None or held.owner != self._beat.owner:
            raise LostLeaseError(f"pack {self._pack_id} was taken over by another worker")

    def _keep_beating(self) -> None:
        while not self._stopped.wait(BEAT_S):
            try:
                self.check()
                self._beat = replace(self._beat, count=self._beat.count + 1)
                self._lab.publish(_path(self._pack_id), _encode(self._beat))
                self._beaten_at = time.monotonic()
            except LostLeaseError:
                self._lost = True
                return
            except LabError:
                continue  # a lab that cannot be written now is told by whoever publishes a result


class Watch:
    """What an observer has seen of the leases of a lab, on its own clock."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._seen: dict[str, tuple[tuple[str, int], float, bool]] = {}

    def look(self) -> dict[str, State]:
        """pack_id -> free (no holder), unknown (seen too briefly), live or stale."""
        return {pack_id: self._state(pack_id) for pack_id in self._lab.names("packs")}

    def settle(self, timeout_s: float = STALE_S + BEAT_S) -> dict[str, State]:
        """Looks until no lease is unknown, which takes STALE_S seconds at most, or until the time is over."""
        deadline = time.monotonic() + timeout_s
        while "unknown" in (states := self.look()).values() and time.monotonic() < deadline:
            time.sleep(BEAT_S / 4)
        return states

    def _state(self, pack_id: str) -> State:
        beat, now = read_beat(self._lab, pack_id), time.monotonic()
        if beat is None or beat.owner == NOBODY:
            return "free"
        mark = (beat.owner, beat.count)
        last, since, moved = self._seen.get(pack_id, (mark, now, False))
        if last != mark:
            since, moved = now, True
        since = max(since, self._lab.failed_at)  # who could not be read may have lived
        self._seen[pack_id] = (mark, since, moved)
        if now - since >= STALE_S:
            return "stale"
        return "live" if moved else "unknown"


def _path(pack_id: str) -> str:
    return f"packs/{pack_id}/lease.json"


def _encode(beat: Beat) -> bytes:
    """Always as long: of an object that is replaced while it is read, one gets as many bytes as the first one had."""
    return json.dumps(asdict(beat)).encode().ljust(SIZE_BYTES)
