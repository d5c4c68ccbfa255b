"""The report: one HTML file that needs no network, with every number's interval and where it comes from."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from . import figures, overview, panels, paper, replication, tables
from .summary import Run, summarize

STYLE = """
:root { --paper: #fff; --ink: #1b1f24; --quiet: #5b6470; --rule: #d9dee4; --good: #1a7f37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --ink: #e6e9ed; --quiet: #9aa4b0; --rule: #333a43; --good: #57ab5a; --bad: #f47067; }
  .js-plotly-plot .plotly text { fill: var(--ink) !important; }
  .js-plotly-plot .gridlayer path { stroke: var(--rule) !important; }
}
body { background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; margin: 0 auto;
  max-width: 62rem; padding: 2rem 1.25rem 4rem; }
main + main { margin-top: 5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { border-top: 1px solid var(--rule); font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
.quiet, caption { color: var(--quiet); font-size: .875rem; }
.strip { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr));
  margin: 1.25rem 0; padding: 0; }
.strip div { border: 1px solid var(--rule); border-radius: .5rem; padding: .6rem .8rem; }
.strip dt { color: var(--quiet); font-size: .8rem; }
.strip dd { font-size: 1.15rem; font-variant-numeric: tabular-nums; margin: 0; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { border-bottom: 1px solid var(--rule); padding: .35rem .7rem .35rem 0; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
table.wide td, table.wide th { text-align: left; vertical-align: top; white-space: normal; }
table.panel { width: auto; } table.panel td, table.panel th { border: 0; padding: .15rem .3rem; text-align: center; }
table.panel th { font-size: .875rem; max-width: 9rem; padding-right: .8rem; text-align: right; white-space: normal; }
table.panel img { background: #000; display: block; height: 3.5rem; image-rendering: pixelated; margin: 0 auto; }
table.panel small { color: var(--quiet); display: block; font-size: .7rem; } audio { height: 1.6rem; width: 6rem; }
td.fact { text-align: left; white-space: normal; }
thead th { border-bottom: 2px solid var(--ink); font-size: .875rem; }
code { font-size: .9em; overflow-wrap: anywhere; }
pre { background: color-mix(in srgb, var(--ink) 6%, transparent); border-radius: .5rem; overflow-x: auto;
  padding: .75rem 1rem; }
@media print {
  body { max-width: none; padding: 0; } h2 { break-after: avoid; } .figure, table { break-inside: avoid; }
}
"""


def write_report(runs: Sequence[Run], path: str | Path) -> Path:
    """Writes the report of one or more runs and returns its path. Plotly is inlined once."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.part")
    hidden.write_text(render_report(runs), encoding="utf-8")
    hidden.replace(path)
    return path


def render_report(runs: Sequence[Run]) -> str:
    """The HTML of a report."""
    import plotly.offline

    title = ", ".join(dict.fromkeys(run.study for run in runs))
    body = "\n".join([_overview(runs), *(_study(run, number) for number, run in enumerate(runs))])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{_text(title)} · bridgelab</title>
<link rel="icon" href="data:,"><style>{STYLE}</style>
<script>{plotly.offline.get_plotlyjs()}</script></head>
<body>
{body}
</body></html>
"""


def _overview(runs: Sequence[Run]) -> str:
    """At the head of a report of several runs: what they say of the paper together."""
    if len(runs) < 2 or not overview.has_any(runs):
        return ""
    strip = "".join(f"<div><dt>{name}</dt><dd>{n}</dd></div>" for name, n in overview.counts(runs).items())
    links = "".join(
        f'<li><a href="#study-{number}">{_text(tables.caption(run))}</a></li>' for number, run in enumerate(runs)
    )
    compared = _table("", overview.cell_rows(runs)) if len(overview.cell_rows(runs)) > 1 else ""
    return f"""<main><h1>The paper and ours</h1>
<dl class="strip">{strip}</dl>
<h2>Its claims</h2>{_table("", overview.claim_rows(runs), wide=True)}
<p class="quiet">From paired differences in the same replicates, on the paper's own pair and the default recipe. A claim
holds where the 95 % interval lies on its side and an exact sign-flip test says so at 5 %; it does not where the 90 %
interval leaves it less than {replication.MARGIN:.2f}. These are single tests, one a claim.</p>
<h2>Its numbers</h2>{compared}
<p class="quiet">Ours: mean [95 % interval over replicates and test items]. Replicated: the 90 % interval lies within
{replication.MARGIN:.2f} of the paper's number. Each study below says how its data differ from the paper's.</p>
<h2>The studies</h2><ul>{links}</ul></main>"""


def _study(run: Run, number: int) -> str:
    study = run.definition["study"]
    rebuilds = "" if study["rebuilds"] == "-" else f" Rebuilds {_text(study['rebuilds'])} of the paper."
    parts = [
        f'<main id="study-{number}"><h1>{_text(study["question"])}</h1>',
        f'<p class="quiet">{_text(tables.caption(run))}.{rebuilds}</p>',
        _strip(run),
        _figure(run, number),
        "<h2>Table</h2>",
        *(_table(heading, cells) for heading, cells in tables.sections(run)),
        f'<p class="quiet">{_text(tables.footnote(run))}.</p>',
        _against_paper(run),
        _differences(run, number),
        _panels(run, number),
        _decodings(run),
        _context(run),
        _failures(run),
        _methods(run),
        "</main>",
    ]
    return "\n".join(parts)


def _strip(run: Run) -> str:
    members, summary = run.members, summarize(run)
    states = members.drop_duplicates("trial_id")["state"]
    complete, failed = int((states == "COMPLETE").sum()), int((states == "FAIL").sum())
    trials = f'<span class="{"good" if complete == len(states) else "bad"}">{complete} of {len(states)}</span>'
    seconds = float(members.drop_duplicates("trial_id")[["train_s", "evaluate_s"]].sum().sum())
    facts = {
        "trials complete": trials + (f', <span class="bad">{failed} failed</span>' if failed else ""),
        "arms": str(members["arm_index"].nunique()),
        "replicates": str(members["replicate"].nunique()),
        "pairs of base models": str(int(summary["n_base"].max())),
        "test items": str(int(summary["n_eval"].max())),
        "time of all trials": f"{seconds:,.0f} core-seconds",
    }
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return f'<dl class="strip">{cells}</dl>'


def _figure(run: Run, number: int) -> str:
    kind = "Transfer accuracy over " + run.varied[0] if figures.is_curve(run) else "Transfer accuracy of each arm"
    said = f"{kind}: mean with its 95 % interval, and every replicate as a dot. The table has the same numbers."
    return f"""<h2>{_text(kind)}</h2>
{_drawn(figures.figure(run), f"figure-{number}", said)}
<p class="quiet">Lines or bars: means. Bands or whiskers: 95 % Student-t intervals. Dots: replicates.</p>"""


def _drawn(fig: Any, name: str, said: str) -> str:
    spec = fig.to_json().replace("</", "<\\/")
    return f"""<div class="figure" id="{name}" role="img" aria-label="{_text(said)}"></div>
<noscript><p class="quiet">The figure needs JavaScript; the table below has its numbers.</p></noscript>
<script>{{ const f = {spec};
Plotly.newPlot("{name}", f.data, f.layout, {{responsive: true, displayModeBar: false}}); }}</script>"""


def _against_paper(run: Run) -> str:
    cells = tables.against_paper(run)
    if len(cells) == 1:
        return ""
    return f"""<h2>The paper and ours</h2>
{_table("", cells)}
<p class="quiet">{_text(tables.against_paper_footnote(run))}.</p>"""


def _differences(run: Run, number: int) -> str:
    cells = tables.differences(run)
    if len(cells) == 1:
        return ""
    said = f"Differences from {run.reference}: mean with its 95 % interval, and every pair as a dot, for each arm."
    return f"""<h2>Against {_text(run.reference)}</h2>
{_drawn(figures.forest(run), f"forest-{number}", said)}
{_table("", cells)}
<p class="quiet">{_text(tables.differences_footnote(run))}.</p>"""


def _table(heading: str, cells: tables.Cells, wide: bool = False) -> str:
    """`wide`: its cells hold sentences."""
    head, *body = cells
    title = f"<h3>{_text(heading)}</h3>" if heading else ""
    rows = "".join(_row(row, "td") for row in body)
    kind = ' class="wide"' if wide else ""
    return (
        f'{title}<div class="scroll"><table{kind}><thead>{_row(head, "th")}</thead><tbody>{rows}</tbody></table></div>'
    )


def _row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"


def _panels(run: Run, number: int) -> str:
    shown = panels.read_panels(run)
    drawn, points = panels.pictures(shown, run.reference), panels.points(shown)
    if points is not None:
        said = "Where each arm sends the points of both sides. Circles: sources. Crosses: where they land."
        drawn = f'{_drawn(points, f"points-{number}", said)}<p class="quiet">{said}</p>'
    if not drawn:
        return ""
    return f"""<h2>What the bridges do</h2>
<p class="quiet">The first test item of each class in replicate 0, the same in every arm; below each picture, what the
judge of its domain takes it for. Interpolations are those of '{_text(run.reference)}'.</p>
{drawn}"""


def _decodings(run: Run) -> str:
    """The accuracies under both decodings, side by side."""
    summary = summarize(run)
    rows = []
    for name, found in summary.groupby("arm_name", sort=False):
        by_metric = {one["metric"]: one for one in found.to_dict("records")}
        shown = [_mean_then_sample(by_metric[metric]) for metric in figures.DIRECTIONS]
        rows.append([str(name), *(tables.number(value) for pair in shown for value in pair)])
    head = ["arm", *(f"{name}, {how}" for name, _ in figures.DIRECTIONS.values() for how in ("mean", "sample"))]
    table = _table("", [head, *rows])
    return f"""<h2>From means and from samples</h2>
<p class="quiet">Means of transfer accuracy over the replicates, where latents and shared codes are the means of their
posteriors, and where they are samples. The table above shows one of them, as the recipe says.</p>
{table}"""


def _mean_then_sample(one: Mapping[Any, Any]) -> tuple[float, float]:
    ours, other = float(one["mean"]), float(one["mean_other_decode"])
    return (other, ours) if one["decode"] == "sample" else (ours, other)


def _context(run: Run) -> str:
    said = paper.context(run.study)
    if said is None or run.pair == paper.DIGITS:
        return ""
    return f'<p class="quiet">Not comparable, other data: {_text(said)}</p>'


def _failures(run: Run) -> str:
    trials = run.members.drop_duplicates("trial_id")
    failed, n_missing = trials[trials["state"] == "FAIL"], int(trials["state"].isna().sum())
    parts = []
    if n_missing:
        parts.append(f'<p class="bad">{n_missing} trials have not run yet.</p>')
    if len(failed):
        text = failed["failure_text"].str.strip().str.split("\n").str[-1]
        shown = failed.assign(text=text)[["trial_id", "arm_name", "replicate", "failure_class", "text"]]
        head = ["trial", "arm", "replicate", "class", "what happened"]
        parts.append(_table("", [head, *shown.astype(str).to_numpy().tolist()]))
    return "<h2>What is missing</h2>" + "\n".join(parts) if parts else ""


def _methods(run: Run) -> str:
    rows = "".join(
        f'<tr><td>{name}</td><td class="fact"><code>{_text(value)}</code></td></tr>'
        for name, value in _provenance(run).items()
    )
    return f"""<h2>How it was made</h2>
<p>Each arm was trained once a replicate. Replicate <i>i</i> has its own label draw and bridge seed, and its own pair
of base models as far as there are pairs: the same in every arm, so that arms can be compared in pairs. Whatever chooses
read the validation split; the test split was read once a trial, after its last step. Transfer accuracy is the share
of test items whose source and transferred sample get the same class from the judges of their domains.</p>
<p>To run it again:</p><pre>{_text(run.definition["command"])}</pre>
<div class="scroll"><table>{rows}</table></div>"""


def _provenance(run: Run) -> dict[str, str]:
    done = run.members[run.members["state"] == "COMPLETE"].drop_duplicates("trial_id")
    if done.empty:
        return {}
    weights = pd.concat([done["base_a_sha256"], done["base_b_sha256"]]).dropna().astype(str).str[:12]
    finished = done["finished_at"]
    return {
        "versions": _distinct(done["versions"].map(_versions)),
        "devices": _distinct(done["device"]),
        "bridges drew from": f"{_distinct(done['n_train'].astype('Int64'))} training samples a side",
        "trials finished": f"{finished.min():%Y-%m-%d} to {finished.max():%Y-%m-%d}",
        "base models (sha256 of weights)": _distinct(weights),
    }


def _versions(text: str) -> str:
    return ", ".join(f"{package} {version}" for package, version in json.loads(text).items())


def _distinct(values: pd.Series[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values.dropna()))


def _text(value: object) -> str:
    return html.escape(str(value))
