"""What each measure means: its name for people, which way is better, what chance reaches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from abn.report.evidence import Evidence
from abn.report.recipes import Recipes
from abn.report.statistics import calibration_error, reliability

MOST_MASKS = 2000
"""Read to tell how much of an image its object covers."""
Chance = Literal["area", "classes", "0", "1"] | None


@dataclass(frozen=True)
class Measure:
    """One measure."""

    text: str
    better: Literal["more", "less"] | None
    chance: Chance
    """``area``: the share of the image that the object covers; ``classes``: 1 / classes."""


MEASURES = {
    "accuracy": Measure("accuracy", "more", "classes"),
    "branch_accuracy": Measure("accuracy of the attention branch's own head", "more", "classes"),
    "calibration_error": Measure("expected calibration error, 15 bins", "less", None),
    "iou": Measure("IoU of map > 0.5 with the mask", "more", "area"),
    "iou_validated": Measure("IoU at the threshold chosen on validation", "more", "area"),
    "average_precision": Measure("average precision of the map's cells", "more", "area"),
    "energy_inside": Measure("share of the map's mass inside the mask", "more", "area"),
    "energy_inside_above_floor": Measure("the same above the map's floor", "more", "area"),
    "energy_over_chance": Measure("mass inside over the mask's share", "more", "1"),
    "relevance_rank_accuracy": Measure("relevance rank accuracy", "more", "area"),
    "pointing_game": Measure("pointing game: the maximum is inside", "more", "area"),
    "contrast": Measure("contrast: mean inside − mean outside", "more", "0"),
    "insertion": Measure("insertion: cells shown, strongest first", "more", None),
    "deletion": Measure("deletion: cells hidden, strongest first", "less", None),
}
BASELINES = {"constant_map": "best constant map", "class_mean_mask": "class-mean mask"}


@dataclass(frozen=True)
class Row:
    """A measure on a split."""

    name: str
    measure: Measure
    chance: float | None
    values: list[float | None]
    """Before, after by each recipe, then what costs nothing to reach."""


@dataclass(frozen=True)
class Split:
    """All measures on a split."""

    name: str
    rows: list[Row]


def table(evidence: Evidence, recipes: Recipes) -> list[Split]:
    """Give everything that was measured, by split; a measure unknown here under its bare name."""
    splits = dict.fromkeys([*evidence.finetuned["before"], *evidence.finetuned["after"]])
    return [Split(name, rows) for name in splits if (rows := list(_rows(evidence, recipes, name)))]


def _rows(evidence: Evidence, recipes: Recipes, split: str) -> Iterator[Row]:
    sides = [
        evidence.finetuned["before"].get(split, {}),
        *(one.get(split, {}) for one in recipes.after.values()),
    ]
    if split == "test":
        sides = _with_calibration(evidence, recipes, sides)
    free = [
        evidence.finetuned.get("baselines", {}).get(split, {}).get(one, {}) for one in BASELINES
    ]
    area = _area(evidence, split)
    found = dict.fromkeys(name for side in sides for name in side)
    for name in [*(one for one in MEASURES if one in found), *sorted(set(found) - set(MEASURES))]:
        measure = MEASURES.get(name, Measure("", None, None))
        values = [_number(side.get(name)) for side in [*sides, *free]]
        yield Row(name, measure, _chance(measure.chance, evidence, area), values)


def _with_calibration(
    evidence: Evidence, recipes: Recipes, sides: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    test = evidence.unedited("test")
    before, after = (
        calibration_error(reliability(test[f"{side}_confidence"], test[f"{side}_correct"]))
        for side in ("before", "after")
    )
    errors = [before, *(after if name == recipes.kept else None for name in recipes.after)]
    return [side | {"calibration_error": error} for side, error in zip(sides, errors, strict=True)]


def _area(evidence: Evidence, split: str) -> float | None:
    """Share of an image that its object covers, mean over at most ``MOST_MASKS`` images."""
    masks = evidence.prepared.masks
    rows = np.flatnonzero(evidence.samples["split"] == split)
    if masks is None or not len(rows):
        return None
    some = rows[:: -(-len(rows) // MOST_MASKS)]
    return float(np.mean([masks[row].mean() for row in some]))


def _chance(chance: Chance, evidence: Evidence, area: float | None) -> float | None:
    match chance:
        case "area":
            return area
        case "classes":
            return 1 / len(evidence.prepared.classes)
        case None:
            return None
    return float(chance)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
