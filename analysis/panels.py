"""The panels of a run as HTML: the same test items across arms, the ways between them, points of the plane."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.compute as pc

from bridgelab import parquet
from bridgelab.errors import LabError
from bridgelab.lab import Lab
from bridgelab.results import PANEL

from .markup import plain
from .summary import Run

MOST_BYTES = 16 << 20
"""Of a panel: one of clips of a second has two."""
MOST_ARMS = 8
"""Of more arms the first ones are shown: a page of pictures that nobody looks at is only large."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
WAYS = {"within": "Within a class", "between": "Between two classes"}
KEPT = {"original": "sample", "source": "its base model"}
"""The rows above those of arms that show reconstructions (Fig. 3)."""
ROWS = {
    "source": "in the source's latents",
    "target": "between the transferred ends",
    "transferred": "every point transferred",
}

Panels = Mapping[str, pd.DataFrame]
"""arm name -> the rows of its first replicate's panel"""


def read_panels(run: Run) -> dict[str, pd.DataFrame]:
    """The panels that the lab has of a run, in the order of arms. A damaged one is passed over."""
    first = run.members[run.members["replicate"] == run.members["replicate"].min()].sort_values("arm_index")
    there, found = set(run.lab.names("panels")), dict[str, pd.DataFrame]()
    for arm, trial_id in zip(first["arm_name"].astype(str), first["trial_id"], strict=True):
        if f"{trial_id}.parquet" in there and len(found) < MOST_ARMS:
            try:
                found[arm] = _read(run.lab, f"panels/{trial_id}.parquet")
            except (pa.ArrowException, OSError, LabError):
                continue
    return found


def _read(lab: Lab, path: str) -> pd.DataFrame:
    """The rows of a panel. Raises LabError or ArrowException for what is none."""
    with lab.open(path) as file:
        if file.size() > MOST_BYTES:
            raise pa.ArrowInvalid("it is too large for a page")
        table = parquet.read(file, parquet.opened(file), PANEL)
    points = table.filter(pc.field("medium") == "points")["data"]
    if any(column.null_count for column in table.columns) or pc.any(pc.not_equal(_rest(points), 0)).as_py():
        raise pa.ArrowInvalid("it has a sample that is missing or cut off")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _rest(points: pa.ChunkedArray) -> pa.ChunkedArray:
    """The bytes that are left when x and y are taken from points, as often as there are both."""
    return pc.bit_wise_and(pc.binary_length(points), 7)


def pictures(panels: Panels, reference: str) -> str:
    """What each arm makes of the same samples there and back, and the reference's interpolations (Figs. 3 to 6).

    Nothing where there are no pictures.
    """
    parts = []
    for direction, arrow in (("ab", "a → b"), ("ba", "b → a")):
        of_way = {arm: p[p["direction"] == direction] for arm, p in panels.items()}
        of_way = {arm: p for arm, p in of_way.items() if (p["medium"] == "png").any()}
        if not of_way:
            continue
        items = {arm: p[p["kind"] == "transfer"] for arm, p in of_way.items()}
        first = next(iter(items.values()))
        sent = [_strip("source", first[first["row"] == "source"])]
        sent += [_strip(arm, p[p["row"] == "transferred"]) for arm, p in items.items()]
        kept = [_strip(said, first[first["row"] == row]) for row, said in KEPT.items() if (first["row"] == row).any()]
        kept += [_strip(arm, p[p["row"] == "reconstructed"]) for arm, p in items.items()]
        parts.append(f"<h3>{arrow}</h3>{_sheet(sent)}<h3>{direction[0]}, there and back</h3>{_sheet(kept)}")
        shown = of_way.get(reference, next(iter(of_way.values())))
        for kind, title in WAYS.items():
            way = shown[shown["kind"] == kind]
            strips = [_strip(said, way[way["row"] == row], between_ends=True) for row, said in ROWS.items()]
            parts.append(f"<h3>{title}, {arrow}</h3>{_sheet(strips)}")
    return "".join(parts)


def points(panels: Panels) -> go.Figure | None:
    """Where each arm sends the points of the plane (Fig. 7), a column an arm; None where samples are no points."""
    from plotly.subplots import make_subplots

    shown = {arm: p[p["medium"] == "points"] for arm, p in panels.items() if (p["medium"] == "points").any()}
    if not shown:
        return None
    fig = make_subplots(
        rows=1, cols=len(shown), subplot_titles=list(map(plain, shown)), shared_yaxes=True, horizontal_spacing=0.02
    )
    for column, panel in enumerate(shown.values(), start=1):
        for row in panel.to_dict("records"):
            xy = np.frombuffer(row["data"], "<f4").reshape(-1, 2)
            colour = COLOURS[2 * (row["direction"] == "ba") + int(row["place"]) % 2]
            is_source = row["row"] == "source"
            fig.add_scatter(
                x=xy[:, 0], y=xy[:, 1], mode="markers", row=1, col=column, hoverinfo="skip",
                name=plain(f"{row['direction'][:1]}, class {row['true_class']}") + ", transferred" * (not is_source),
                legendgroup=f"{row['direction']}{row['place']}{row['row']}", showlegend=column == 1,
                marker={
                    "color": colour, "size": 4, "opacity": 0.35 if is_source else 0.9,
                    "symbol": "circle-open" if is_source else "cross",
                },
            )  # fmt: skip
    fig.update_xaxes(zeroline=False, scaleanchor="y")
    return fig.update_layout(
        template="plotly_white", height=380, margin={"l": 30, "r": 10, "t": 60, "b": 30},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", legend={"orientation": "h", "y": -0.1},
        font={"family": "system-ui, sans-serif", "size": 14},
    )  # fmt: skip


def _sheet(rows: Iterable[str]) -> str:
    return f'<div class="scroll"><table class="panel"><tbody>{"".join(rows)}</tbody></table></div>'


def _strip(name: str, samples: pd.DataFrame, between_ends: bool = False) -> str:
    """A row of pictures, from the left; below a clip that can be heard, its player. Ends are framed: fixed points."""
    clips = {r["place"]: r["data"] for r in samples[samples["medium"] == "wav"].to_dict("records")}
    rows = samples[samples["medium"] == "png"].sort_values("place").to_dict("records")
    ends = (0, len(rows) - 1) if between_ends else ()
    cells = [_cell(row, clips.get(row["place"]), is_fixed=i in ends) for i, row in enumerate(rows)]
    return f"<tr><th>{html.escape(name)}</th>{''.join(cells)}</tr>"


def _cell(row: Mapping[object, object], clip: bytes | None, is_fixed: bool) -> str:
    judged, true = html.escape(str(row["judged_class"])), html.escape(str(row["true_class"]))
    said = f"{true}, read as {judged}" if true else f"read as {judged}"
    image = f'<img alt="{said}" title="{said}" src="data:image/png;base64,{_text(row["data"])}">'
    player = "" if clip is None else _player(f"play: {said}", clip)
    kind = ' class="fixed"' if is_fixed else ""
    return f"<td{kind}>{image}<small>{judged}</small>{player}</td>"


def _player(said: str, clip: bytes) -> str:
    """A button that plays: a browser's own controls have none where they are as narrow as a picture."""
    button = f'<button class="play" aria-label="{said}" title="{said}">&#9654;</button>'
    return f'{button}<audio preload="none" src="data:audio/wav;base64,{_text(clip)}"></audio>'


def _text(data: object) -> str:
    assert isinstance(data, bytes)
    return base64.b64encode(data).decode()
