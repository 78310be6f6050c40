"""The rounds of guidance side by side: nothing where there is only one."""

from collections.abc import Iterator, Mapping
from typing import Any

from abn.report import figures
from abn.report.charts import Chart
from abn.report.evidence import Evidence
from abn.report.figures import AFTER, BEFORE, EDITED, NEUTRAL, Line

COLUMNS = ("model", "accuracy", "IoU", "contrast", "images edited", "held-out MSE", "before")
COLOURS = (BEFORE, AFTER, EDITED, NEUTRAL)
SHOWN = {"accuracy": 1, "IoU": 2, "contrast": 3, "held-out MSE": 5}
"""Columns that the figure draws, by their place."""


def charts(evidence: Evidence) -> Iterator[Chart]:
    """Accuracy, alignment and distance to the held-out edits, by round."""
    if not evidence.earlier:
        return
    measured = [
        *((f"round {one['round']}", one["summary"]) for one in evidence.earlier),
        ("this round", evidence.finetuned),
    ]
    place = "test" if evidence.has_masks else "held_out"
    first = measured[0][1]
    rows = [
        ["base", *_quality(first["before"], place), 0, _held_out(first, "before"), None],
        *([name, *_quality(one["after"], place), one["edited_images"],
           _held_out(one, "after"), _held_out(one, "before")] for name, one in measured),
    ]  # fmt: skip
    with_what = "the masks" if evidence.has_masks else "the edited maps held out"
    figure = figures.curves(list(_lines(rows)), "round (0: the base model)", "share of 1, or MSE")
    yield Chart(
        "rounds", "Round by round",
        "Each round starts from the refined model of the one before and learns from all edits so "
        f"far. Accuracy on the test split; IoU and contrast with {with_what}; MSE to the edited "
        "maps held out from all rounds so far, and (before) of the model before on the same.",
        figure.update_xaxes(dtick=1), COLUMNS, rows,
    )  # fmt: skip


def _quality(side: Mapping[str, Any], place: str) -> list[float | None]:
    aligned = side.get(place, {})
    return [side["test"]["accuracy"], aligned.get("iou"), aligned.get("contrast")]


def _held_out(one: Mapping[str, Any], side: str) -> float | None:
    """Give the MSE to the edits to report by; ``None`` where none are held out."""
    mse: float | None = one.get("attention_mse", {}).get(side, {}).get("report")
    return mse


def _lines(rows: list[list[Any]]) -> Iterator[Line]:
    for (name, place), colour in zip(SHOWN.items(), COLOURS, strict=True):
        points = [(n, row[place]) for n, row in enumerate(rows) if row[place] is not None]
        if points:
            yield Line(name, [n for n, _ in points], [value for _, value in points], colour)
