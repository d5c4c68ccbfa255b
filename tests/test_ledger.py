"""What a lab knows of a study."""

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bridgelab.catalog import studies_in
from bridgelab.config import Float, Search, canonical_json
from bridgelab.display import status_text
from bridgelab.errors import LabError
from bridgelab.history import History
from bridgelab.lab import Lab
from bridgelab.lease import Lease, Watch
from bridgelab.ledger import look, status
from bridgelab.planning import PackPlan, plan
from bridgelab.publication import manifest, publish_members, publish_rows
from bridgelab.search import next_generation, resolve_search
from bridgelab.searching import confirmation_of
from bridgelab.specs import Entry
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


def test_a_run_says_which_one_it_is(half_run: Lab) -> None:
    found = status(half_run, "component_ablation")
    told = found.as_json()
    assert (told["pair"], told["preset"], told["recipe"]) == ("plane-plane", "smoke", "default")
    head = f"component_ablation {found.study_id} (plane-plane, preset smoke, recipe default): 3 COMPLETE"
    assert status_text(found).startswith(head)
    assert status_text(status(half_run)).startswith("all studies: 3 COMPLETE")


def test_a_lab_is_looked_at_once_for_all_its_runs(half_run: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    view = look(half_run)
    monkeypatch.setattr(Watch, "settle", None)
    for study in (None, "component_ablation"):
        found = status(view, study)
        assert (found.counts["RUNNING"], found.counts["WAITING"]) == (3, 6)


SEARCH = Search(
    name="mine",
    question="Which weight?",
    space={"bridge.beta_kl": Float(0.01, 1.0, log=True)},
    n_generations=2,
    bracket=2,
    rungs=(),
    n_confirmed=1,
)


def test_a_search_is_over_when_what_it_found_is_confirmed(lab: Lab, around) -> None:
    history = History(lab, search := resolve_search(SEARCH, SMOKE))
    for n_left in (2, 1):
        history.publish(asked := next_generation(search, history.generations()), 0, "asked")
        pack = PackPlan(tuple(Entry(p.trial, 0, False) for p in asked), search.leg(asked[0].generation, 0))
        with Lease.take(lab, pack.pack_id, manifest("mine", pack), "a-sweep"):
            found = status(lab, "mine")
            assert (found.counts["RUNNING"], len(found.packs), found.searches[-1]["left"]) == (3, 1, n_left)
            assert not found.is_over
        lab.remove(f"packs/{pack.pack_id}")
        found = status(lab, "mine")
        assert (found.counts["RUNNING"], found.is_over) == (0, False)
        history.publish([replace(p, values=(0.5,)) for p in asked], 1, "met")
    assert not status(lab, "mine").is_over
    publish_members(lab, study := confirmation_of(history))
    assert not status(lab, "mine").is_over
    for pack in plan(study, lab=lab).packs:
        publish_rows(lab, pack, run_pack(Runtime(pack.pack_id), pack.entries, around).rows)
    assert status(lab, "mine").is_over


def test_a_search_whose_reference_failed_has_nothing_left(lab: Lab) -> None:
    history = History(lab, search := resolve_search(SEARCH, SMOKE))
    history.publish(asked := next_generation(search, []), 0, "asked")
    history.publish([replace(asked[0], values=(math.nan,), failure="nan")], 1, "met")
    assert status(lab, "mine").is_over


def test_latents_that_are_being_drawn_are_counted(lab: Lab) -> None:
    mark = {"study": "transfer_pairs", "study_id": "an-id", "models": ["made"], "drawn": ["some", "others"]}
    lab.publish("training/a-sweep.sweep", canonical_json(mark).encode())
    lab.publish("training/some.draws", b'{"n_draws": 12288, "of_class": [12288]}')
    assert "0 of 1 made, 12,288 latents drawn, last sign of it 0 s ago" in status_text(status(lab))
