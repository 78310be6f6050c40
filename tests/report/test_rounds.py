"""The rounds side by side, in the page and in the text."""

from dataclasses import replace
from typing import Any

import pytest

from abn.report import page, rounds
from tests.report.artefacts import Recipe
from tests.report.conftest import Read


def _round(number: int, after: float, edited: int) -> dict[str, Any]:
    def side(value: float) -> dict[str, Any]:
        aligned = {"iou": value, "contrast": value / 2}
        return {"test": {"accuracy": round(0.9 - value / 10, 3), **aligned}, "held_out": aligned}

    mse = {
        "before": {"report": 0.3},
        "after": {"report": round(0.3 - after / 4, 3), "finetune": 0.01},
    }
    summary = {
        "before": side(0.2), "after": side(after), "attention_mse": mse, "edited_images": edited,
    }  # fmt: skip
    return {"round": number, "summary": summary}


def test_a_single_round_shows_nothing(read: Read) -> None:
    """The section, its figure and its link are not there."""
    evidence = read()
    assert list(rounds.charts(evidence)) == []
    assert "rounds" not in page.render(evidence)
    assert "## Rounds" not in page.render_text(evidence)


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(masks=False, origin="annotation")], ids=str)
def test_each_round_has_a_row(read: Read, recipe: Recipe) -> None:
    """The base model, each earlier round by its number, this one; measured as each was."""
    evidence = replace(read(recipe), earlier=[_round(1, 0.6, 50), _round(3, 0.8, 100)])
    (chart,) = rounds.charts(evidence)
    assert [row[0] for row in chart.rows] == ["base", "round 1", "round 3", "this round"]
    assert [dict(zip(chart.columns, row, strict=True)) for row in chart.rows[:3]] == [
        {"model": "base", "accuracy": 0.88, "IoU": 0.2, "contrast": 0.1, "images edited": 0,
         "held-out MSE": 0.3, "before": None},
        {"model": "round 1", "accuracy": 0.84, "IoU": 0.6, "contrast": 0.3, "images edited": 50,
         "held-out MSE": 0.15, "before": 0.3},
        {"model": "round 3", "accuracy": 0.82, "IoU": 0.8, "contrast": 0.4, "images edited": 100,
         "held-out MSE": 0.1, "before": 0.3},
    ]  # fmt: skip
    after, last = evidence.finetuned["after"], chart.rows[-1]
    assert last[1] == after["test"]["accuracy"]
    assert last[2] == after["test" if recipe.masks else "held_out"]["iou"]
    assert last[5] == evidence.finetuned["attention_mse"]["after"]["report"]
    drawn = {line.name: list(line.y) for line in chart.figure.data}
    assert drawn["IoU"] == [0.2, 0.6, 0.8, last[2]]
    text = page.render_text(evidence)
    assert "| round 3 | 0.82 | 0.8 | 0.4 | 100 | 0.1 | 0.3 |" in text
    assert 'href="#rounds"' in page.render(evidence)


def test_rounds_without_held_out_edits_have_no_distance(read: Read) -> None:
    """`selection.holdout: 0` with masks: the column stays empty, the figure lacks the curve."""
    one = _round(1, 0.6, 50)
    one["summary"]["attention_mse"] = {"before": {"finetune": 0.2}, "after": {"finetune": 0.1}}
    (chart,) = rounds.charts(replace(read(Recipe(holdout=False)), earlier=[one]))
    assert {row[5] for row in chart.rows} == {None}
    assert "held-out MSE" not in {line.name for line in chart.figure.data}
