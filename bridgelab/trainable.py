"""The trainable: what a worker of Ray Tune does with a pack.

It writes bridges and panels; rows go to the driver, which alone writes them (`publication`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping

from .config import Side
from .domains import use_own
from .errors import LabError
from .lab import Lab
from .lease import Lease, LostLeaseError
from .object_store import ObjectStore
from .planning import PackPlan
from .publication import parts_of
from .results import PASSING, Results
from .shelf import Shelf
from .specs import Entry
from .user_file import UserFile


def train_pack(
    config: Mapping[str, str],
    shelf: Shelf,
    store: ObjectStore,
    sweep_id: str,
    address: str,
    device: str,
    checkpoint_every_s: float,
    report_every_s: float,
    files: tuple[UserFile, ...],
) -> None:
    """Trains a pack, by its id. Reports steps done, and at the end the parts that hold its rows."""
    import torch
    from ray import tune

    from .memory import keep_freed
    from .trial import PackCheckpoint, Runtime, Surroundings, run_leg, run_pack

    torch.set_num_threads(1)
    keep_freed()
    for file in files:
        use_own(file)
    lab, taken_down = store.lab(address), shelf.take(config["pack"])
    pack = taken_down.pack
    n_new, first = sum(not entry.trained for entry in pack.entries), pack.leg.start if pack.leg else 0
    reported = time.monotonic()

    def on_chunk(step: int) -> None:
        nonlocal reported
        done = max(0, step - first) * n_new
        lease.at(done, pack.n_steps)
        if time.monotonic() - reported > report_every_s:
            reported = time.monotonic()
            tune.report({"steps": done})

    try:
        taken = Lease.take(
            lab, pack.pack_id, taken_down.manifest, sweep_id, {pack.pack_id} if taken_down.may_adopt else ()
        )
        if taken is None:
            tune.report({"elsewhere": True})
            return
        if is_done(lab, pack):
            lab.remove(f"packs/{pack.pack_id}")  # another sweep published it after we planned
            tune.report({"elsewhere": True})
            return
        with taken as lease:
            checkpoint = PackCheckpoint(lab, f"packs/{pack.pack_id}", checkpoint_every_s, device)
            runtime = Runtime(pack.pack_id, device, checkpoint, on_chunk)
            around = Surroundings(lab, store)
            if pack.leg is not None and not pack.leg.is_last:
                met = run_leg(runtime, pack.entries, around, pack.leg)
                lease.check()
                tune.report({"steps": pack.n_steps, "met": met})
                return
            found = run_pack(runtime, pack.entries, around, pack.leg)
            lease.check()
        # The lease beats no more: whoever reads the report removes its folder.
        unevaluated = {trial_id: (f.kind, f.text) for trial_id, f in found.unevaluated.items()}
        tune.report({"steps": pack.n_steps, "parts": parts_of(found.rows), "unevaluated": unevaluated})
        with contextlib.suppress(Exception):  # the driver makes those that are missing in the end, and tells why
            _make_panels(lab, pack, taken_down.shown, store)
    except LostLeaseError:
        tune.report({"elsewhere": True})
    except LabError as error:
        tune.report({"lab_error": str(error)})


def _make_panels(lab: Lab, pack: PackPlan, shown: frozenset[str], store: ObjectStore) -> None:
    from . import panels

    for spec in (entry.spec for entry in pack.entries if entry.spec.trial_id in shown):
        if lab.exists(f"bridges/{spec.trial_id}.safetensors") and not lab.exists(f"panels/{spec.trial_id}.parquet"):
            domains: dict[Side, str] = {"a": spec.base_a.domain, "b": spec.base_b.domain}
            samples = {side: store.samples(domain, side)["test"] for side, domain in domains.items()}
            panels.make(lab, samples, [spec.trial_id])


def is_done(lab: Lab, pack: PackPlan) -> bool:
    if pack.leg is not None and not pack.leg.is_last:
        leg, met = pack.leg, Results(lab).met()
        return all(
            met.get((leg.search_id, leg.generation, leg.rung + 1, e.spec.trial_id), "lost") not in PASSING
            for e in pack.entries
        )
    new = [entry for entry in pack.entries if not entry.trained]
    if not new or not (lab.exists(f"results/trials/part-{pack.pack_id}.parquet") or _have_bridges(lab, new)):
        return False  # two files tell, where each pack of a large sweep would read the parts of all others
    attempts = Results(lab).latest_attempts()
    return all(attempts.get(e.spec.trial_id, {"attempt": -1})["attempt"] >= e.attempt for e in new)


def _have_bridges(lab: Lab, entries: Iterable[Entry]) -> bool:
    return all(lab.exists(f"bridges/{entry.spec.trial_id}.safetensors") for entry in entries)
