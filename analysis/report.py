"""The report: one HTML file that needs no network, with every number's interval and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from bridgelab.catalog import runs_in
from bridgelab.lab import Lab

from . import overview, replication, sections, tables
from .markup import table, text
from .methods import methods
from .summary import Run, read_run
from .versus import changes, pairs_of, versus
from .whole import whole_rows

IN_ORDER = (
    sections.strip,
    sections.main_table,
    sections.against_paper,
    sections.differences,
    sections.acting,
    sections.figure,
    sections.search,
    sections.pictures,
    sections.confusion,
    sections.sources,
    sections.robust,
    sections.decodings,
    sections.learning,
    sections.failures,
)
"""The sections of a study; what has nothing to say is left out."""


def write_report(runs: Sequence[Run], path: str | Path, *, of_whole_paper: bool = False) -> Path:
    """Writes the report of one or more runs and returns its path. Plotly is inlined once.

    One of the whole paper names what did not run beside what did.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.part")
    hidden.write_text(render_report(runs, of_whole_paper=of_whole_paper), encoding="utf-8")
    hidden.replace(path)
    return path


def render_report(runs: Sequence[Run], *, of_whole_paper: bool = False) -> str:
    """The HTML of a report."""
    import plotly.offline

    title = ", ".join(dict.fromkeys(run.study for run in runs))
    compared = (_versus(a, b) for a, b in pairs_of(runs))
    body = "\n".join(
        [_overview(runs, of_whole_paper), *compared, *(_study(run, number) for number, run in enumerate(runs))]
    )
    return f"""{_head(title)}</head>
<body>
{body}
<dialog aria-label="The trials behind a number"></dialog>
<script>{plotly.offline.get_plotlyjs()}</script>
<script>{_file("page.js")}</script>
</body></html>
"""


def render_index(lab: str | Lab) -> str:
    """The HTML of a page that lists a lab's studies, each with its report beside it, and its latest table in short."""
    lab, latest = Lab.of(lab), dict[str, str]()
    for study, study_id in runs_in(lab):
        latest.setdefault(study, study_id)
    rows = "".join(_index_row(read_run(lab, study, study_id=study_id)) for study, study_id in latest.items())
    return f"""{_head("Studies")}</head>
<body><main><h1>The studies of this lab</h1>
<div class="scroll"><table
class="wide"><thead><tr><th>study</th><th>question</th><th>pair</th><th>trials</th><th>best
arm</th></tr></thead><tbody>{rows}</tbody></table></div></main></body></html> """


def _index_row(run: Run) -> str:
    trials = run.members.drop_duplicates("trial_id")
    done = f"{int((trials['state'] == 'COMPLETE').sum())} of {len(trials)}"
    best = tables.best(run)
    shown = "-" if best is None else f"{best[0]}: {tables.number(best[1])}"
    link = f'<a href="./{quote(run.study, safe="")}.html">{text(run.study)}</a>'
    cells = (link, *map(text, (run.definition["study"]["question"], run.pair, done, shown)))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _head(title: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{text(title)} · bridgelab</title>
<link rel="icon" href="data:,"><style>{_file("page.css")}</style>"""


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _overview(runs: Sequence[Run], of_whole_paper: bool) -> str:
    """At the head of a report of several runs: what they say of the paper together."""
    if len(runs) < 2 or not overview.has_any(runs):
        return ""
    strip = "".join(f"<div><dt>{name}</dt><dd>{n}</dd></div>" for name, n in overview.counts(runs).items())
    links = "".join(
        f'<li><a href="#study-{number}">{text(tables.caption(run))}</a></li>' for number, run in enumerate(runs)
    )
    numbers = whole_rows(runs) if of_whole_paper else overview.cell_rows(runs)
    compared = table("", numbers) if len(numbers) > 1 else ""
    return f"""<main><h1>The paper and ours</h1>
<dl class="strip">{strip}</dl>
<h2>Its claims</h2>{table("", overview.claim_rows(runs), wide=True)}
<p class="quiet">From paired differences in the same replicates, on the paper's own pair and the default recipe. A
claim holds where the 95 % interval lies on its side and a sign-flip test says so at 5 %; it does not where
the 90 % interval leaves it less than {replication.MARGIN:.2f}. These are single tests, one a claim.</p>
<h2>Its numbers</h2>{compared}
<p class="quiet">Ours: mean [95 % interval over replicates and test items]. Replicated: the 90 % interval lies within
{replication.MARGIN:.2f} of the paper's number. Each study below says how its data differ from the paper's.</p>
<h2>The studies</h2><ul>{links}</ul></main>"""


def _versus(a: Run, b: Run) -> str:
    """Two runs of one study side by side."""
    changed = [["setting", a.study_id[:8], b.study_id[:8]], *([k, str(x), str(y)] for k, x, y in changes(a, b))]
    rows = [["arm", "pairs", a.study_id[:8], b.study_id[:8], "difference", "p", "p (Holm)", "verdict"]]
    for row in versus(a, b).to_dict("records"):
        difference = f"{row['difference']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
        means = [tables.number(row[name]) for name in ("mean_a", "mean_b")]
        p_values = [tables.number(row[name]) for name in ("p", "p_holm")]
        rows.append([row["arm_name"], str(row["n"]), *means, difference, *p_values, row["verdict"]])
    shown = table("", rows) if len(rows) > 1 else "<p>They have no arm in common.</p>"
    return f"""<main><h1>Two runs of {text(a.study)}</h1>
<p class="quiet">{text(tables.caption(a))}<br>{text(tables.caption(b))}</p>
<h2>What was changed</h2>{table("", changed, wide=True)}
<h2>What differs</h2>{shown}
<p class="quiet">The second run minus the first in the same replicate, mean [95 % interval]; sign-flip test,
Holm over the arms. None shown: no more than noise would.</p></main>"""


def _study(run: Run, number: int) -> str:
    study = run.definition["study"]
    rebuilds = "" if study["rebuilds"] == "-" else f" Rebuilds {text(study['rebuilds'])} of the paper."
    head = f"""<main id="study-{number}"><h1>{text(study["question"])}</h1>
<p class="quiet">{text(tables.caption(run))}.{rebuilds}</p>"""
    return "\n".join([head, *(section(run, number) for section in IN_ORDER), methods(run), "</main>"])
