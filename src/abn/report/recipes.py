"""The recipes of the fine-tuning that were run, side by side: the paper's, and the one kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from abn.report.evidence import Evidence
from abn.report.figures import Front, Point

SPLITS = ("test", "test_shifted", "held_out")
COMPARED = {
    "accuracy": "accuracy",
    "accuracy_drop": "change of accuracy, points",
    "iou": "IoU",
    "contrast": "contrast",
    "branch_accuracy": "accuracy of the branch's head",
}
SHARES = ("accuracy", "accuracy_drop", "branch_accuracy")
"""Shown in percent."""


@dataclass(frozen=True)
class Recipes:
    """What each recipe reached."""

    kept: str
    """The one whose model and maps are shown."""
    before: dict[str, dict[str, Any]]
    """Metrics by split before the fine-tuning."""
    after: dict[str, dict[str, dict[str, Any]]]
    """The same by recipe, the one kept last."""


@dataclass(frozen=True)
class Row:
    """A measure before, and after each recipe."""

    metric: str
    before: float | None
    after: list[float | None]

    @property
    def text(self) -> str:
        """Its name for people."""
        return COMPARED[self.metric]

    @property
    def percent(self) -> bool:
        """Whether it is shown in percent."""
        return self.metric in SHARES


def read(evidence: Evidence) -> Recipes:
    """Give what each recipe reached; one alone where the fine-tuning names none."""
    finetuned = evidence.finetuned
    kept = str(finetuned.get("recipe", "after"))
    known: dict[str, Any] = finetuned.get("recipes", {})
    others = {name: splits for name, splits in known.items() if name != kept}
    return Recipes(kept, finetuned["before"], {**others, kept: known.get(kept, finetuned["after"])})


def rows(recipes: Recipes) -> dict[str, list[Row]]:
    """Give by split the measures to compare by: accuracy, what was lost, alignment, the other head.

    A split or measure that no recipe has is left out.
    """
    found = {split: [_row(recipes, split, metric) for metric in COMPARED] for split in SPLITS}
    known = {
        split: [row for row in rows if any(value is not None for value in row.after)]
        for split, rows in found.items()
    }
    return {split: rows for split, rows in known.items() if rows}


@dataclass(frozen=True)
class Rival:
    """A recipe in one line, on the test split."""

    name: str
    iou: float | None
    accuracy: float
    accuracy_drop: float


def rivals(recipes: Recipes) -> list[Rival]:
    """Give each recipe in one line; IoU with the masks, or with held-out edited maps."""
    found = []
    for name in recipes.after:
        iou, accuracy, drop = (
            value(recipes, name, "test", metric) for metric in ("iou", "accuracy", "accuracy_drop")
        )
        if accuracy is not None and drop is not None:
            iou = value(recipes, name, "held_out", "iou") if iou is None else iou
            found.append(Rival(name, iou, accuracy, drop))
    return found


def value(recipes: Recipes, name: str, split: str, metric: str) -> float | None:
    """Give what a recipe reached; ``accuracy_drop`` is before − after."""
    if metric == "accuracy_drop":
        before = recipes.before.get(split, {}).get("accuracy")
        after = recipes.after[name].get(split, {}).get("accuracy")
        return None if before is None or after is None else float(before) - float(after)
    known = recipes.after[name].get(split, {}).get(metric)
    return None if known is None else float(known)


def fronts(evidence: Evidence) -> list[Front]:
    """Give accuracy against alignment on validation of every recipe, the one kept last."""
    kept = read(evidence).kept
    table = evidence.front.dropna(subset=["accuracy", "alignment"])
    if "recipe" not in table:
        table = table.assign(recipe=kept)
    names = dict.fromkeys(table["recipe"].astype(str))
    ordered = [*(name for name in names if name != kept), kept]
    return [
        Front(name, list(_points(table[table["recipe"] == name])))
        for name in ordered
        if name in names
    ]


def start(evidence: Evidence) -> tuple[float, float] | None:
    """Give accuracy and alignment on validation before the fine-tuning."""
    table = evidence.front.dropna(subset=["accuracy", "alignment"])
    first = table[table["epoch"] == 0]
    if first.empty:
        return None
    return float(first["accuracy"].iloc[0]), float(first["alignment"].iloc[0])


def _row(recipes: Recipes, split: str, metric: str) -> Row:
    before = recipes.before.get(split, {}).get(metric)
    after = [value(recipes, name, split, metric) for name in recipes.after]
    return Row(metric, None if before is None else float(before), after)


def _points(table: pd.DataFrame) -> Iterator[Point]:
    for _, row in table.iterrows():
        share, epoch = row.get("interpolation"), row["epoch"]
        mixed = share is not None and pd.notna(share) and share != 1
        name = f"epoch {epoch:g}" + (f", {share:g} of its change" if mixed else "")
        yield Point(
            float(row["accuracy"]), float(row["alignment"]), name if epoch else "before",
            bool(row["chosen"] == 1),
        )  # fmt: skip
