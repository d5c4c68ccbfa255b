"""Figures of a run: the numbers first, as a DataFrame, then the drawing. Plotly draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from . import paper, predictions, tables
from .comparison import compare
from .dose_response import varies_a_number
from .importance import importance, proposals
from .markup import plain
from .summary import Run, summarize

DIRECTIONS = {"transfer_accuracy_ab": ("a → b", "#0072B2"), "transfer_accuracy_ba": ("b → a", "#D55E00")}
"""Metric -> (name, colour); the colours are told apart by colour-blind readers and in grey."""
CEILING = ("base_reconstruction_accuracy_a", "base_reconstruction_accuracy_b")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000", "#8B6F47")
"""Told apart by colour-blind readers."""
MOST_MATRICES = 9
"""Of more arms the first ones are drawn."""
HIGH = 0.5
"""Where everything is above, the axis starts below the lowest value and not at 0: dots show no area."""
SPREAD = 0.1
"""How far the two directions and their dots stand beside each other."""


def figure(run: Run) -> go.Figure:
    """A curve where one number varies, else an interval for each arm; every replicate a dot."""
    return curve(run) if varies_a_number(run) else intervals(run)


def positions(run: Run) -> pd.DataFrame:
    """Where each arm stands on an axis: arm_index, position, label.

    Of a curve the logarithm of its number, with 0 a step before the smallest and "all" at the size of
    the training split, or a step after the largest while no trial has told it; else the arm's place in
    the study.
    """
    arms = run.members.drop_duplicates("arm_index").sort_values("arm_index")
    if not varies_a_number(run):
        return pd.DataFrame(
            {"arm_index": arms["arm_index"], "position": range(len(arms)), "label": arms["arm_name"].map(plain)}
        )
    key = run.varied[0]
    n_train = run.members["n_train"].max()
    largest = max((float(arm[key]) for arm in arms["arm"] if arm[key] != "all"), default=1.0)
    of_all = (10 * largest, "all") if pd.isna(n_train) else (float(n_train), f"all ({int(n_train):,})")
    rows = []
    for arm in arms.to_dict("records"):
        value = arm["arm"][key]
        number, label = of_all if value == "all" else (float(value), f"{value:,}")
        rows.append({"arm_index": arm["arm_index"], "number": number, "label": label})
    found = pd.DataFrame(rows)
    smallest = min((n for n in found["number"] if n > 0), default=1.0)
    found["position"] = [math.log10(n) if n > 0 else math.log10(smallest) - 1 for n in found["number"]]
    return found[["arm_index", "position", "label"]]


def curve(run: Run) -> go.Figure:
    """Transfer accuracy over a number, with its 95 % band."""
    axis, summary = positions(run), summarize(run)
    fig = go.Figure()
    for metric, (name, colour) in DIRECTIONS.items():
        line = summary[summary["metric"] == metric].merge(axis, on="arm_index").sort_values("position")
        there_and_back = pd.concat([line["position"], line["position"][::-1]])
        band = pd.concat([line["ci_high"], line["ci_low"][::-1]])
        fig.add_scatter(
            x=there_and_back, y=band, mode="lines", fill="toself", fillcolor=_faint(colour), line_width=0,
            hoverinfo="skip", legendgroup=name, name=f"{name}, 95 % interval", showlegend=False,
        )  # fmt: skip
        fig.add_scatter(
            x=line["position"], y=line["mean"], mode="lines", line_color=colour, name=name, legendgroup=name,
            customdata=line[["n", "ci_low", "ci_high"]],
            hovertemplate="%{y:.3f} [%{customdata[1]:.3f}, %{customdata[2]:.3f}], n = %{customdata[0]}<extra></extra>",
        )  # fmt: skip
        _add_dots(fig, run, axis, metric, offset=-SPREAD / 4 if metric.endswith("ab") else SPREAD / 4)
    _add_ceiling(fig, summary, axis)
    _add_paper(fig, run, axis)
    fig.update_xaxes(title=_axis_title(run), tickvals=axis["position"], ticktext=axis["label"])
    return _finished(fig, run)


def intervals(run: Run) -> go.Figure:
    """Transfer accuracy of each arm, its mean and 95 % interval."""
    axis, summary = positions(run), summarize(run)
    fig = go.Figure()
    for metric, (name, colour) in DIRECTIONS.items():
        offset = -SPREAD if metric.endswith("ab") else SPREAD
        found = summary[summary["metric"] == metric].merge(axis, on="arm_index")
        fig.add_scatter(
            x=found["position"] + offset, y=found["mean"], mode="markers", name=name, legendgroup=name,
            marker={"color": colour, "size": 11, "symbol": "line-ew-open", "line_width": 3},
            error_y={
                "type": "data", "symmetric": False, "color": colour, "thickness": 2, "width": 6,
                "array": found["ci_high"] - found["mean"], "arrayminus": found["mean"] - found["ci_low"],
            },
            customdata=found[["n", "ci_low", "ci_high"]],
            hovertemplate="%{y:.3f} [%{customdata[1]:.3f}, %{customdata[2]:.3f}], n = %{customdata[0]}<extra></extra>",
        )  # fmt: skip
        _add_dots(fig, run, axis, metric, offset=offset * 1.8)
    _add_ceiling(fig, summary, axis)
    fig.update_xaxes(tickvals=axis["position"], ticktext=axis["label"])
    return _finished(fig, run)


def forest(run: Run) -> go.Figure:
    """Each arm's difference from the reference: its mean and interval, and every pair a dot."""
    found = compare(run)
    metric = str(run.definition["study"]["primary_metric"])
    values = run.values[run.values["metric"] == metric]
    arms = run.members.drop_duplicates("arm_index").set_index("arm_name")["arm_index"]
    reference = values[values["arm_index"] == arms[run.reference]].set_index("replicate")["value"]
    pairs = values.merge(found[["arm_index", "arm_name"]], on="arm_index")
    pairs["difference"] = pairs["value"] - pairs["replicate"].map(reference)
    colour = DIRECTIONS["transfer_accuracy_ab"][1]
    fig = go.Figure()
    fig.add_scatter(
        x=pairs["difference"], y=pairs["arm_name"].map(plain), mode="markers", name="one replicate",
        marker={"color": colour, "size": 6, "opacity": 0.45}, customdata=pairs[["replicate", "trial_id"]].map(plain),
        hovertemplate="replicate %{customdata[0]}: %{x:+.3f}<br>trial %{customdata[1]}<extra></extra>",
    )  # fmt: skip
    fig.add_scatter(
        x=found["difference"], y=found["arm_name"].map(plain), mode="markers", name="mean and 95 % interval",
        marker={"color": colour, "size": 12, "symbol": "line-ns-open", "line_width": 3},
        error_x={
            "type": "data", "symmetric": False, "color": colour, "thickness": 2, "width": 6,
            "array": found["ci_high"] - found["difference"], "arrayminus": found["difference"] - found["ci_low"],
        },
        customdata=found[["ci_low", "ci_high", "p_holm"]],
        hovertemplate="%{x:+.3f} [%{customdata[0]:+.3f}, %{customdata[1]:+.3f}], p (Holm) %{customdata[2]:.3f}"
        "<extra></extra>",
    )  # fmt: skip
    fig.add_vline(x=0, line={"color": "#888", "width": 1})
    fig = _finished(fig, run)
    metric = str(found["metric"].iloc[0])
    fig.update_xaxes(
        title=f"{tables.SHOWN.get(metric, plain(metric))} minus that of '{plain(run.reference)}'", tickformat="+.3~f"
    )
    fig.update_yaxes(title=None, range=None, autorange="reversed", type="category", automargin=True)
    return fig.update_layout(height=150 + 42 * len(found), margin_t=60, legend_y=1 + 50 / (40 + 42 * len(found)))


def _add_dots(fig: go.Figure, run: Run, axis: pd.DataFrame, metric: str, offset: float) -> None:
    name, colour = DIRECTIONS[metric]
    dots = run.values[run.values["metric"] == metric].merge(axis, on="arm_index")
    fig.add_scatter(
        x=dots["position"] + offset, y=dots["value"], mode="markers", name=f"{name}, one replicate",
        legendgroup=name, showlegend=False, marker={"color": colour, "size": 6, "opacity": 0.55},
        customdata=dots[["replicate", "trial_id"]].map(plain),
        hovertemplate="replicate %{customdata[0]}: %{y:.3f}<br>trial %{customdata[1]}<extra></extra>",
    )  # fmt: skip


def _add_ceiling(fig: go.Figure, summary: pd.DataFrame, axis: pd.DataFrame) -> None:
    """What the base models alone keep: no bridge is expected to do better by much."""
    found = summary.loc[summary["metric"].isin(CEILING), "mean"].dropna()
    if found.empty:
        return
    fig.add_hline(
        y=float(found.mean()), line={"dash": "dot", "color": "#888", "width": 1},
        annotation_text="base models' own reconstruction", annotation_position="bottom left",
        annotation_font_size=11,
    )  # fmt: skip


def _add_paper(fig: go.Figure, run: Run, axis: pd.DataFrame) -> None:
    """The paper's numbers where they may stand beside ours."""
    arms = run.members.drop_duplicates("arm_index").merge(axis, on="arm_index")
    for metric, (name, colour) in DIRECTIONS.items():
        numbers = [
            paper.published(run.study, run.pair, str(a["arm_name"]), a["arm"], metric) for a in arms.to_dict("records")
        ]
        there = arms.assign(paper=pd.Series(numbers, arms.index, float)).dropna(subset="paper")
        if len(there):
            fig.add_scatter(
                x=there["position"], y=there["paper"], mode="markers", name=f"{name}, the paper", legendgroup=name,
                marker={"color": colour, "size": 10, "symbol": "diamond-open", "line_width": 2},
                hovertemplate="the paper: %{y:.3f}<extra></extra>",
            )  # fmt: skip


def confusion(run: Run, metric: str) -> go.Figure:
    """Of each arm, up to MOST_MATRICES, the shares of each source class that became each class."""
    from plotly.subplots import make_subplots

    counts = predictions.confusion(run, metric)
    arms = run.members.drop_duplicates("arm_index").sort_values("arm_index").head(MOST_MATRICES)
    n_classes = int(counts[["source", "transferred"]].to_numpy().max()) + 1
    n_columns = min(3, len(arms))
    n_rows = -(-len(arms) // n_columns)
    fig = make_subplots(n_rows, n_columns, subplot_titles=list(arms["arm_name"].map(plain)))
    for place, arm_index in enumerate(arms["arm_index"]):
        fig.add_heatmap(
            z=predictions.matrix(counts[counts["arm_index"] == arm_index], n_classes), zmin=0, zmax=1,
            colorscale="Cividis", coloraxis=None, showscale=place == 0, colorbar={"thickness": 10, "title": "share"},
            hovertemplate="%{y} became %{x}: %{z:.3f}<extra></extra>",
            row=place // n_columns + 1, col=place % n_columns + 1,
        )  # fmt: skip
    fig.update_xaxes(dtick=1, title_text="class after transfer", title_font_size=11, title_standoff=4)
    fig.update_yaxes(dtick=1, autorange="reversed", title_text="class of the source", title_font_size=11)
    return _plain(fig).update_layout(height=60 + 330 * n_rows, margin={"l": 60, "r": 20, "t": 40, "b": 40})


def learning_curves(run: Run, curves: pd.DataFrame) -> go.Figure:
    """Validation accuracy over the steps: each arm's median and quartiles over replicates, up to MOST_MATRICES arms.

    `curves` has columns arm_name, step, value.
    """
    fig = go.Figure()
    for place, (name, found) in enumerate(curves.groupby("arm_name", sort=False)):
        if place == MOST_MATRICES:
            break
        colour = COLOURS[place % len(COLOURS)]
        low, middle, high = (found.groupby("step")["value"].quantile(q) for q in (0.25, 0.5, 0.75))
        fig.add_scatter(
            x=[*low.index, *high.index[::-1]], y=[*low, *high[::-1]], mode="lines", fill="toself", line_width=0,
            fillcolor=_faint(colour), hoverinfo="skip", showlegend=False, legendgroup=str(name),
        )  # fmt: skip
        fig.add_scatter(
            x=middle.index, y=middle, mode="lines", line_color=colour, name=plain(name), legendgroup=str(name),
            hovertemplate="step %{x}: %{y:.3f}<extra></extra>",
        )  # fmt: skip
    fig = _finished(fig, run)
    fig.update_xaxes(title="step")
    return fig.update_yaxes(title="transfer accuracy a → b on validation")


def searched(run: Run) -> go.Figure:
    """What a search proposed, in parallel coordinates: its parameters, and the gain over the reference."""
    arms = proposals(run).dropna(subset="gain")
    names = [name for name in arms if name not in ("generation", "number", "gain", "rungs", "final", "trial_id")]
    dimensions = [_dimension(str(name), arms[name]) for name in names]
    gains = {"label": "gain at the first rung", "values": arms["gain"]}
    fig = go.Figure(
        go.Parcoords(
            dimensions=[*dimensions, gains],
            line={"color": arms["gain"], "colorscale": "Cividis", "showscale": True, "colorbar": {"thickness": 10}},
        )
    )
    return _plain(fig).update_layout(height=380, margin={"l": 80, "r": 60, "t": 60, "b": 30})


def _dimension(name: str, values: pd.Series[Any]) -> dict[str, Any]:
    """An axis of parallel coordinates: categories by their place."""
    if values.map(lambda v: isinstance(v, (bool, str))).any():
        names = sorted(map(str, values.unique()))
        ticks = {"tickvals": list(range(len(names))), "ticktext": list(map(plain, names))}
        return {"label": plain(name), "values": [names.index(str(v)) for v in values], **ticks}
    return {"label": plain(name), "values": values}


def slices(run: Run) -> go.Figure:
    """The gain of every proposed arm over each searched parameter by itself."""
    from plotly.subplots import make_subplots

    arms = proposals(run).dropna(subset="gain")
    names = [name for name in arms if name not in ("generation", "number", "gain", "rungs", "final", "trial_id")]
    fig = make_subplots(
        1, len(names), shared_yaxes=True, subplot_titles=list(map(plain, names)), horizontal_spacing=0.03
    )
    for column, name in enumerate(names, 1):
        fig.add_scatter(
            x=arms[name].map(plain) if arms[name].dtype == object else arms[name], y=arms["gain"], mode="markers",
            marker={"color": arms["generation"], "colorscale": "Cividis", "size": 7, "showscale": False},
            customdata=arms[["generation", "number"]], showlegend=False, row=1, col=column,
            hovertemplate="%{x}: %{y:+.3f}<br>generation %{customdata[0]}, arm %{customdata[1]}<extra></extra>",
        )  # fmt: skip
    fig.update_yaxes(title_text="gain over the reference", col=1)
    return _plain(fig).update_layout(height=340, margin={"l": 60, "r": 20, "t": 40, "b": 40})


def importances(run: Run) -> go.Figure:
    """The share of variance that each parameter explains, by both measures, with bootstrap intervals."""
    found = importance(run)
    fig = go.Figure()
    for place, (name, title) in enumerate((("fanova", "fANOVA"), ("ped_anova", "PED-ANOVA"))):
        fig.add_scatter(
            x=found[name], y=found["parameter"].map(plain), mode="markers", name=title,
            marker={"color": COLOURS[place], "size": 10},
            error_x={
                "type": "data", "symmetric": False, "color": COLOURS[place], "width": 5,
                "array": found[f"{name}_high"] - found[name], "arrayminus": found[name] - found[f"{name}_low"],
            },
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        )  # fmt: skip
    fig.update_xaxes(title="importance", range=[-0.02, 1.02])
    fig.update_yaxes(autorange="reversed", type="category", automargin=True)
    return _plain(fig).update_layout(height=160 + 40 * len(found), margin={"l": 60, "r": 20, "t": 40, "b": 50})


def _plain(fig: go.Figure) -> go.Figure:
    """The look that all figures share."""
    return fig.update_layout(
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 14},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )


def _finished(fig: go.Figure, run: Run) -> go.Figure:
    fig.update_xaxes(zeroline=False)
    lowest = min((float(np.nanmin(trace.y)) for trace in fig.data if _has_numbers(trace)), default=0.0)
    start = -0.02 if lowest < HIGH else lowest - 0.25 * (1.02 - lowest)
    fig.update_yaxes(title="transfer accuracy", zeroline=False, range=[start, 1 + 0.02 * (1 - start)])
    return _plain(fig).update_layout(margin={"l": 60, "r": 20, "t": 60, "b": 60}, height=460)


def _has_numbers(trace: Any) -> bool:
    y = np.asarray(trace.y)
    return y.dtype.kind == "f" and bool(np.isfinite(y).any())


def _axis_title(run: Run) -> str:
    key = run.varied[0]
    return "labelled samples of each domain (logarithmic)" if key == "n_labels" else f"{plain(key)} (logarithmic)"


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"
