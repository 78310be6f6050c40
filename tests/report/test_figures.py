import json

import numpy as np
import pytest

from abn.report import figures
from abn.report.figures import Change, Effect, Line, Point
from abn.report.statistics import Bin
from tests.report.artefacts import HOSTILE


@pytest.mark.parametrize("name", HOSTILE)
def test_labels_are_short_and_without_tags(name: str) -> None:
    """A label from data has no tag that plotly would read, and a bounded length."""
    shown = figures.label(name)
    assert "<" not in shown
    assert len(shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")) <= 20


def test_a_dumbbell_holds_both_ends_and_its_references() -> None:
    """Each row's figures stand in the traces, a reference only where there is one."""
    rows = [Change("a", 0.1, 0.4, {"free": 0.2}), Change("b", 0.5, 0.3)]
    traces = {trace.name: trace for trace in figures.dumbbells(rows, "IoU", (0, 1)).data}
    assert list(traces["before"].x) == [0.1, 0.5]
    assert list(traces["after"].x) == [0.4, 0.3]
    assert list(zip(traces["free"].x, traces["free"].y, strict=True)) == [(0.2, 0)]


def test_the_front_has_a_line_a_recipe_and_a_star_where_it_settled() -> None:
    """Both recipes' points and stars lie where they were measured, the kept one in its colour."""
    paper = [Point(0.9, 0.2, "epoch 0", kept=False), Point(0.88, 0.8, "epoch 5", kept=True)]
    guarded = [Point(0.9, 0.2, "epoch 0", kept=False), Point(0.895, 0.85, "epoch 5", kept=True)]
    recipes = [figures.Front("paper", paper), figures.Front("guarded", guarded)]
    traces = figures.fronts(recipes, (0.9, 0.2), 0.89).data
    stars = {one.name: one for one in traces if one.marker.symbol == "star"}
    assert [(one.x[0], one.y[0]) for one in stars.values()] == [(0.88, 0.8), (0.895, 0.85)]
    assert stars["guarded"].marker.color == figures.AFTER != stars["paper"].marker.color
    lines = [one for one in traces if one.mode == "lines" and one.x[0] is not None]
    assert [list(one.x) for one in lines] == [[0.88, 0.9], [0.895, 0.9]]
    assert {one.name for one in traces if one.showlegend is not False} == {
        "paper", "guarded", "before", "lowest accuracy allowed",
    }  # fmt: skip


def test_channels_of_the_same_name_stay_apart() -> None:
    """Two channels whose names are cut to the same label keep a bar each."""
    names = ["x" * 300, "x" * 299]
    figure = figures.channel_bars(names, [0.1, 0.2], [0.3, 0.4], "weight")
    assert [len(trace.y) for trace in figure.data] == [2, 2]
    assert len(set(figure.data[0].y)) == 2


def test_figures_of_nothing_are_drawn() -> None:
    """Empty tables make empty figures, not errors."""
    empty = [
        figures.dumbbells([], "IoU", (0, 1)),
        figures.channel_bars([], [], [], "weight"),
        figures.stacked_bars([], {"by the weight": []}, "change"),
        figures.effects([], [Effect("contrast", [], [], "red")], "lost"),
        figures.heat(np.empty((0, 0)), [], [], ("class", "predicted")),
        figures.curves([Line("loss", [], [], "red")], "epoch", "loss"),
        figures.calibration([], [Bin(0.5, 0.5, 3)]),
    ]
    assert all(json.loads(figure.to_json())["layout"]["height"] > 0 for figure in empty)
