"""What several runs come to together: every number of the paper beside ours, and its claims."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from . import tables
from .claims import NOT_RUN, judge_claims
from .markup import Cells
from .replication import replicate
from .summary import Run


def cells(runs: Sequence[Run]) -> pd.DataFrame:
    """`replicate` of every run, in their order, with columns study, pair and recipe in front."""
    found = [
        replicate(run).assign(study=run.study, pair=run.pair, recipe=run.recipe, rebuilds=_rebuilds(run))
        for run in runs
    ]
    whole = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    if whole.empty:
        return pd.DataFrame(columns=["rebuilds", "study", "pair", "recipe", "arm_name", "metric", "verdict"])
    front = ["rebuilds", "study", "pair", "recipe"]
    return whole[[*front, *(name for name in whole if name not in front)]]


def cell_rows(runs: Sequence[Run]) -> Cells:
    """`cells` as text, under a head."""
    rows = [["table", "pair", "recipe", "arm", "metric", "n", "ours", "paper", "verdict"]]
    for row in cells(runs).to_dict("records"):
        ours = f"{tables.number(row['mean'])} [{tables.number(row['ci_low'])}, {tables.number(row['ci_high'])}]"
        metric = tables.SHOWN.get(row["metric"], row["metric"])
        texts = [row["rebuilds"], row["pair"], row["recipe"], row["arm_name"], metric, int(row["n"]), ours]
        rows.append([*map(str, texts), tables.number(row["paper"]), row["verdict"]])
    return rows


def claim_rows(runs: Sequence[Run]) -> Cells:
    """`judge_claims` as text, under a head."""
    rows = [["claim", "of the paper", "here", "evidence"]]
    for row in judge_claims(runs).to_dict("records"):
        rows.append([row["claim"], row["text"], row["verdict"], row["evidence"]])
    return rows


def counts(runs: Sequence[Run]) -> dict[str, str]:
    """What stands in the strip at the head of a report: name -> how many."""
    of_cells, of_claims = cells(runs), judge_claims(runs)
    found: dict[str, str] = {}
    for verdict in ("replicated", "higher", "lower", "inconclusive"):
        n = int(of_cells["verdict"].astype(str).str.startswith(verdict).sum())
        found[f"numbers {verdict}"] = f"{n} of {len(of_cells)}"
    judged = of_claims[of_claims["verdict"] != NOT_RUN]
    holding = int((judged["verdict"] == "holds here").sum())
    found["claims that hold"] = f"{holding} of {len(judged)} judged"
    return found


def has_any(runs: Sequence[Run]) -> bool:
    """Whether any of the runs says something of the paper."""
    return not cells(runs).empty or bool((judge_claims(runs)["verdict"] != NOT_RUN).any())


def _rebuilds(run: Run) -> str:
    return str(run.definition["study"]["rebuilds"])
