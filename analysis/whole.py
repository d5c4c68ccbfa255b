"""The whole paper: every number of its Tables 1 to 5 in their order, with ours beside it or why there is none."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bridgelab.catalog import plain_id
from bridgelab.errors import NoRunError, UnknownNameError
from bridgelab.lab import Lab
from bridgelab.study import Selection

from . import paper, tables
from .markup import Cells
from .overview import claim_rows
from .replication import MARGIN, replicate
from .summary import Run, read_run, summarize

ARROW = "{} → {}"
NAMES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST", "sc09": "SC09"}
PAIRS = {"sc09": "mnist-sc09_wave", "fashion_mnist": "mnist-fashion_mnist", "mnist": paper.DIGITS}
"""By the target of the paper's pairs from MNIST; its speech is under a WaveGAN."""
FEW = (10, 100, 1_000)
"""The label counts of Table 3 at which labels are spread, too."""
NO_LAYER = "-: the paper does not say of which layer"


@dataclass(frozen=True)
class Cell:
    """A number of the paper, and where ours is to be found."""

    table: str
    row: str
    number: float | None
    "None: a number that only we have"
    study: str
    pair: str
    arm: str
    metric: str
    recipe: str = "default"


def published_cells() -> Iterator[Cell]:
    """Every number of Tables 1 to 5, and with those of Table 3 ours for all labels that there are."""
    for domain, number in paper.TABLE_1.items():
        garments = domain in ("mnist", "fashion_mnist")
        study, pair = (
            ("reconstruction" if garments else "transfer_pairs"),
            PAIRS["fashion_mnist" if garments else domain],
        )
        side = "a" if domain == "mnist" else "b"
        yield Cell("1", NAMES[domain], number, study, pair, "bridge", f"bridge_reconstruction_accuracy_{side}")
    for (a, b), number in paper.TABLE_2.items():
        way, pair = ("ab", PAIRS[b]) if a == "mnist" else ("ba", PAIRS[a])
        yield Cell(
            "2", ARROW.format(NAMES[a], NAMES[b]), number, "transfer_pairs", pair, "bridge", f"transfer_accuracy_{way}"
        )
    pixels, garments_pair = "pixel_baselines", PAIRS["fashion_mnist"]
    for arm, numbers in paper.BASELINES.items():
        for metric, number in numbers.items():
            ends = (NAMES["mnist"], NAMES["fashion_mnist"])
            row = f"{arm}, {ARROW.format(*(ends if metric.endswith('ab') else ends[::-1]))}"
            yield Cell("2", row, number, pixels, garments_pair, arm, metric)
    digits = ("label_efficiency", paper.DIGITS)
    for n, number in paper.TABLE_3.items():
        yield Cell("3", f"{n:,} labels", number, *digits, f"n_labels={n}", "transfer_accuracy_ab")
    yield Cell("3", "all labels that there are", None, *digits, "n_labels=all", "transfer_accuracy_ab")
    for n in FEW:
        name, arm = f"{n:,} labels, spread", f"n_labels={n}"
        yield Cell("3", name, paper.TABLE_3[n], *digits, arm, "transfer_accuracy_ab", "few_labels")
    for recipe in ("default", "paper"):
        for arm, number in paper.TABLE_4.items():
            row = "conditional + SWD" if arm == "full" else arm
            yield Cell("4", row, number, "component_ablation", paper.DIGITS, arm, "transfer_accuracy_ab", recipe)
    for arm, number in paper.TABLE_5_FID.items():
        yield Cell("5", f"FID, {arm}", number, pixels, garments_pair, arm, "fid_softmax_ab")


def whole_paper(runs: Sequence[Run]) -> pd.DataFrame:
    """A row for each of `published_cells`, in their order.

    Columns: table, row, study, pair, recipe, arm_name, metric, paper, n, n_base, n_eval, mean, ci_low, ci_high (95 %,
    of accuracies over replicates and test items, of distances over replicates), verdict as in `replicate`, or "not
    run" and why, or a dash where none can be given.
    """
    known = {(run.study, run.pair, run.recipe): run for run in runs}
    return pd.DataFrame([_row(cell, known.get((cell.study, cell.pair, cell.recipe))) for cell in published_cells()])


def _row(cell: Cell, run: Run | None) -> dict[str, Any]:
    nothing = {"n": 0, "n_base": 0, "n_eval": 0, "mean": math.nan, "ci_low": math.nan, "ci_high": math.nan}
    found = _ours(cell, run) if run else nothing | {"verdict": f"not run: {_command(cell)}"}
    about = {"table": cell.table, "row": cell.row, "study": cell.study, "pair": cell.pair, "recipe": cell.recipe}
    number = math.nan if cell.number is None else cell.number
    return {**about, "arm_name": cell.arm, "metric": cell.metric, "paper": number, **nothing, **found}


def _ours(cell: Cell, run: Run) -> dict[str, Any]:
    summary = summarize(run)
    rows = summary[(summary["arm_name"] == cell.arm) & (summary["metric"] == cell.metric) & (summary["n"] > 0)]
    if rows.empty:
        n_train = run.members["n_train"].max()
        there = "" if pd.isna(n_train) else f": {n_train:,.0f} samples {paper.whose(run.pair)}"
        return {"verdict": f"not run{there}"}
    found = {name: rows[name].iloc[0] for name in ("n", "n_base", "n_eval", "mean", "ci_low", "ci_high")}
    compared = replicate(run)
    if not compared.empty:
        compared = compared[(compared["arm_name"] == cell.arm) & (compared["metric"] == cell.metric)]
    if compared.empty:
        return found | {"verdict": NO_LAYER if cell.metric.startswith("fid") else "-"}
    return found | {name: compared[name].iloc[0] for name in ("ci_low", "ci_high", "verdict")}


def _command(cell: Cell) -> str:
    recipe = "" if cell.recipe == "default" else f" --recipe {cell.recipe}"
    return f"bridgelab sweep {cell.study} --pair {cell.pair}{recipe}"


def whole_rows(runs: Sequence[Run]) -> Cells:
    """`whole_paper` as text, under a head."""
    rows = [["table", "", "recipe", "paper", "ours", "n", "n_base", "test items", "verdict"]]
    for row in whole_paper(runs).to_dict("records"):
        digits = 4 if row["metric"].startswith("fid") else 3
        low, high = (tables.number(row[name], digits) for name in ("ci_low", "ci_high"))
        ours = tables.number(row["mean"], digits) + ("" if low == "-" else f" [{low}, {high}]")
        counts = [str(int(row[name])) if row["n"] else "-" for name in ("n", "n_base", "n_eval")]
        number = tables.number(row["paper"], digits)
        rows.append([row["table"], row["row"], row["recipe"], number, ours, *counts, row["verdict"]])
    return rows


def where_from(runs: Sequence[Run]) -> list[str]:
    """For each run that a number of the paper stands beside: its command, when it ended, and on what it rests."""
    needed = {(cell.study, cell.pair, cell.recipe) for cell in published_cells()}
    return [_where_from(run) for run in runs if (run.study, run.pair, run.recipe) in needed]


def _where_from(run: Run) -> str:
    ended = run.members["finished_at"].max()
    how = " or ".join(summarize(run)["decode"].dropna().unique())
    n_train = run.members["n_train"].max()
    other = None if pd.isna(n_train) else paper.other_data(run.pair, float(n_train))
    parts = [
        f"`{run.definition.get('command', run.study)}`",
        "not finished" if pd.isna(ended) else f"{ended:%Y-%m-%d}",
        f"preset {run.preset}",
        f"transferred from the {how} of q",
        other or f"trained on {n_train:,.0f} samples {paper.whose(run.pair)}",
    ]
    return "- " + "; ".join(parts)


def read_whole(lab: str | Lab, parts: Iterable[tuple[str, str, str]], preset: str | None = None) -> list[Run]:
    """The latest run that a lab has of each (study, pair, recipe), in their order; what it has not is left out.

    One in which something else was set (--set) stands for a part only where no other does. Raises LabError for a lab
    that cannot be read.
    """
    runs, lab = [], Lab.of(lab)
    for study, pair, recipe in parts:
        with contextlib.suppress(NoRunError, UnknownNameError):  # the latter: none on that pair, or of that recipe
            chosen = Selection(pair=pair, recipe=recipe, preset=preset)
            runs.append(read_run(lab, study, selection=chosen, study_id=plain_id(lab, study, chosen)))
    return runs


def numbers_of(runs: Sequence[Run]) -> str:
    """Paper beside ours for every number, as Markdown, and under it where ours come from."""
    how = (
        "ours: mean [95 % interval, of accuracies over replicates and test items, of FID over replicates]; "
        f"replicated: the 90 % interval lies within {MARGIN:.2f} of the paper's number; n_base: pairs of base models; "
        "from:"
    )
    return "\n".join([*tables.aligned(whole_rows(runs)), "", how, "", *where_from(runs)])


def render_whole(runs: Sequence[Run]) -> str:
    """`numbers_of` runs, and the paper's claims, as Markdown."""
    return "\n".join([numbers_of(runs), "", *tables.aligned(claim_rows(runs))])
