"""Pieces of HTML: text, tables, figures."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

Cells = list[list[str]]


def text(value: object) -> str:
    """Anything as text that HTML does not read as markup."""
    return html.escape(str(value))


def plain(value: object) -> str:
    """Anything as text in a figure: Plotly reads letters, and takes `<a href=...>` for a link."""
    return html.escape(str(value), quote=False)


def table(heading: str, cells: Sequence[Sequence[str]], wide: bool = False) -> str:
    """A table of text under its heading; the first row of cells is its head. `wide`: its cells hold sentences."""
    return _table(heading, cells[0], [[text(cell) for cell in row] for row in cells[1:]], wide)


def table_of_arms(
    heading: str, cells: Sequence[Sequence[str]], study: int, arms: Sequence[str], metrics: Sequence[str | None]
) -> str:
    """A table whose numbers are buttons: each knows its arm (of its row) and its metric (of its column)."""
    rows = [
        [
            text(cell) if metric is None else _button(cell, study, arm, metric)
            for cell, metric in zip(row, metrics, strict=True)
        ]
        for row, arm in zip(cells[1:], arms, strict=True)
    ]
    return _table(heading, cells[0], rows, wide=False)


def _button(cell: str, study: int, arm: str, metric: str) -> str:
    return (
        f'<button class="cell" data-study="{study}" data-arm="{text(arm)}" data-metric="{text(metric)}" '
        f'title="the trials behind it">{text(cell)}</button>'
    )


def _table(heading: str, head: Sequence[str], rows: Iterable[Sequence[str]], wide: bool) -> str:
    title = f"<h3>{text(heading)}</h3>" if heading else ""
    kind = ' class="wide"' if wide else ""
    top = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'{title}<div class="scroll"><table{kind}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def drawn(fig: Any, name: str, said: str) -> str:
    """A figure, and in words what it shows. It is drawn once it comes into sight, or is printed."""
    style = f"min-height: {fig.layout.height or 450}px"
    return f"""<div class="figure" id="{name}" role="img" aria-label="{text(said)}" style="{style}"></div>
<noscript><p class="quiet">The figure needs JavaScript; the tables have its numbers.</p></noscript>
{data(f"{name}-spec", fig.to_json())}"""


def data(name: str, content: str) -> str:
    """JSON that the page carries and does not show."""
    kept = content.replace("<", "\\u003c")  # in JSON the same letter; in HTML no comment and no end of a script
    return f'<script type="application/json" id="{name}">{kept}</script>'
