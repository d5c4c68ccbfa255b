"""What a search's outcome hangs on, from its proposals."""

from dataclasses import replace

import pytest

import analysis
from analysis.importance import proposals
from bridgelab.config import Categorical, Float, Search
from bridgelab.history import History
from bridgelab.search import ended, next_generation, resolve_any
from bridgelab.study import Selection

SEARCH = Search(
    name="component_ablation", question="?", pair="plane-plane", bracket=24, n_generations=1,
    space={
        "bridge.beta_kl": Float(0.1, 1.0), "bridge.beta_swd": Float(0.1, 1.0),
        "bridge.heads": Categorical(("gated", "linear")),
    },
)  # fmt: skip


@pytest.fixture
def run(lab, fill):
    """The gain is the weight of KL; nothing else matters."""
    resolved = resolve_any(SEARCH, Selection(preset="smoke"))
    asked = next_generation(resolved, [])
    history = History(lab, resolved)
    history.publish(asked, 0, "asked")
    met = [replace(p, values=(p.parameters["bridge.beta_kl"] if p.number else 0.0,)) for p in asked]
    history.publish(met, 1, "rung")
    fill("component_ablation", lambda arm, replicate, metric: 0.5, pair="plane-plane", preset="smoke")
    assert ended([asked], len(resolved.rungs)) == []
    return analysis.read_run(lab, "component_ablation")


def test_the_gain_is_over_the_reference_of_the_generation(run) -> None:
    found = proposals(run)
    assert len(found) == 24
    assert found["gain"].to_numpy() == pytest.approx(found["bridge.beta_kl"].to_numpy())


def test_a_search_of_that_name_on_another_pair_or_at_another_size_is_another(run, lab, fill) -> None:
    for other in (Selection(pair="digits-digits", preset="smoke"), Selection(overrides={"bridge.beta_cls": 2.0})):
        resolved = resolve_any(SEARCH, other)
        History(lab, resolved).publish(next_generation(resolved, []), 0, "asked")
    assert len(proposals(analysis.read_run(lab, "component_ablation"))) == 24
    fill("component_ablation", lambda arm, replicate, metric: 0.5)
    assert proposals(analysis.read_run(lab, "component_ablation")).empty


def test_what_matters_ranks_first_by_both_measures(run) -> None:
    found = analysis.rank_parameters(run, n_resamples=4).set_index("parameter")
    for measure in ("fanova", "ped_anova"):
        assert found[measure].idxmax() == "bridge.beta_kl"
        assert found.loc["bridge.beta_kl", measure] > 0.6
        assert (found[f"{measure}_low"] <= found[f"{measure}_high"]).all()


def test_a_report_shows_what_was_searched(run) -> None:
    html = analysis.render_report([run])
    assert "What was searched" in html
    assert "PED-ANOVA" in html


def test_a_grid_has_no_importance(lab, fill) -> None:
    fill("heads", lambda arm, replicate, metric: 0.5)
    assert analysis.rank_parameters(analysis.read_run(lab, "heads")).empty
