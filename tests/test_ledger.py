"""What a lab knows of a study."""

from collections.abc import Iterator

import pytest

from bridgelab.catalog import studies_in
from bridgelab.config import canonical_json
from bridgelab.display import status_text
from bridgelab.errors import LabError
from bridgelab.lab import Lab
from bridgelab.lease import Lease
from bridgelab.ledger import status
from bridgelab.planning import plan
from bridgelab.publication import manifest, publish_members, publish_rows
from bridgelab.study import Selection, resolve
from bridgelab.trial import Runtime, run_pack

SMOKE = Selection(pair="plane-plane", preset="smoke", n_replicates=2)


@pytest.fixture
def half_run(lab: Lab, around) -> Iterator[Lab]:
    """Twelve trials in packs of three: one finished, one begun, two waiting."""
    publish_members(lab, resolve("component_ablation", SMOKE))
    packs = plan("component_ablation", lab=lab, selection=SMOKE, pack=3, n_workers=1).packs
    publish_rows(lab, packs[0], run_pack(Runtime(packs[0].pack_id), packs[0].entries, around).rows)
    with Lease.take(lab, packs[1].pack_id, manifest("component_ablation", packs[1]), "a-sweep"):
        yield lab


def test_trials_are_counted_by_state(half_run: Lab) -> None:
    found = status(half_run, "component_ablation")
    assert found.counts == {"COMPLETE": 3, "RUNNING": 3, "WAITING": 6, "FAIL": 0}
    assert [(len(pack["trials"]), pack["live"]) for pack in found.packs] == [(3, True)]
    assert found.seconds_left > 0


def test_the_whole_lab_is_the_sum_of_its_studies(half_run: Lab) -> None:
    publish_members(half_run, resolve("label_efficiency", SMOKE))
    shared = 2  # the bridge with all labels stands in both
    assert sum(status(half_run).counts.values()) == 12 + 10 - shared
    assert studies_in(half_run) == ["component_ablation", "label_efficiency"]


def test_failures_are_counted_by_class(lab: Lab, around) -> None:
    doomed = Selection(pair="plane-plane", preset="smoke", n_replicates=1, overrides={"bridge.learning_rate": 1e30})
    publish_members(lab, resolve("component_ablation", doomed))
    for pack in plan("component_ablation", lab=lab, selection=doomed).packs:
        publish_rows(lab, pack, run_pack(Runtime(pack.pack_id), pack.entries, around).rows)
    found = status(lab, "component_ablation")
    assert (found.counts["FAIL"], found.failures, found.seconds_left) == (6, {"nan": 6}, 0.0)


def test_a_lab_without_the_run_says_what_to_do(lab: Lab) -> None:
    with pytest.raises(LabError, match="bridgelab sweep label_efficiency"):
        status(lab, "label_efficiency")


def test_an_empty_lab_has_nothing(lab: Lab) -> None:
    assert sum(status(lab).counts.values()) == 0


def test_base_models_in_training_are_told_before_there_is_a_run(lab: Lab) -> None:
    mark = {"study": "label_efficiency", "study_id": "an-id", "models": ["made", "begun", "waiting"]}
    lab.publish("training/a-sweep.sweep", canonical_json(mark).encode())
    lab.publish("training/other.sweep", b"damaged")
    lab.publish("training/begun.checkpoint", b"")
    lab.publish_folder("models/made", {"config.json": b"{}"})
    found = status(lab, "label_efficiency")
    assert [(one["done"], len(one["models"])) for one in found.making] == [(1, 3)]
    assert [one["study"] for one in status(lab).making] == ["label_efficiency"]
    assert "base models and judges for label_efficiency: 1 of 3 made, last sign of it 0 s ago" in status_text(found)
    with pytest.raises(LabError):
        status(lab, "component_ablation")


def test_latents_that_are_being_drawn_are_counted(lab: Lab) -> None:
    mark = {"study": "transfer_pairs", "study_id": "an-id", "models": ["made"], "drawn": ["some", "others"]}
    lab.publish("training/a-sweep.sweep", canonical_json(mark).encode())
    lab.publish("training/some.draws", b'{"n_draws": 12288, "of_class": [12288]}')
    assert "0 of 1 made, 12,288 latents drawn, last sign of it 0 s ago" in status_text(status(lab))
