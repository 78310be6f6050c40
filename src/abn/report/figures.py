"""Plotly figures from plain rows; the only file that knows plotly.

Figures carry no page colours: ink, grid and background are the page's, so that they fit dark,
light and print. Text from data is cut to length and escaped, because plotly reads tags in labels.
"""

import html
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.offline import get_plotlyjs

from abn.report.statistics import Bin, Interval

BEFORE, EDITED, AFTER, NEUTRAL = "#7d8ba6", "#e08a00", "#0d9b86", "#b0708f"
OTHERS = ((NEUTRAL, "diamond"), ("#5470c6", "square"), ("#a9746e", "triangle-up"))
"""Of recipes beside the one kept: colour and mark."""
WRONG = "#d2543f"
LABEL_LENGTH = 20
REFERENCES = ("line-ns-open", "diamond-open", "x-thin-open")
SEQUENTIAL = [[0.0, "rgba(13,155,134,0.05)"], [1.0, "#0d9b86"]]
DIVERGING = [[0.0, NEUTRAL], [0.5, "rgba(128,128,128,0.05)"], [1.0, AFTER]]


class Change(NamedTuple):
    """A figure before and after, under its name."""

    name: str
    before: float
    after: float
    references: Mapping[str, float] = {}
    """What it is to be held against, by name."""


class Line(NamedTuple):
    """A named curve."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str


class Point(NamedTuple):
    """A state of the network between not fine-tuned and fully so."""

    accuracy: float
    alignment: float
    name: str
    kept: bool


class Front(NamedTuple):
    """What one recipe of the fine-tuning passed through."""

    name: str
    points: Sequence[Point]

    @property
    def edge(self) -> list[Point]:
        """The points that no other beats in both, by rising accuracy."""
        found: list[Point] = []
        for one in sorted(self.points, key=lambda one: (-one.accuracy, -one.alignment)):
            if not found or one.alignment > found[-1].alignment:
                found.append(one)
        return found[::-1]


class Mark(NamedTuple):
    """A sign beside a bar."""

    text: str
    colour: str | None
    """None: the page's ink."""


class Effect(NamedTuple):
    """What was found of each of some names."""

    name: str
    intervals: Sequence[Interval]
    sure: Sequence[bool]
    """Whether it is not chance."""
    colour: str


def library() -> str:
    """Give plotly.js, to be put into the page once."""
    source: str = get_plotlyjs()
    return source


def label(text: str) -> str:
    """Cut text from data to length and escape it for plotly."""
    cut = text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"
    return html.escape(cut, quote=False)


def dumbbells(rows: Sequence[Change], quantity: str, span: tuple[float, float]) -> go.Figure:
    """One row for each name: a line from before to after, and references as open marks.

    Args:
        rows: what changed.
        quantity: what is measured, the axis's title.
        span: the axis's ends.
    """
    places = list(range(len(rows)))
    names = [label(row.name) for row in rows]
    figure = go.Figure()
    for row, place in zip(rows, places, strict=True):
        figure.add_shape(
            type="line", x0=row.before, x1=row.after, y0=place, y1=place,
            line={"color": AFTER, "width": 3}, opacity=0.35, layer="below",
        )  # fmt: skip
    for name, values, colour in (
        ("before", [row.before for row in rows], BEFORE),
        ("after", [row.after for row in rows], AFTER),
    ):
        figure.add_scatter(
            x=values, y=places, name=name, mode="markers", text=names,
            marker={"color": colour, "size": 13},
            hovertemplate=f"%{{text}}<br>{name} %{{x:.3f}}<extra></extra>",
        )  # fmt: skip
    references = dict.fromkeys(name for row in rows for name in row.references)
    for name, symbol in zip(references, REFERENCES, strict=False):
        shown = [(row.references[name], place) for row, place in zip(rows, places, strict=True)
                 if name in row.references]  # fmt: skip
        figure.add_scatter(
            x=[value for value, _ in shown], y=[place for _, place in shown], name=name,
            mode="markers", marker={"color": EDITED, "size": 11, "symbol": symbol,
                                    "line": {"color": EDITED, "width": 2}},
            hovertemplate=f"{name} %{{x:.3f}}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=places, ticktext=[label(row.name) for row in rows], showgrid=False,
        range=[len(rows) - 0.5, -0.5],
    )  # fmt: skip
    figure.update_xaxes(title=quantity, range=list(span))
    return _finished(figure, height=110 + 34 * max(len(rows), 2))


def curves(lines: Sequence[Line], x: str, y: str) -> go.Figure:
    """Curves over a common axis."""
    figure = go.Figure()
    for line in lines:
        figure.add_scatter(
            x=list(line.x), y=list(line.y), name=line.name, mode="lines+markers",
            line={"color": line.colour, "width": 2.5}, marker={"size": 5},
            hovertemplate=f"{x} %{{x}}<br>%{{y:.4f}}",
        )  # fmt: skip
    figure.update_xaxes(title=x)
    figure.update_yaxes(title=y, rangemode="tozero" if "loss" in y else "normal")
    return _finished(figure, height=300)


def fronts(
    recipes: Sequence[Front], start: tuple[float, float] | None, floor: float | None
) -> go.Figure:
    """Accuracy against alignment: a line for each recipe, through its undominated points.

    Args:
        recipes: The last one is the one kept.
        start: Accuracy and alignment before the fine-tuning.
        floor: The lowest accuracy allowed.
    """
    figure = go.Figure()
    others = itertools.cycle(OTHERS)
    for place, recipe in enumerate(recipes):
        colour, symbol = (AFTER, "circle") if place == len(recipes) - 1 else next(others)
        shown = {"legendgroup": f"recipe {place}", "name": label(recipe.name)}
        figure.add_scatter(
            x=[p.accuracy for p in recipe.edge], y=[p.alignment for p in recipe.edge],
            mode="lines", hoverinfo="skip", showlegend=False, line={"color": colour, "width": 1.5},
            **shown,
        )  # fmt: skip
        for points, marker in (
            ([p for p in recipe.points if not p.kept], {"size": 7, "symbol": symbol}),
            ([p for p in recipe.points if p.kept], {"size": 17, "symbol": "star"}),
        ):
            figure.add_scatter(
                x=[p.accuracy for p in points], y=[p.alignment for p in points], mode="markers",
                marker=marker | {"color": colour}, showlegend=marker["symbol"] == symbol,
                text=[p.name for p in points],
                hovertemplate=f"{label(recipe.name)}, %{{text}}<br>accuracy %{{x:.4f}}<br>"
                "alignment %{y:.3f}<extra></extra>", **shown,
            )  # fmt: skip
    if start:
        figure.add_scatter(
            x=[start[0]], y=[start[1]], name="before", mode="markers",
            marker={"color": BEFORE, "size": 13},
            hovertemplate="before<br>accuracy %{x:.4f}<br>alignment %{y:.3f}<extra></extra>",
        )  # fmt: skip
    if floor is not None:
        line = {"color": EDITED, "width": 1.5, "dash": "dash"}
        figure.add_vline(x=floor, line=line)
        figure.add_scatter(
            x=[None], y=[None], name="lowest accuracy allowed", mode="lines", line=line
        )
    figure.update_xaxes(title="accuracy, validation split")
    figure.update_yaxes(title="alignment")
    return _finished(figure, height=460)


def channel_bars(
    names: Sequence[str], before: Sequence[float], after: Sequence[float], quantity: str,
    marks: Sequence[Mark] = (),
) -> go.Figure:  # fmt: skip
    """The paper's figure: one pair of bars for each channel, and a mark beside each pair."""
    places = list(range(len(names)))
    figure = go.Figure()
    for name, values, colour in (("before", before, BEFORE), ("after", after, AFTER)):
        figure.add_bar(
            x=list(values), y=places, name=name, orientation="h", marker={"color": colour},
            text=[label(one) for one in names], textposition="none",
            hovertemplate=f"%{{text}}<br>{name} %{{x:.4f}}<extra></extra>",
        )  # fmt: skip
    for mark, place in zip(marks, places, strict=False):
        figure.add_annotation(
            text=mark.text, x=1, xref="paper", xanchor="right", y=place, showarrow=False,
            font={"size": 17} | ({"color": mark.colour} if mark.colour else {}),
        )  # fmt: skip
    figure.update_xaxes(title=quantity, zeroline=True, domain=[0, 0.93 if marks else 1])
    figure.update_layout(barmode="group", bargap=0.3, bargroupgap=0.08)
    return _by_name(figure, names)


def stacked_bars(
    names: Sequence[str], parts: Mapping[str, Sequence[float]], quantity: str
) -> go.Figure:
    """One bar for each name, of named parts; negative ones to the left."""
    figure = go.Figure()
    for (name, values), colour in zip(parts.items(), (NEUTRAL, AFTER), strict=False):
        figure.add_bar(
            x=list(values), y=list(range(len(names))), name=name, orientation="h",
            marker={"color": colour}, text=[label(one) for one in names], textposition="none",
            hovertemplate=f"%{{text}}<br>{name} %{{x:.4f}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title=quantity, zeroline=True)
    figure.update_layout(barmode="relative", bargap=0.35)
    return _by_name(figure, names)


def effects(names: Sequence[str], series: Sequence[Effect], quantity: str) -> go.Figure:
    """A row for each name, on it each effect with its interval; open marks may be chance."""
    figure = go.Figure()
    for place, one in enumerate(series):
        shift = 0.25 * (place - (len(series) - 1) / 2)
        figure.add_scatter(
            x=[found.value for found in one.intervals], name=one.name, mode="markers",
            y=[row + shift for row in range(len(names))], text=[label(name) for name in names],
            error_x={
                "type": "data", "symmetric": False, "thickness": 1.5, "width": 0,
                "color": one.colour,
                "array": [found.high - found.value for found in one.intervals],
                "arrayminus": [found.value - found.low for found in one.intervals],
            },
            marker={
                "color": one.colour, "size": 10, "line": {"color": one.colour, "width": 2},
                "symbol": ["circle" if sure else "circle-open" for sure in one.sure],
            },
            hovertemplate=f"%{{text}}<br>{one.name} %{{x:.4f}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title=quantity, zeroline=True)
    return _by_name(figure, names)


def heat(
    values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str],
    titles: tuple[str, str], diverging: bool = False,
) -> go.Figure:  # fmt: skip
    """A matrix as colours; ``titles`` name the rows' and the columns' axis."""
    largest, crowded = float(np.abs(values).max(initial=0.0)) or 1.0, len(columns) > 12
    y, x = list(range(len(rows))), list(range(len(columns)))
    figure = go.Figure(
        go.Heatmap(
            z=values.round(4).tolist(), x=x, y=y, colorscale=DIVERGING if diverging else SEQUENTIAL,
            zmin=-largest if diverging else 0.0, zmax=largest if diverging else 1.0,
            colorbar={"thickness": 10, "outlinewidth": 0}, xgap=1, ygap=1,
            customdata=[[(label(row), label(column)) for column in columns] for row in rows],
            hovertemplate=f"{titles[0]} %{{customdata[0]}}<br>{titles[1]} %{{customdata[1]}}"
            "<br>%{z:.3f}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(
        title=titles[1], tickvals=x, ticktext=[label(name) for name in columns], showgrid=False,
        tickangle=-90 if crowded else -45, tickfont={"size": 10 if crowded else 12},
    )  # fmt: skip
    figure.update_yaxes(
        title=titles[0], tickvals=y, ticktext=[label(name) for name in rows], showgrid=False,
        range=[len(rows) - 0.5, -0.5],
    )  # fmt: skip
    return _finished(figure, height=190 + 22 * max(len(rows), 8))


def calibration(before: Sequence[Bin], after: Sequence[Bin]) -> go.Figure:
    """Reliability diagram: a calibrated network lies on the diagonal; marks grow with the count."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], name="calibrated", mode="lines", hoverinfo="skip",
        line={"color": "rgba(128,128,128,0.6)", "dash": "dash", "width": 1},
    )  # fmt: skip
    for name, bins, colour in (("before", before, BEFORE), ("after", after, AFTER)):
        largest = max((one.images for one in bins), default=1)
        figure.add_scatter(
            x=[one.confidence for one in bins], y=[one.accuracy for one in bins], name=name,
            mode="lines+markers", line={"color": colour, "width": 1}, opacity=0.85,
            marker={"size": [6 + 14 * (one.images / largest) ** 0.5 for one in bins]},
            text=[f"{one.images:,} images" for one in bins],
            hovertemplate=f"{name}, %{{text}}<br>confidence %{{x:.3f}}<br>"
            "accuracy %{y:.3f}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="confidence", range=[0, 1.03])
    figure.update_yaxes(title="accuracy", range=[0, 1.03])
    return _finished(figure, height=340)


def _by_name(figure: go.Figure, names: Sequence[str]) -> go.Figure:
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=[label(one) for one in names], showgrid=False,
        range=[len(names) - 0.5, -0.5],
    )  # fmt: skip
    return _finished(figure, height=110 + 30 * max(len(names), 3))


def _finished(figure: go.Figure, height: int) -> go.Figure:
    axis = {
        "gridcolor": "rgba(128,128,128,0.18)", "zerolinecolor": "rgba(128,128,128,0.5)",
        "zeroline": False, "automargin": True, "fixedrange": True, "ticks": "",
        "title": {"standoff": 8, "font": {"size": 13}},
    }  # fmt: skip
    return figure.update_layout(
        template={"layout": {"xaxis": axis, "yaxis": axis}},
        height=height,
        autosize=True,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13},
        legend={"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        dragmode=False,
        hovermode="closest",
    )
