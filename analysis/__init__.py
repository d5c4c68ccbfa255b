"""From Parquet to tables, figures and reports. Imports neither torch nor ray.

>>> import analysis
>>> run = analysis.read_run("./lab", "label_efficiency")
>>> analysis.table(run)             # a DataFrame, one row an arm and metric
>>> analysis.compare(run)           # each arm against the reference, in pairs
>>> analysis.replicate(run)         # each number of the paper beside ours, with a verdict
>>> analysis.judge_claims([run])          # what runs say of the paper's claims
>>> analysis.figure(run).show()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .aggregates import aggregate as aggregate
from .claims import judge_claims as judge_claims
from .comparison import compare as compare
from .dose_response import first_reaching as first_reaching
from .dose_response import trend as trend
from .effects import effects as list_effects
from .export import export as export_run
from .importance import importance as rank_parameters
from .overview import cells as cells
from .predictions import confusion as confusion
from .predictions import per_class as per_class
from .predictions import relabelled as relabelled
from .replication import replicate as replicate
from .summary import Run as Run
from .summary import read_run as read_run
from .summary import summarize as summarize
from .tables import caption as caption
from .tables import render as render
from .tables import render_best as render_best
from .tables import table as table
from .trials import compare_trials as compare_trials
from .trials import list_trials as list_trials
from .trials import read_trial as read_trial
from .trials import show_trial as show_trial
from .variance import split_variance as split_variance
from .versus import changes as changes
from .versus import versus as compare_runs
from .whole import read_whole as read_whole
from .whole import render_whole as render_whole
from .whole import whole_paper as whole_paper

if TYPE_CHECKING:
    from .figures import figure as figure
    from .report import render_index as render_index
    from .report import render_report as render_report
    from .report import write_report as write_report

_DRAWN = {"figure": "figures", "render_index": "report", "render_report": "report", "write_report": "report"}
"""What needs Plotly loads when it is used."""

__all__ = [
    "Run",
    "aggregate",
    "caption",
    "cells",
    "changes",
    "compare",
    "compare_runs",
    "compare_trials",
    "confusion",
    "export_run",
    "figure",
    "first_reaching",
    "judge_claims",
    "list_effects",
    "list_trials",
    "per_class",
    "rank_parameters",
    "read_run",
    "read_trial",
    "read_whole",
    "relabelled",
    "render",
    "render_best",
    "render_index",
    "render_report",
    "render_whole",
    "replicate",
    "show_trial",
    "split_variance",
    "summarize",
    "table",
    "trend",
    "whole_paper",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _DRAWN:
        raise AttributeError(f"module 'analysis' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_DRAWN[name]}", __name__), name)
