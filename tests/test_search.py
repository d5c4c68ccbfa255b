"""A search asks, meets at rungs, and confirms; and comes to the same however it is cut short."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import sweeps
import torch
from pydantic import ValidationError

from bridgelab import evaluate
from bridgelab.bridge.stacked import StackedBridges
from bridgelab.config import Categorical, Float, Int, Search
from bridgelab.errors import InvalidValueError, LabError, UnknownNameError
from bridgelab.history import History
from bridgelab.lab import Lab
from bridgelab.results import Results
from bridgelab.search import (
    FIRST_REPLICATE,
    Generation,
    ResolvedSearch,
    best,
    bracket_of,
    gains,
    next_generation,
    optuna_study,
    resolve_search,
)
from bridgelab.search import ended as complete
from bridgelab.specs import Entry, Leg
from bridgelab.study import Selection
from bridgelab.trial import STEPS_FOR_AN_ITEM, Runtime, run_leg, run_pack

PLANE = Selection(pair="plane-plane", preset="smoke", n_replicates=2)
SEARCH = Search(
    name="mine",
    question="Which weights?",
    space={"bridge.beta_kl": Float(0.01, 1.0, log=True), "bridge.beta_cls": Float(0.1, 10.0, log=True)},
    n_generations=2,
    bracket=4,
    rungs=(0.25, 0.5),
    n_confirmed=2,
)


def resolved(**changes: object) -> ResolvedSearch:
    return resolve_search(replace(SEARCH, **changes), PLANE)


def ended(search: ResolvedSearch, generation: Generation, scores: Sequence[float]) -> Generation:
    """A generation in which each arm has its score at every rung that it comes to."""
    for rung in range(len(search.rungs)):
        for p in bracket_of(generation, len(search.rungs)).waiting:
            failure = "nan" if math.isnan(scores[p.number]) else None
            there = replace(p, values=(*p.values, scores[p.number] + 0.01 * rung), failure=failure)
            generation = tuple(there if q.number == p.number else q for q in generation)
    return generation


def test_at_every_rung_the_better_half_goes_on_and_the_reference_always_does() -> None:
    search = resolved()
    generation = ended(search, next_generation(search, []), [0.1, 0.5, 0.9, 0.7, 0.6])
    assert [len(p.values) for p in generation] == [3, 1, 3, 2, 1]
    assert [p.number for p in bracket_of(generation, 3).living] == [0, 2]
    assert bracket_of(generation, 3).rung == 3


def test_who_diverges_leaves_and_makes_nobody_else_leave() -> None:
    search = resolved()
    generation = ended(search, next_generation(search, []), [0.1, math.nan, math.nan, math.nan, 0.6])
    assert [p.number for p in bracket_of(generation, 3).living] == [0, 4]
    assert [p.failure for p in generation] == [None, "nan", "nan", "nan", None]


def test_who_fails_at_a_later_rung_lets_nobody_back_in() -> None:
    search = resolved()
    first = [0.1, 0.5, 0.9, 0.7, 0.6]
    met = tuple(replace(p, values=(first[p.number],)) for p in next_generation(search, []))
    going_on = {p.number for p in bracket_of(met, 3).living}
    assert going_on == {0, 2, 3}
    failed = tuple(
        replace(p, values=(*p.values, math.nan if p.number == 2 else 0.8), failure="nan" if p.number == 2 else None)
        if p.number in going_on
        else p
        for p in met
    )
    assert {p.number for p in bracket_of(failed, 3).waiting} == {0, 3}


def test_optuna_is_told_gains_over_the_reference_and_who_left_is_pruned() -> None:
    search = resolved()
    generation = ended(search, next_generation(search, []), [0.5, math.nan, 0.9, 0.7, 0.6])
    trials = optuna_study(search, [generation]).trials
    assert [t.state.name for t in trials] == ["COMPLETE", "PRUNED", "COMPLETE", "PRUNED", "PRUNED"]
    assert trials[2].value == pytest.approx(0.4)
    assert [t.value for t in trials if t.state == optuna.trial.TrialState.PRUNED] == [None, None, None]
    assert trials[1].intermediate_values == {}
    assert list(trials[3].intermediate_values) == list(search.rungs[:2])
    assert gains(generation[3], generation) == pytest.approx([0.2, 0.2])


def test_a_generation_is_a_function_of_the_complete_ones_before_it() -> None:
    search = resolved()
    first = next_generation(search, [])
    told = ended(search, first, [0.5, 0.4, 0.9, 0.7, 0.6])
    again = [p.parameters for p in next_generation(resolved(), [told])]
    assert [p.parameters for p in next_generation(search, [told])] == again
    assert again != [p.parameters for p in first]
    assert [p.parameters for p in next_generation(search, [ended(search, first, [0.5, 0.9, 0.4, 0.1, 0.2])])] != again


def test_another_seed_asks_other_arms_for_the_same_question() -> None:
    first, again, other = resolved(), resolved(seed=0), resolved(seed=1)
    assert "seed" not in first.choices  # the ids of searches from before there were seeds stay
    assert first.search_id == again.search_id != other.search_id
    asked, otherwise = (next_generation(search, []) for search in (first, other))
    assert [p.parameters for p in otherwise[1:]] != [p.parameters for p in asked[1:]]
    assert otherwise[0].trial == asked[0].trial  # in the same replicate, against the same reference
    with pytest.raises(ValidationError):
        resolved(seed=-1)


def test_all_arms_of_a_generation_share_a_replicate_that_no_table_has() -> None:
    search = resolved()
    for g, generation in enumerate(
        [next_generation(search, []), next_generation(search, [next_generation(search, [])])]
    ):
        assert {(p.trial.label_seed, p.trial.bridge_seed) for p in generation} == {(FIRST_REPLICATE + g,) * 2}
    confirmed = search.confirmation(next_generation(search, [])[1:3])
    assert {m.trial.bridge_seed for m in confirmed.members} == {0, 1}
    assert [arm.name for arm in confirmed.arms] == ["reference", "found 1", "found 2"]


def test_the_best_are_those_of_most_gain_in_whichever_generation() -> None:
    search = resolved()
    easy = ended(search, next_generation(search, []), [0.8, 0.9, 0.7, 0.6, 0.5])
    hard = ended(search, next_generation(search, [easy]), [0.2, 0.1, 0.6, 0.1, 0.1])
    assert [(p.generation, p.number) for p in best(search, [easy, hard], 2)] == [(1, 2), (0, 1)]


def test_a_reference_that_fails_ends_the_search_in_one_line() -> None:
    search = resolved()
    generation = next_generation(search, [])
    failed = (replace(generation[0], values=(0.5, math.nan), failure="nan"), *generation[1:])
    with pytest.raises(LabError, match=r"generation 1 failed \(nan\).*lower --set bridge.learning_rate"):
        complete([failed], 3)
    for passing in ("lost", "oom", "error"):
        with pytest.raises(LabError, match=rf"generation 1 failed \({passing}\).*with --retry$"):
            complete([(replace(failed[0], failure=passing), *generation[1:])], 3)


def test_a_file_of_the_users_own_is_run_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("print('run')\n" + MINE)
    resolve_search(str(tmp_path / "mine.py"), PLANE)
    assert capsys.readouterr().out == "run\n"


def test_a_plan_runs_a_file_of_the_users_own_once_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bridgelab import cli

    (tmp_path / "mine.py").write_text("import sys\nprint('run', file=sys.stderr)\n" + MINE)
    cli.plan(str(tmp_path / "mine.py"), preset="smoke", lab=str(tmp_path / "lab"))
    assert capsys.readouterr().err == "run\n"


def test_what_is_stored_is_what_is_read(lab: Lab) -> None:
    search = resolved()
    asked = next_generation(search, [])
    met = tuple(
        replace(p, values=(0.1 * p.number if p.number else math.nan,), failure=None if p.number else "nan")
        for p in asked
    )
    history = History(lab, search)
    history.publish(asked, 0, "asked")
    assert history.generations() == [asked]
    history.publish(met, 1, "met")
    assert list(map(repr, history.generations()[0])) == list(map(repr, met))
    assert repr(History(lab, search).generations()) == repr(history.generations())


def test_a_history_reads_no_part_twice(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    search, opened = resolved(), []
    monkeypatch.setattr(Lab, "open", lambda lab, path, _open=Lab.open: opened.append(path) or _open(lab, path))
    history = History(lab, search)
    history.publish(asked := next_generation(search, []), 0, "asked")
    history.generations()
    history.publish([replace(p, values=(0.5,)) for p in asked], 1, "met")
    for _ in range(3):
        assert history.generations()[0][2].values == (0.5,)
    assert len(opened) == len(set(opened)) == 2


def test_legs_of_a_bracket_over_other_packs_come_to_the_same_bits(make_trial, around) -> None:
    entries = [Entry(make_trial(i, **{"bridge.n_steps": 160}), attempt=0, trained=False) for i in range(4)]
    legs = [Leg("search", 0, 0, 0, 64, False), Leg("search", 0, 1, 64, 128, False), Leg("search", 0, 2, 128, 160, True)]
    whole = run_pack(Runtime("whole"), entries[:2], around).rows
    apart = [run_leg(Runtime("one"), [e], around, legs[0]) for e in entries]
    together = run_leg(Runtime("all"), entries, around, replace(legs[0], generation=1))
    assert together == {k: v for one in apart for k, v in one.items()}
    run_leg(Runtime("some"), entries[1:3], around, legs[1])
    run_leg(Runtime("some"), entries[:1], around, legs[1])
    last = run_pack(Runtime("last"), entries[:2], around, legs[2]).rows
    for table in ("curves", "predictions", "metrics"):
        rows = [row for row in whole[table].to_pylist() if not row.get("term", "").startswith("validation/")]
        assert last[table].to_pylist() == rows  # but for the learning curve on validation: a bracket has none
    assert last["trials"]["resumed_at"].to_pylist() == [None, None]


def test_a_leg_whose_start_is_lost_begins_anew_and_comes_to_the_same(make_trial, around) -> None:
    entry = Entry(make_trial(0, **{"bridge.n_steps": 160}), attempt=0, trained=False)
    whole = run_pack(Runtime("whole"), [entry], around).rows
    lost = run_pack(Runtime("lost"), [entry], around, Leg("search", 0, 1, 96, 160, True)).rows
    assert lost["metrics"].to_pylist() == whole["metrics"].to_pylist()


def test_a_bracket_is_scored_at_its_rungs_only_and_on_few_items_for_its_steps(
    make_trial, around, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [Entry(make_trial(i, **{"bridge.n_steps": 160}), attempt=0, trained=False) for i in range(2)]
    honest, n_scored = evaluate.transfer_means, []

    def counting(bridges: StackedBridges, z_KND: torch.Tensor, source: int) -> torch.Tensor:
        n_scored.append(z_KND.shape[0] * z_KND.shape[1])
        return honest(bridges, z_KND, source)

    monkeypatch.setattr(evaluate, "transfer_means", counting)
    for leg in (Leg("search", 0, 0, 0, 32, False), Leg("search", 0, 1, 32, 128, False)):
        n_scored.clear()
        run_leg(Runtime("leg"), entries, around, leg)
        assert len(n_scored) == 2  # once, in each direction
        assert 0 < STEPS_FOR_AN_ITEM * max(n_scored) <= len(entries) * (leg.stop - leg.start)
    n_scored.clear()
    run_pack(Runtime("last"), entries, around, Leg("search", 0, 2, 128, 160, True))
    assert n_scored == []  # what it is in the end is evaluated anyway


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"space": {"bridge.beta_swt": Float(0.1, 1.0)}}, UnknownNameError),
        ({"space": {"vae.latent_dim": Int(2, 8)}}, InvalidValueError),
        ({"space": {}}, InvalidValueError),
        ({"space": {"system": Categorical(["bridge", "procrustes"])}}, InvalidValueError),
        ({"base": {"system": "procrustes"}}, InvalidValueError),
        ({"space": {"bridge.heads": Categorical(["gated", "bent"])}}, InvalidValueError),
        ({"space": {"bridge.hidden_dim": Float(16.0, 64.0)}}, InvalidValueError),
        ({"space": {"bridge.beta_kl": Float(-1.0, 1.0)}}, InvalidValueError),
        ({"rungs": (0.5, 0.25)}, InvalidValueError),
    ],
)
def test_a_search_that_cannot_run_is_refused_before_it_does(change: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        resolved(**change)


def test_a_distribution_has_a_range() -> None:
    with pytest.raises(InvalidValueError, match="low < high"):
        Float(1.0, 0.5)
    with pytest.raises(InvalidValueError, match="low > 0"):
        Float(0.0, 1.0, log=True)
    assert Categorical(["a", "b"]).choices == ("a", "b")


MINE = """
from bridgelab.config import Categorical, Float, Search

def study() -> Search:
    return Search(
        name="mine",
        question="Which weights?",
        space={"bridge.beta_kl": Float(0.01, 1.0, log=True), "bridge.hidden_dim": Categorical([16, 32])},
        n_generations=2,
        bracket=4,
        rungs=(0.25, 0.5),
        n_confirmed=2,
    )
"""
STUDY = ("./mine.py", "--pair", "plane-plane", "--preset", "smoke", "--set", "bridge.n_steps=480")


def search_rows(folder: Path) -> list[str]:
    columns = ["study_id", "generation", "number", "rung", "step", "parameters", "trial_id", "value", "failure_class"]
    return sorted(map(str, Results(Lab(folder / "lab")).read("proposals").select(columns).to_pylist()))


@pytest.mark.ray
@pytest.mark.slow
def test_a_search_that_is_killed_proposes_what_it_would_have_proposed(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("undisturbed", "killed")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "mine.py").write_text(MINE)
    told = sweeps.finish(sweeps.start(folders["undisturbed"], study=STUDY))
    assert (told["trials"], told["failed"]) == (6, {})
    sweep = sweeps.start(folders["killed"], *sweeps.ALWAYS, study=STUDY)
    sweeps.wait_until(lambda: sweeps.parts(folders["killed"], "proposals") >= 3, sweep)
    sweeps.kill(sweep)
    sweeps.finish(sweeps.bridgelab(folders["killed"], "sweep", *STUDY, "--pack", "1", "--json"))
    assert search_rows(folders["killed"]) == search_rows(folders["undisturbed"])
    sweeps.assert_same(folders["killed"], folders["undisturbed"])
    assert not list((folders["killed"] / "lab/brackets").glob("[!.]*"))
