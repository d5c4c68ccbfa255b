"""The sections of a study's report, each a function from a run to HTML; an empty one where there is nothing to
say."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bridgelab.columns import Where
from bridgelab.power import is_enough
from bridgelab.results import Results

from . import dose_response, export, figures, importance, panels, paper, predictions, statistics, tables, variance
from .aggregates import aggregate
from .comparison import LEVEL, compare
from .markup import data, drawn, table, table_of_arms, text
from .replication import replicate
from .summary import Run, summarize

AB = "transfer_accuracy_ab"


def strip(run: Run, number: int) -> str:
    """What a reader has to know first: verdicts, how much ran, and every caution in plain words."""
    members, summary = run.members, summarize(run)
    states = members.drop_duplicates("trial_id")["state"]
    complete, failed = int((states == "COMPLETE").sum()), int((states == "FAIL").sum())
    trials = f'<span class="{"good" if complete == len(states) else "bad"}">{complete} of {len(states)}</span>'
    seconds = float(members.drop_duplicates("trial_id")[["train_s", "evaluate_s"]].sum().sum())
    facts = {
        **_verdicts(run),
        "trials complete": trials + (f', <span class="bad">{failed} failed</span>' if failed else ""),
        "arms x replicates": f"{members['arm_index'].nunique()} x {members['replicate'].nunique()}",
        "pairs of base models": str(int(summary["n_base"].max())),
        "test items": tables.n_items(run),
        "core-hours of all trials": f"{seconds / 3600:,.2f}",
    }
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    said = "".join(f"<li>{text(line)}</li>" for line in cautions(run))
    return f'<dl class="strip">{cells}</dl>' + (f'<ul class="plain">{said}</ul>' if said else "")


def _verdicts(run: Run) -> dict[str, str]:
    found = {}
    published = replicate(run)
    if len(published):
        n = published["verdict"].astype(str).str.startswith("replicated").sum()
        found["numbers of the paper replicated"] = f"{n} of {len(published)}"
    compared = compare(run)
    if len(compared):
        shown = compared["verdict"].isin(["higher", "lower"]).sum()
        found["arms shown to differ"] = f"{shown} of {len(compared)}"
    return found


def cautions(run: Run) -> list[str]:
    """What limits the table, a sentence each."""
    said, compared = [], compare(run)
    if len(compared) and (least := compared["smallest_p"].min()) > LEVEL:
        n = int(compared["n"].max())
        said.append(
            f"Underpowered: with {n} pairs the least p after Holm over {len(compared)} arms is {least:.3f}, so no "
            f"difference can be shown; {is_enough(len(compared))}."
        )
    if len(run.looks) > 1:
        looks = ", then ".join(map(str, run.looks))
        said.append(f"The study grew: {looks} replicates. Its p-values take no account of looks in between.")
    if variance.design(run) is not None:
        said.append(
            "Seeds are crossed, so replicates share base models, label draws and bridge seeds: intervals over them are "
            "narrower than those over new ones, and p-values smaller. The split of variance is what to read."
        )
    said += [f"{line[0].upper()}{line[1:]}." for line in (*tables.mixed(run), *tables.excluded(run))]
    return said + ([] if run.frozen is None else [frozen(run)])


def frozen(run: Run) -> str:
    """Whether the plan was fixed beforehand, and kept."""
    assert run.frozen is not None
    plan, n = run.frozen, int(run.members["replicate"].nunique())
    when = f"The plan was frozen on {plan['declared_at']:%Y-%m-%d}"
    if plan["n_known"]:
        when += f", when {plan['n_known']} of its {plan['n_trials']} trials had results already"
    n_out = len(run.excluded)
    left_out = f", {n_out} trial{'s' * (n_out > 1)} left out since" if n_out else ""
    kept = n == plan["n_replicates"] and not run.excluded
    return f"{when}: {plan['n_replicates']} replicates. {'Kept' if kept else f'Not kept: {n} replicates{left_out}'}."


def main_table(run: Run, number: int) -> str:
    """The table; every number in it is a button that shows its trials."""
    parts = ["<h2>Table</h2>"]
    for section in tables.sections(run):
        if section.arms:
            parts.append(table_of_arms(section.heading, section.cells, number, section.arms, section.metrics))
        else:
            parts.append(table(section.heading, section.cells))
    parts.append(f'<p class="quiet">{text(tables.footnote(run))}.</p>')
    parts += [_keep(run, number), data(f"trials-{number}", _trials(run))]
    return "\n".join(parts)


def _keep(run: Run, number: int) -> str:
    """Buttons that copy the table, and its trials as a file."""
    file = io.BytesIO()
    export.flat(run).to_parquet(file, index=False)
    flat = base64.b64encode(file.getvalue()).decode()
    return f"""<p class="keep"><button class="copy" data-of="md-{number}">Copy as Markdown</button>
<button class="copy" data-of="tex-{number}">Copy as LaTeX</button>
<a class="button" download="{text(run.study)}.parquet"
href="data:application/vnd.apache.parquet;base64,{flat}">Download the trials (Parquet)</a></p>
{data(f"md-{number}", json.dumps(tables.render(run, "md")))}
{data(f"tex-{number}", json.dumps(tables.render(run, "tex")))}"""


def _trials(run: Run) -> str:
    """metric -> arm -> [replicate, value, trial_id] of what the table shows, as JSON."""
    names = run.members.drop_duplicates("arm_index").set_index("arm_index")["arm_name"].astype(str).to_dict()
    rows = run.values[run.values["metric"].isin(tables.shown(run))]
    columns = (rows[name].tolist() for name in ("metric", "arm_index", "replicate", "value", "trial_id"))
    found: dict[str, dict[str, list[list[Any]]]] = {}
    for metric, arm_index, place, value, trial_id in zip(*columns, strict=True):
        found.setdefault(metric, {}).setdefault(names[arm_index], []).append([place, round(value, 6), trial_id])
    return json.dumps(found)


def against_paper(run: Run, number: int) -> str:
    cells = tables.against_paper(run)
    context = paper.context(run.study)
    said = (
        "" if context is None or run.pair == paper.DIGITS else f'<p class="quiet">Not comparable: {text(context)}</p>'
    )
    if len(cells) == 1:
        return said
    return f"""<h2>The paper and ours</h2>
{table("", cells)}
<p class="quiet">{text(tables.against_paper_footnote(run))}.</p>{said}"""


def differences(run: Run, number: int) -> str:
    cells = tables.differences(run)
    if len(cells) == 1:
        return ""
    said = f"Differences from {run.reference}: mean with its 95 % interval, and every pair as a dot, for each arm."
    return f"""<h2>Against {text(run.reference)}</h2>
{drawn(figures.forest(run), f"forest-{number}", said)}
{table("", cells)}
<p class="quiet">{text(tables.differences_footnote(run))}.</p>"""


def acting(run: Run, number: int) -> str:
    """Of a full grid: what each key does, and whether two act together."""
    cells = tables.effect_rows(run)
    if len(cells) == 1:
        return ""
    said = tables.effects_footnote(run)
    return f"""<h2>Each key by itself, and two together</h2>{table("", cells)}
<p class="quiet">{text(said[0].upper() + said[1:])}.</p>"""


def figure(run: Run, number: int) -> str:
    """The means over what varies; of a number, its trend and the first value that is enough."""
    is_curve = dose_response.varies_a_number(run)
    kind = f"Transfer accuracy over {run.varied[0]}" if is_curve else "Transfer accuracy of each arm"
    said = f"{kind}: mean with its 95 % interval, and every replicate as a dot. The table has the same numbers."
    return f"""<h2>{text(kind)}</h2>
{drawn(figures.figure(run), f"figure-{number}", said)}
<p class="quiet">Lines or bars: means. Bands or whiskers: 95 % Student-t intervals. Dots: replicates. Open
diamonds: the paper's numbers, where they may stand here.</p>{_doses(run) if is_curve else ""}"""


def _doses(run: Run) -> str:
    rows, trends = [["accuracy", "a→b from", "95 % interval", "b→a from", "95 % interval"]], []
    found = [dose_response.first_reaching(run, metric).to_dict("records") for metric in figures.DIRECTIONS]
    for there, back in zip(*found, strict=True):
        cells = [cell for one in (there, back) for cell in (_value(one["value"]), _interval(one))]
        rows.append([f"{there['target']:.2f}", *cells])
    for metric, (name, _) in figures.DIRECTIONS.items():
        found_trend = dose_response.trend(run, metric)
        trends.append(f"{name} rises p = {found_trend['rises_p']:.2g}, falls p = {found_trend['falls_p']:.2g}")
    return f"""<h3>How much is enough</h3>{table("", rows)}
<p class="quiet">The first {text(run.varied[0])} from which on every mean is at least the accuracy; percentile
bootstrap over replicates, approximate. Page's trend test, one-sided: {text("; ".join(trends))}. Exploratory.</p>"""


def _interval(found: Mapping[Any, Any]) -> str:
    return "-" if found["n"] < 2 else f"{_value(found['low'])} to {_value(found['high'])}"


def _value(value: Any) -> str:
    return "not reached" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def robust(run: Run, number: int) -> str:
    """Aggregates that a few bad replicates do not move."""
    found = aggregate(run)
    if len(found) < 2:
        return ""
    rows = [["arm", "n", "interquartile mean", f"beats '{run.reference}' in"]]
    for row in found.to_dict("records"):
        rows.append([row["arm_name"], str(row["n"]), _with_ends(row, "iqm"), _with_ends(row, "improvement")])
    return f"""<h2>Robust aggregates</h2>{table("", rows)}
<p class="quiet">Over both directions, as rliable defines them; 95 % percentile bootstrap over replicates,
approximate at so few. Exploratory.</p>"""


def _with_ends(row: Mapping[Any, Any], name: str) -> str:
    if math.isnan(row[name]):
        return "-"
    return f"{row[name]:.3f} [{tables.number(row[f'{name}_low'])}, {tables.number(row[f'{name}_high'])}]"


def search(run: Run, number: int) -> str:
    """Of a search: what was proposed, and what its outcome hangs on."""
    proposed = importance.proposals(run)
    if proposed.empty:
        return ""
    n, said = int(proposed["gain"].notna().sum()), "Every proposed arm with its parameters and its gain."
    parts = [f"<h2>What was searched</h2>{drawn(figures.searched(run), f'searched-{number}', said)}"]
    parts.append(drawn(figures.slices(run), f"slices-{number}", "The gain of every arm over each parameter."))
    found = importance.importance(run)
    if len(found):
        said = "The importance of each parameter with its interval; the table has the same numbers."
        rows = [["parameter", "fANOVA", "PED-ANOVA"]]
        rows += [
            [r["parameter"], _with_ends(r, "fanova"), _with_ends(r, "ped_anova")] for r in found.to_dict("records")
        ]
        parts += [drawn(figures.importances(run), f"importance-{number}", said), table("", rows)]
    return f"""{"".join(parts)}<p class="quiet">{n} proposed arms, each with its gain over the reference of
its generation at
the first rung, on validation; importance with percentile bootstrap intervals over arms, approximate. Exploratory:
what was found is confirmed in the table above.</p>"""


def pictures(run: Run, number: int) -> str:
    shown = panels.read_panels(run)
    found, points = panels.pictures(shown, run.reference), panels.points(shown)
    if points is not None:
        said = "Where each arm sends the points of both sides. Circles: sources. Crosses: where they land."
        found = f'{drawn(points, f"points-{number}", said)}<p class="quiet">{said}</p>'
    if not found:
        return ""
    return f"""<h2>What the bridges do</h2>
<p class="quiet">The first test item of each class in replicate 0, the same in every arm; below each picture, what the
judge of its domain takes it for. Interpolations are those of '{text(run.reference)}', between the fixed points that
are framed.</p>
{found}"""


def confusion(run: Run, number: int) -> str:
    """Which class becomes which, and what a renaming would make of it."""
    if any(predictions.confusion(run, metric).empty for metric in figures.DIRECTIONS):
        return ""
    parts = []
    for metric, (name, _) in figures.DIRECTIONS.items():
        said = f"{name}: shares of each source class that became each class, for each arm."
        parts.append(f"<h3>{name}</h3>{drawn(figures.confusion(run, metric), f'confusion-{metric}-{number}', said)}")
    rows = [["arm", "transfer a→b", "after the best renaming", "worst class", "its accuracy"]]
    renamed = predictions.relabelled(run, AB).groupby("arm_index", as_index=False)[["accuracy", "relabelled"]].mean()
    by_class = predictions.per_class(run, AB)
    names = run.members.drop_duplicates("arm_index").set_index("arm_index")["arm_name"].astype(str)
    for row in renamed.to_dict("records"):
        of_arm = by_class[by_class["arm_index"] == row["arm_index"]].to_dict("records")
        worst = min(of_arm, key=lambda one: one["mean"])
        shown = [f"{row['accuracy']:.3f}", f"{row['relabelled']:.3f}", str(worst["source"]), f"{worst['mean']:.3f}"]
        rows.append([names[row["arm_index"]], *shown])
    return f"""<h2>Which class becomes which</h2>{"".join(parts)}{table("", rows)}
<p class="quiet">From the stored predictions on test items, replicates together. A map that permutes the classes is
right after a renaming; one that collapses is not.</p>"""


def sources(run: Run, number: int) -> str:
    """Of crossed seeds: where the spread comes from."""
    found = variance.split_variance(run)
    if found.empty:
        return ""
    rows = [["arm", "source", "levels", "standard deviation", "share", "95 % interval of the deviation"]]
    for row in found.to_dict("records"):
        ends = [row["ci_low"], row["ci_high"]]
        interval = "-" if any(map(math.isnan, ends)) else f"{math.sqrt(ends[0]):.4f} to {math.sqrt(ends[1]):.4f}"
        sd = "-" if math.isnan(row["sd"]) else f"{row['sd']:.4f}"
        share = "-" if math.isnan(row["share"]) else f"{row['share']:.0%}"
        rows.append([row["arm_name"], variance.NAMES[row["source"]], str(row["n_levels"]), sd, share, interval])
    return f"""<h2>Where the spread comes from</h2>{table("", rows)}
<p class="quiet">Transfer a→b; random-effects analysis of variance of the crossed seeds. No interval for a source
with fewer than {statistics.ENOUGH_LEVELS} levels.</p>"""


def learning(run: Run, number: int) -> str:
    """How accuracy on validation went while bridges trained."""
    trials = run.members.drop_duplicates("trial_id")[["trial_id", "arm_name", "arm_index"]]
    where: Where = {"trial_id": list(trials["trial_id"]), "term": [f"validation/{AB}"]}
    rows = Results(run.lab).read_columns("curves", ["trial_id", "step", "value"], where=where)
    if not rows.num_rows:
        return ""
    curves = rows.to_pandas().astype({"trial_id": str})
    curves = curves.merge(run.members[["trial_id", "arm_name", "arm_index"]], on="trial_id").sort_values("arm_index")
    curves["arm_name"] = curves["arm_name"].astype(str)
    said = "Accuracy on validation over training steps, median and quartiles over replicates, for each arm."
    return f"""<h2>While they trained</h2>{drawn(figures.learning_curves(run, curves), f"learning-{number}", said)}
<p class="quiet">Median and quartiles over replicates, on validation. Nothing is stopped or chosen by it.</p>"""


def decodings(run: Run, number: int) -> str:
    """The accuracies under both decodings, side by side."""
    summary, rows = summarize(run), []
    for name, found in summary.groupby("arm_name", sort=False, observed=True):
        by_metric = {one["metric"]: one for one in found.to_dict("records")}
        shown = [_mean_then_sample(by_metric[metric]) for metric in figures.DIRECTIONS]
        rows.append([str(name), *(tables.number(value) for pair in shown for value in pair)])
    head = ["arm", *(f"{name}, {how}" for name, _ in figures.DIRECTIONS.values() for how in ("mean", "sample"))]
    return f"""<h2>From means and from samples</h2>
<p class="quiet">Means of transfer accuracy over the replicates, where latents and shared codes are the means of their
posteriors, and where they are samples. The table above shows one of them, as the recipe says.</p>
{table("", [head, *rows])}"""


def _mean_then_sample(one: Mapping[Any, Any]) -> tuple[float, float]:
    ours, other = float(one["mean"]), float(one["mean_other_decode"])
    return (other, ours) if one["decode"] == "sample" else (ours, other)


def failures(run: Run, number: int) -> str:
    """What failed, what is missing, and where the time went."""
    trials = run.members.drop_duplicates("trial_id")
    failed, n_missing = trials[trials["state"] == "FAIL"], int(trials["state"].isna().sum())
    parts = []
    if n_missing:
        parts.append(f'<p class="bad">{n_missing} trials have not run yet.</p>')
    if len(failed):
        by_class = ", ".join(f"{name} {n}" for name, n in failed["failure_class"].astype(str).value_counts().items())
        last = failed["failure_text"].astype(object).fillna("").astype(str).str.strip().str.split("\n").str[-1]
        shown = failed.assign(text=last)[["trial_id", "arm_name", "replicate", "failure_class", "text"]]
        head = ["trial", "arm", "replicate", "class", "what happened"]
        parts += [f"<p>By class: {text(by_class)}.</p>", table("", [head, *shown.astype(str).to_numpy().tolist()])]
    missing = "<h2>What is missing</h2>" + "\n".join(parts) if parts else ""
    return missing + _time(trials)


def _time(trials: pd.DataFrame) -> str:
    done = trials[trials["state"] == "COMPLETE"]
    if done.empty or done["pack_size"].isna().all():
        return ""
    packs = done.drop_duplicates("pack_id")
    train_s, evaluate_s = float(done["train_s"].sum()), float(done["evaluate_s"].sum())
    steps = float(done["steps"].sum())
    resumed = int(done["resumed_at"].notna().sum())
    rows = [
        ["packs", "trials in a pack", "training", "evaluation", "trial-steps a core-second", "went on after a stop"],
        [
            str(len(packs)),
            f"{packs['pack_size'].mean():.1f}",
            f"{train_s:,.0f} s",
            f"{evaluate_s:,.0f} s",
            f"{steps / train_s:,.0f}" if train_s else "-",
            str(resumed),
        ],
    ]
    return f"""<h2>Where the time went</h2>{table("", rows)}
<p class="quiet">Core-seconds of the trials that stand in the table, whichever study ran them first.</p>"""
