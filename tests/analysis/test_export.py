"""Exports: each file is opened with the tool that it is for."""

import json
from typing import Any
from wsgiref.util import setup_testing_defaults

import numpy as np
import optuna
import optuna_dashboard
import pandas as pd
import pytest

import analysis
from analysis import export
from bridgelab.config import Categorical, Float, Search
from bridgelab.errors import InvalidValueError, LabError
from bridgelab.history import History
from bridgelab.search import next_generation, resolve_any
from bridgelab.study import Selection


@pytest.fixture
def exported(lab, fill, tmp_path):
    fill("component_ablation", lambda arm, replicate, metric: 0.5 + 0.1 * replicate, failed=(("full", 1),))
    run = analysis.read_run(lab, "component_ablation")
    return run, analysis.export_run(run, tmp_path / "out")


def test_the_flat_file_has_a_row_a_trial_with_its_metrics(exported) -> None:
    run, paths = exported
    flat = pd.read_parquet(paths["trials.parquet"])
    assert len(flat) == len(run.members) == 24
    assert flat.loc[flat["arm_name"] == "vanilla", "transfer_accuracy_ab"].tolist() == pytest.approx(
        [0.5, 0.6, 0.7, 0.8]
    )
    failed = flat[flat["state"] == "FAIL"]
    assert failed["arm_name"].tolist() == ["full"]
    assert failed["transfer_accuracy_ab"].isna().all()
    assert "bridge.conditional" in flat


def test_optuna_opens_its_study(exported) -> None:
    run, paths = exported
    (name,) = optuna.get_all_study_names(f"sqlite:///{paths['optuna.db']}")
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{paths['optuna.db']}")
    assert len(study.trials) == 24
    assert study.best_value == pytest.approx(0.8)
    assert sum(t.state == optuna.trial.TrialState.FAIL for t in study.trials) == 1
    assert study.user_attrs["command"] == run.definition["command"]


def test_optuna_dashboard_shows_its_study(exported) -> None:
    run, paths = exported
    dashboard = optuna_dashboard.wsgi(f"sqlite:///{paths['optuna.db']}")
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    said: list[str] = []
    body = dashboard(environ | {"PATH_INFO": "/api/studies"}, lambda status, headers, error=None: said.append(status))
    (study,) = json.loads(b"".join(body))["study_summaries"]
    assert (said, study["study_name"]) == (["200 OK"], f"component_ablation-{run.study_id}")


def test_rliable_gets_an_array_of_replicates_and_tasks_an_arm(exported) -> None:
    scores = np.load(exported[1]["rliable.npz"], allow_pickle=False)
    assert scores["vanilla"].shape == (4, 2)
    assert scores["full"].shape == (3, 2)


def test_what_is_there_is_not_written_over(exported) -> None:
    run, paths = exported
    with pytest.raises(InvalidValueError, match="is there already; give -o another folder"):
        analysis.export_run(run, paths["optuna.db"].parent)


def test_proposals_of_a_search_keep_their_states(lab, fill, tmp_path) -> None:
    search = Search(
        name="component_ablation", question="?", pair="plane-plane", bracket=2, n_generations=1,
        space={"bridge.beta_kl": Float(0.01, 1.0, log=True)},
    )  # fmt: skip
    resolved = resolve_any(search, Selection(preset="smoke"))
    asked = next_generation(resolved, [])
    history = History(lab, resolved)
    history.publish(asked, 0, "asked")
    first = [analysis_with(p, (0.5 + 0.1 * p.number,)) for p in asked]
    history.publish(first, 1, "rung")
    fill("component_ablation", lambda arm, replicate, metric: 0.5, pair="plane-plane", preset="smoke")
    paths = analysis.export_run(analysis.read_run(lab, "component_ablation"), tmp_path / "out")
    (name,) = optuna.get_all_study_names(f"sqlite:///{paths['optuna.db']}")
    trials = optuna.load_study(study_name=name, storage=f"sqlite:///{paths['optuna.db']}").trials
    assert [t.state for t in trials] == [optuna.trial.TrialState.PRUNED] * 3  # the reference and two arms
    assert trials[2].intermediate_values == {resolved.rungs[0]: 0.7}
    assert isinstance(trials[0].distributions["bridge.beta_kl"], optuna.distributions.FloatDistribution)


def test_a_reference_outside_the_space_is_left_out(lab, fill, tmp_path) -> None:
    search = Search(
        name="heads", question="?", pair="plane-plane", bracket=2, n_generations=1,
        space={"bridge.hidden_dim": Categorical((7, 9))},
    )  # fmt: skip
    resolved = resolve_any(search, Selection(preset="smoke"))
    History(lab, resolved).publish(next_generation(resolved, []), 0, "asked")
    fill("heads", lambda arm, replicate, metric: 0.5, pair="plane-plane", preset="smoke")
    run = analysis.read_run(lab, "heads")
    paths = analysis.export_run(run, tmp_path / "out")
    study = optuna.load_study(study_name=f"heads-{run.study_id}", storage=f"sqlite:///{paths['optuna.db']}")
    assert {trial.params["bridge.hidden_dim"] for trial in study.trials} <= {7, 9}
    assert len(study.trials) == 2


def test_an_export_that_fails_leaves_nothing(lab, fill, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(run, storage):
        raise LabError("no space")

    fill("heads", lambda arm, replicate, metric: 0.5)
    monkeypatch.setattr(export, "_write_optuna", failing)
    with pytest.raises(LabError, match="no space"):
        analysis.export_run(analysis.read_run(lab, "heads"), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def analysis_with(proposal, values):
    from dataclasses import replace

    return replace(proposal, values=values)
