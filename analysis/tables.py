"""Tables of a run: one row an arm and metric for programs, one row an arm for people."""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bridgelab.errors import InvalidValueError
from bridgelab.metrics import LANDING

from . import paper, statistics
from .comparison import compare
from .effects import effects
from .markup import Cells
from .replication import MARGIN, replicate
from .summary import Run, summarize

Format = Literal["md", "tex", "csv", "json"]
FORMATS: tuple[Format, ...] = ("md", "tex", "csv", "json")

SHOWN = {
    "transfer_accuracy_ab": "transfer a→b",
    "transfer_accuracy_ba": "transfer b→a",
    "bridge_reconstruction_accuracy_a": "reconstruction a",
    "bridge_reconstruction_accuracy_b": "reconstruction b",
}
"""The metrics of tables for people, and their headings; the others are in json and csv."""
SHOWN_TOO = {
    "landing_ab": "landing a→b",
    "landing_ba": "landing b→a",
    "locality_ab": "locality a→b",
    "shared_distance": "distance in z'",
}
"""Shown where landing is known: where a transfer ends says more than its class."""

SHOWN_FID = {"fid_ab": "FID a→b", "fid_ba": "FID b→a", "fid_softmax_ab": "softmax a→b", "fid_softmax_ba": "softmax b→a"}
"""Shown where FID is measured."""

DIFFERENCE = "difference from the reference"
NUMBERS = ("mean", "sd", "ci_low", "ci_high", "mean_other_decode")


def table(run: Run) -> pd.DataFrame:
    """A run as a table: one row an arm and metric, with the columns that `--format json` prints."""
    return pd.DataFrame(_records(run))


def render(run: Run, format: Format = "md") -> str:
    """A run as Markdown, LaTeX, CSV or JSON text."""
    if format == "json":
        return _json(list(_records(run)))
    if format == "csv":
        flat = table(run)
        arms = pd.DataFrame(list(flat.pop("arm")), columns=run.varied)
        return str(pd.concat([arms, flat], axis=1).to_csv(index=False)).rstrip()
    if format == "tex":
        return _latex(run)
    if format == "md":
        return _markdown(run)
    raise InvalidValueError(f"--format {format}: give one of {', '.join(FORMATS)}")


_encode = json.JSONEncoder(separators=(",\n    ", ": ")).encode


def _json(records: list[dict[str, Any]]) -> str:
    """As json.dumps has it with indent=2, at the speed of the encoder that is compiled, which knows separators only."""
    arms = {id(row["arm"]): row["arm"] for row in records}
    texts = {key: json.dumps(arm, indent=2).replace("\n", "\n    ") for key, arm in arms.items()}
    without, with_arm = '"arm": null', {key: f'"arm": {text}' for key, text in texts.items()}
    rows = [_encode(row | {"arm": None}).replace(without, with_arm[id(row["arm"])], 1) for row in records]
    return "[\n  " + ",\n  ".join(f"{{\n    {row[1:-1]}\n  }}" for row in rows) + "\n]"


def caption(run: Run) -> str:
    """What a table is of, in one line."""
    return f"{run.study} · {run.pair} · preset {run.preset} · recipe {run.recipe} · study_id {run.study_id}"


def footnote(run: Run) -> str:
    """How a table is to be read, in one line."""
    summary = summarize(run)
    how = " or ".join(summary["decode"].dropna().unique()) or "mean"
    text = (
        f"mean [95 % Student-t interval over n replicates], on {n_items(run)} test items, "
        f"transferred from the {how} of q; n_base: pairs of base models"
    )
    of_shown = summary[summary["metric"].isin(shown(run))]
    if (of_shown["interval"] == "studentized").any():
        text += "; *: studentized bootstrap, the replicates are skewed"
    if of_shown["bimodal"].any():
        text += "; two groups: the median stands for replicates that have no mean worth the name"
    text += _fid_footnote(summary) if set(SHOWN_FID) & set(shown(run)) else ""
    if (of_shown["n"] < of_shown["n_planned"]).any():
        text += "; n/planned where trials failed, are left out or are still to run"
    return text + _base_footnote(run, of_shown) + "".join(f"; {line}" for line in (*mixed(run), *excluded(run)))


def n_items(run: Run) -> str:
    """How many test items were sent across, in words: of each direction where it is not the same."""
    summary = summarize(run)
    counts = {
        way: int(summary.loc[summary["metric"] == f"transfer_accuracy_{direction}", "n_eval"].max())
        for direction, way in (("ab", "a→b"), ("ba", "b→a"))
    }
    alike = len(set(counts.values())) == 1
    return f"{counts['a→b']:,}" if alike else " and ".join(f"{n:,} ({way})" for way, n in counts.items())


def _base_footnote(run: Run, shown: pd.DataFrame) -> str:
    """Of whom the intervals speak, where replicates share base models."""
    fewer = shown[shown["n_base"] < shown["n"]]
    if fewer.empty or run.pair.startswith("plane"):
        return ""
    metric = str(run.definition["study"]["primary_metric"])
    over_base = fewer[(fewer["metric"] == metric) & fewer["base_low"].notna()]
    text = f"; replicates share {int(fewer['n_base'].max())} pairs of base models, and intervals speak of these"
    if over_base.empty:
        return text
    widest = max(over_base.to_dict("records"), key=lambda row: row["base_high"] - row["base_low"])
    interval = f"[{number(widest['base_low'])}, {number(widest['base_high'])}]"
    return f"{text}; over base models {SHOWN[metric]} of '{widest['arm_name']}' is within {interval}, the widest"


def mixed(run: Run) -> list[str]:
    """A line where arms were trained on more than one kind of device: a CPU and a GPU draw other random numbers."""
    done = run.members[run.members["state"] == "COMPLETE"].drop_duplicates(["arm_name", "trial_id"])
    by_arm = done.groupby("arm_name", sort=False, observed=True)["device"]
    counts = {str(arm): Counter(map(str, devices.dropna())) for arm, devices in by_arm}
    of_all = set().union(*counts.values())
    if len(of_all) < 2:
        return []
    usual = counts.get(run.reference, Counter())
    told = [
        f"{arm} ({', '.join(f'{n} on {kind}' for kind, n in sorted(count.items()))})"
        for arm, count in counts.items()
        if len(count) > 1 or set(count) != set(usual)
    ]
    return [f"devices are mixed, and pairs across them share no random draws: {', '.join(told)}"]


def excluded(run: Run) -> list[str]:
    """A line for each trial that is left out: which, when and why."""
    members = run.members[run.members["trial_id"].isin(list(run.excluded))]
    places = {row["trial_id"]: row for row in members.to_dict("records")}
    return [
        f"left out: {trial_id} ({places[trial_id]['arm_name']}, replicate {places[trial_id]['replicate']}), "
        f"declared on {row['declared_at']:%Y-%m-%d}: {row['reason']}"
        for trial_id, row in run.excluded.items()
    ]


def _fid_footnote(summary: pd.DataFrame) -> str:
    """What a distance can be compared with."""
    means = summary.groupby("metric")["mean"].first()
    known = "; ".join(
        f"{what} {SHOWN_FID[f'{kind}_{d}']}: real against real {means[f'{kind}_floor_{d}']:.4f}, base model's "
        f"reconstructions {means[f'{kind}_base_{d}']:.4f}"
        for kind, what in (("fid", "penultimate"), ("fid_softmax", ""))
        for d in ("ab", "ba")
    )
    return f"; FID on the judge's features, {known}".replace(",  ", ", ").replace(";  ", "; ")


@dataclass(frozen=True)
class Section:
    """A part of the table for people."""

    heading: str
    cells: Cells
    "the first row is the head"
    arms: tuple[str, ...]
    "the arm of each row below the head; none where rows are of no arm"
    metrics: tuple[str | None, ...]
    "the metric of each column"


def sections(run: Run) -> Iterator[Section]:
    """Each part of the table for people.

    A study with a ladder and a leave-one-out has a part for each, and one for the arms in neither.
    """
    study = run.definition["study"]
    ladder, left_out = list(study["ladder"]), dict(study["leave_one_out"])
    names = list(dict.fromkeys(run.members["arm_name"].astype(str)))
    if ladder:
        yield _section(run, "adding one component at a time", {name: name for name in ladder})
    if left_out:
        rows = {run.reference: run.reference} | {f"without {what}": name for what, name in left_out.items()}
        yield _section(run, "leaving one component out", rows)
    rest = {
        name: name for name in names if name not in {*ladder, *left_out.values(), *([run.reference] * bool(left_out))}
    }
    if rest:
        yield _section(run, "", rest)
    if run.brought_in:
        cells = _from_elsewhere(run)
        yield Section("brought in from elsewhere", cells, (), (None,) * len(cells[0]))


def _from_elsewhere(run: Run) -> Cells:
    """Numbers that were not measured here, each with its source."""
    cells = [["arm", "metric", "n", "value", "source"]]
    for row in run.brought_in:
        interval = "" if row["ci_low"] is None else f" [{number(row['ci_low'])}, {number(row['ci_high'])}]"
        metric = SHOWN.get(row["metric"], row["metric"])
        n = "-" if row["n"] is None else str(row["n"])
        cells.append([row["arm_name"], metric, n, number(row["mean"]) + interval, row["source"]])
    return cells


def best(run: Run) -> tuple[str, float] | None:
    """The arm with the best mean of the primary metric so far, and that mean; None while no trial has ended."""
    found = summarize(run)
    found = found[(found["metric"] == run.definition["study"]["primary_metric"]) & (found["n"] > 0)]
    if found.empty:
        return None
    row = found.sort_values("mean").iloc[-1]
    return str(row["arm_name"]), float(row["mean"])


def render_best(run: Run, n: int = 5) -> str:
    """The best arms by the primary metric so far, as Markdown."""
    metric = str(run.definition["study"]["primary_metric"])
    found = summarize(run)
    found = found[(found["metric"] == metric) & (found["n"] > 0)].sort_values("mean", ascending=False).head(n)
    cells = [["arm", "n", SHOWN.get(metric, metric)]]
    for row in found.to_dict("records"):
        interval = "" if math.isnan(row["ci_low"]) else f" [{number(row['ci_low'])}, {number(row['ci_high'])}]"
        cells.append([str(row["arm_name"]), f"{row['n']}/{row['n_planned']}", number(row["mean"]) + interval])
    return "\n".join(aligned(cells))


def differences(run: Run) -> Cells:
    """Each arm against the reference as text, under a head; the head alone where there is nothing to compare."""
    cells = [["arm", "pairs", DIFFERENCE, "p", "p (Holm)", "verdict"]]
    found = compare(run)
    if found.empty or not found["n"].any():
        return cells
    for row in found.to_dict("records"):
        interval = "-" if math.isnan(row["ci_low"]) else f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
        mark = "*" if row["interval"] == "studentized" else ""
        difference = "-" if row["n"] == 0 else f"{row['difference']:+.3f} {interval}{mark}"
        p_values = ["-" if math.isnan(row[name]) else f"{row[name]:.3f}" for name in ("p", "p_holm")]
        cells.append([str(row["arm_name"]), str(row["n"]), difference, *p_values, str(row["verdict"])])
    return cells


def differences_footnote(run: Run) -> str:
    """How the differences are to be read, in one line."""
    found = compare(run)
    n, least = int(found["n"].max()), float(found["smallest_p"].min())
    text = (
        f"{SHOWN.get(found['metric'].iloc[0], found['metric'].iloc[0])} of the arm minus that of '{run.reference}' in "
        f"the same replicate, mean [95 % Student-t interval]; p: {statistics.flips(n)} sign-flip test, two-sided; Holm "
        f"over {len(found)} arms: {n} pairs can reach {f'{least:.3f}' if least >= 0.001 else f'{least:.1g}'} at best"
    )
    text += "; *: studentized bootstrap, the pairs are skewed" if (found["interval"] != "t").any() else ""
    if n_nan := int(found["n_nan"].max()):
        text += f"; {n_nan} replicate{'s' * (n_nan > 1)} diverged, and counts as accuracy 0 in its pair"
    if len(run.looks) > 1:
        looks = ", then ".join(map(str, run.looks))
        text += f"; p-values are of a study that grew: {looks} replicates, and one look more makes errors more likely"
    return text


def effect_rows(run: Run) -> Cells:
    """Main effects and interactions of a full grid as text, under a head; the head alone where there is none."""
    cells = [["effect", "replicates", "difference", "p", "p (Holm)", "verdict"]]
    for row in effects(run).to_dict("records"):
        mark = "*" if row["interval"] == "studentized" else ""
        difference = f"{row['difference']:+.4f} [{row['ci_low']:+.4f}, {row['ci_high']:+.4f}]{mark}"
        p_values = ["-" if math.isnan(row[name]) else f"{row[name]:.3f}" for name in ("p", "p_holm")]
        cells.append([row["effect"], str(row["n"]), difference, *p_values, row["verdict"]])
    return cells


def effects_footnote(run: Run) -> str:
    """How main effects and interactions are to be read, in one line."""
    return (
        "each key by itself, averaged over every combination of the others within the replicate, then each two "
        f"together (a difference of differences); {statistics.flips(int(effects(run)['n'].max()))} sign-flip test, "
        "Holm over the main effects, and over the interactions"
    )


def against_paper(run: Run) -> Cells:
    """Each published number with ours as text, under a head; the head alone where there is none."""
    cells = [["arm", "metric", "n", "ours", "paper", "verdict"]]
    for row in replicate(run).to_dict("records"):
        interval = "" if math.isnan(row["ci_low"]) else f" [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
        ours = number(row["mean"]) + interval
        heading = SHOWN.get(row["metric"], row["metric"])
        cells.append([row["arm_name"], heading, str(row["n"]), ours, number(row["paper"]), row["verdict"]])
    return cells


def against_paper_footnote(run: Run) -> str:
    """How the comparison with the paper is to be read, in one line."""
    text = (
        f"ours: mean [95 % interval over replicates and test items]; replicated: its 90 % interval lies within "
        f"{MARGIN:.2f} of the paper's number, which has a standard error of its own of up to "
        f"{replicate(run)['paper_error'].max():.3f}"
    )
    n_train = run.members["n_train"].max()
    other = None if pd.isna(n_train) else paper.other_data(run.pair, float(n_train))
    return text + ("" if other is None else f"; other data: {other}")


def _records(run: Run) -> Iterator[dict[str, Any]]:
    arms = dict(zip(run.members["arm_index"], run.members["arm"], strict=True))
    columns = ["arm_index", "arm_name", "metric", "n", "n_planned", "n_base", "n_eval", *NUMBERS, "decode"]
    for row in summarize(run)[columns].to_dict("records"):
        arm = arms[row["arm_index"]]
        yield {
            "study": run.study,
            "study_id": run.study_id,
            "pair": run.pair,
            "preset": run.preset,
            "recipe": run.recipe,
            "name": row["arm_name"],
            "arm": arm,
            "metric": row["metric"],
            **{key: int(row[key]) for key in ("n", "n_planned", "n_base", "n_eval")},
            **{key: None if math.isnan(row[key]) else row[key] for key in NUMBERS},
            "decode": row["decode"],
            "paper": paper.published(run.study, run.pair, row["arm_name"], arm, row["metric"]),
        }


def _section(run: Run, heading: str, rows: dict[str, str]) -> Section:
    """Rows of text for the arms of `rows` (label -> arm name), under a head."""
    found = {(r["name"], r["metric"]): r for r in _records(run)}
    with_paper = any(r["paper"] is not None for r in found.values())
    grid = bool(run.definition["study"]["grid"])
    labels = list(run.varied) if grid else ["arm"]
    metrics = shown(run)
    known = {(str(row["arm_name"]), row["metric"]): row for row in summarize(run).to_dict("records")}
    head = [*labels, "n", "n_base", *metrics.values(), *(["paper a→b"] if with_paper else [])]
    cells = [head]
    for label, name in rows.items():
        first = found[name, next(iter(metrics))]
        n = str(first["n"]) if first["n"] == first["n_planned"] else f"{first['n']}/{first['n_planned']}"
        cell = [str(first["arm"][key]) for key in labels] if grid else [label]
        cell += [n, str(first["n_base"]), *(_interval(known[name, metric]) for metric in metrics)]
        cells.append(cell + ([number(first["paper"])] if with_paper else []))
    before, after = [None] * (len(labels) + 2), [None] * with_paper
    return Section(heading, cells, tuple(rows.values()), (*before, *metrics, *after))


def shown(run: Run) -> dict[str, str]:
    """The metrics that a run's table shows, and their headings."""
    measured = set(run.values["metric"].unique())
    also = {name: heading for name, heading in SHOWN_TOO.items() if name in measured}
    fid = SHOWN_FID if run.definition["study"].get("fid") and measured & set(SHOWN_FID) else {}
    return SHOWN | (also if measured & set(LANDING) else {}) | fid


def _interval(row: dict[Any, Any]) -> str:
    shown = functools.partial(number, digits=4 if "softmax" in row["metric"] else 3)
    if row["bimodal"]:
        return f"{shown(row['median'])} (two groups)"
    if math.isnan(row["ci_low"]):
        return shown(row["mean"])
    mark = "*" if row["interval"] == "studentized" else ""
    return f"{shown(row['mean'])} [{shown(row['interval_low'])}, {shown(row['interval_high'])}]{mark}"


def number(value: float | None, digits: int = 3) -> str:
    """A number as tables for people have it; a dash for none."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _markdown(run: Run) -> str:
    lines = [caption(run)]
    for section in sections(run):
        lines += ["", *([section.heading, ""] if section.heading else []), *aligned(section.cells)]
    lines += ["", f"{footnote(run)}; again by `{run.definition.get('command', f'bridgelab sweep {run.study}')}`"]
    published = against_paper(run)
    if len(published) > 1:
        lines += ["", "against the paper", "", *aligned(published), "", against_paper_footnote(run)]
    compared = differences(run)
    if len(compared) > 1:
        lines += ["", f"against {run.reference}", "", *aligned(compared), "", differences_footnote(run)]
    acting = effect_rows(run)
    if len(acting) > 1:
        lines += ["", "each key by itself, and two together", "", *aligned(acting), "", effects_footnote(run)]
    return "\n".join(lines)


def aligned(cells: Cells) -> list[str]:
    """Cells as the lines of a Markdown table."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    head, *body = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return [head, "|" + "|".join("-" * (w + 2) for w in widths) + "|", *body]


def _latex(run: Run) -> str:
    lines = [f"% {caption(run)}", f"% {footnote(run)}"]
    for section in sections(run):
        head, *body = [" & ".join(_escape(cell) for cell in row) + r" \\" for row in section.cells]
        columns = "l" + "r" * (len(section.cells[0]) - 1)
        lines += [f"% {section.heading}"] if section.heading else []
        lines += [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    return "\n".join(lines)


LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "→": r"$\to$",
}


def _escape(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)
