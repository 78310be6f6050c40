"""The page's charts: what each shows, how to read it, and its numbers as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from abn.report import figures, recipes
from abn.report.evidence import Evidence
from abn.report.figures import AFTER, BEFORE, EDITED, NEUTRAL, Change, Line
from abn.report.findings import SIDES, baselines
from abn.report.statistics import calibration_error, confusion, reliability

MOST_CLASSES, MOST_EPOCHS = 25, 200
"""Beyond these a chart shows the ones that matter most, and says so."""
ROLES = {
    "finetune": "learned from",
    "choose": "epoch chosen by",
    "report": "held out",
}


@dataclass(frozen=True)
class Chart:
    """A figure with its words and numbers."""

    name: str
    """Its id in the page."""
    title: str
    caption: str
    figure: Any
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    """The same as a table, for those who can't see the figure."""
    notes: Sequence[str] = ()
    """What marks in the figure say, for screen readers."""


def splits(evidence: Evidence) -> Iterator[Chart]:
    """Accuracy and alignment before and after on every split and class; loss on edited images."""
    names = list(evidence.samples["split"].unique())
    accuracy = _by_split(evidence, names, {"accuracy": "{}", "branch_accuracy": "{}, branch head"})
    yield _changes(
        "accuracy-splits", "Accuracy on every split",
        "Both heads: the perception branch decides, the attention branch has a head of its own. "
        "The fine-tuning may change the attention branch alone.",
        accuracy, "accuracy", least=0.2,
    )  # fmt: skip
    alignment = [
        *_by_split(evidence, names, {"iou": "{}"}),
        *_by_split(evidence, ["held_out"], {"iou": "edits held out"}),
    ]
    if alignment:
        yield _changes(
            "alignment-splits", "Alignment on every split",
            "IoU of the map with the object's mask, or on edited images held out with the edited "
            "map. Open marks are what costs nothing to reach: the best constant map, and the mean "
            "mask of the class.",
            alignment, "IoU", least=1.0,
        )  # fmt: skip
    errors = _edit_errors(evidence)
    if errors:
        yield _changes(
            "edit-loss", "The paper's loss on edited images",
            "Mean squared error between map and edited map: less is better. Some edited images are "
            "kept out of the fine-tuning: a part to choose the best epoch by, a part held out "
            "altogether, which alone says whether anything general was learned.",
            errors, "mean squared error", least=0.0,
        )  # fmt: skip
    for quantity, title in (("correct", "Accuracy by class"), ("alignment", "Alignment by class")):
        changes, cut = _by_class(evidence, quantity)
        if changes:
            yield _changes(
                f"classes-{quantity}", title,
                f"Unedited test images.{cut}", changes,
                "accuracy" if quantity == "correct" else "IoU",
                least=0.4 if quantity == "correct" else 1.0,
            )  # fmt: skip


def price(evidence: Evidence) -> Iterator[Chart]:
    """Accuracy against alignment, and the fine-tuning epoch by epoch."""
    if fronts := recipes.fronts(evidence):
        accuracy = evidence.finetuned["before"].get("val", {}).get("accuracy")
        yield Chart(
            "front", "Accuracy against alignment",
            "Each point is an epoch of a recipe, each line joins a recipe's best. Up is better "
            f"aligned (IoU with the {_aligned_with(evidence)}), right is more accurate; a star is "
            "what the recipe settled on.",
            figures.fronts(
                fronts, recipes.start(evidence),
                None if accuracy is None else accuracy - evidence.params.finetune.max_accuracy_drop,
            ),
            ["recipe", "state", "accuracy", "alignment"],
            [[one.name, point.name + ", kept" * point.kept, point.accuracy, point.alignment]
             for one in fronts for point in one.points],
        )  # fmt: skip
    curves = evidence.finetuning
    for name, title, columns, y in (
        ("finetune-loss", "Fine-tuning: distance to the edits",
         {"finetune_mse": ("learned from", BEFORE), "choose_mse": ("epoch chosen by", AFTER)},
         "loss (MSE)"),
        ("finetune-validation", "Fine-tuning: validation split",
         {"val_accuracy": ("accuracy", AFTER), "val_branch_accuracy": ("branch head", BEFORE),
          "val_iou": ("IoU", EDITED)}, "share of 1"),
    ):  # fmt: skip
        yield from _curves(name, title, curves, columns, y)


def predictions(evidence: Evidence) -> Iterator[Chart]:
    """Confusion and calibration before and after, on the test split."""
    test, classes = evidence.unedited("test"), evidence.prepared.classes
    matrices = {
        side: confusion(test["label"], test[f"{side}_predicted"], len(classes)) for side in SIDES
    }
    wrong = sum(matrix.sum(axis=1) - matrix.diagonal() for matrix in matrices.values())
    shown, cut = _most(np.asarray(wrong), "with most errors")
    shares = {
        side: (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))[np.ix_(shown, shown)]
        for side, counts in matrices.items()
    }
    names = [classes[index] for index in shown]
    what = "Share of each class's test images by prediction"
    right = f"{what}; the diagonal is right.{cut}"
    changed = f"{what}, after − before: green is more, pink is less.{cut}"
    for name, title, values, caption in (
        ("before", "Confusion before", shares["before"], right),
        ("after", "Confusion after", shares["after"], right),
        ("change", "Change of the confusion", shares["after"] - shares["before"], changed),
    ):
        yield Chart(
            f"confusion-{name}", title, caption,
            figures.heat(values, names, names, ("class", "predicted"), name == "change"),
            ["class", *names],
            [[row, *cells] for row, cells in zip(names, values.tolist(), strict=True)],
        )  # fmt: skip
    bins = {
        side: reliability(test[f"{side}_confidence"], test[f"{side}_correct"]) for side in SIDES
    }
    errors = {side: calibration_error(bins[side]) for side in SIDES}
    yield Chart(
        "calibration", "Calibration",
        f"Expected calibration error {errors['before']:.3f} before, {errors['after']:.3f} after "
        "(15 bins, less is better). Below the diagonal the network is surer than it should be.",
        figures.calibration(bins["before"], bins["after"]),
        ["", "confidence", "accuracy", "images"],
        [[side, *one] for side in SIDES for one in bins[side]],
    )  # fmt: skip


def training(evidence: Evidence) -> Iterator[Chart]:
    """Training curves of the network before any edit."""
    curves = evidence.training
    yield from _curves(
        "training-loss", "Training: loss", curves,
        {"train_loss": ("both branches", NEUTRAL), "attention_loss": ("attention branch", BEFORE),
         "perception_loss": ("perception branch", AFTER), "val_loss": ("validation", EDITED)},
        "loss (cross-entropy)",
    )  # fmt: skip
    yield from _curves(
        "training-accuracy", "Training: validation accuracy", curves,
        {"val_accuracy": ("perception branch", AFTER),
         "val_branch_accuracy": ("attention branch", BEFORE)},
        "accuracy",
    )  # fmt: skip


def _aligned_with(evidence: Evidence) -> str:
    return "masks" if evidence.has_masks else "edited maps the epoch is chosen by"


def _changes(
    name: str, title: str, caption: str, changes: list[Change], quantity: str, *, least: float
) -> Chart:
    references = list(dict.fromkeys(key for one in changes for key in one.references))
    return Chart(
        name, title, caption, figures.dumbbells(changes, quantity, _span(changes, least)),
        ["", *SIDES, *references],
        [[one.name, one.before, one.after, *(one.references.get(key) for key in references)]
         for one in changes],
    )  # fmt: skip


def _span(changes: list[Change], least: float) -> tuple[float, float]:
    """Ends of an axis, ``least`` wide or more so that a small change looks small; 0: from zero."""
    values = [v for one in changes for v in (one.before, one.after, *one.references.values())]
    low, high = min(values), max(values)
    if least == 0:
        return 0.0, 1.08 * high
    half = max(least / 2, 0.55 * (high - low)) + 0.02
    middle = min(max((low + high) / 2, half - 0.03), 1.03 - half)
    return middle - half, middle + half


def _by_split(evidence: Evidence, names: list[str], metrics: dict[str, str]) -> list[Change]:
    found = []
    for split in names:
        before, after = (evidence.finetuned[side].get(split, {}) for side in SIDES)
        for metric, pattern in metrics.items():
            if before.get(metric) is not None and after.get(metric) is not None:
                references = baselines(evidence, split) if metric == "iou" else {}
                found.append(
                    Change(pattern.format(split), before[metric], after[metric], references)
                )
    return found


def _edit_errors(evidence: Evidence) -> list[Change]:
    measured = evidence.finetuned.get("attention_mse", {})
    before, after = (measured.get(side, {}) for side in SIDES)
    images = evidence.accepted.groupby("role")["row"].nunique()
    return [
        Change(f"{name} ({images[role]:,})", before[role], after[role])
        for role, name in ROLES.items()
        if role in images and before.get(role) is not None and after.get(role) is not None
    ]


def _by_class(evidence: Evidence, quantity: str) -> tuple[list[Change], str]:
    test, classes = evidence.unedited("test"), evidence.prepared.classes
    before, after = (test.groupby("label")[f"{side}_{quantity}"].mean().dropna() for side in SIDES)
    both = before.index.intersection(after.index)
    loss = np.full(len(classes), -np.inf)
    loss[both] = before[both] - after[both]
    shown, cut = _most(loss, "that lost most")
    changes = [Change(classes[k], before[k], after[k]) for k in shown if k in both]
    return changes, cut


def _most(values: NDArray[Any], which: str, what: str = "classes") -> tuple[list[int], str]:
    if len(values) <= MOST_CLASSES:
        return list(range(len(values))), ""
    order = np.argsort(-values, kind="stable")[:MOST_CLASSES]
    cut = f" The {MOST_CLASSES} {what} of {len(values)} {which}."
    return [int(index) for index in np.sort(order)], cut


def _curves(
    name: str, title: str, table: pd.DataFrame, columns: dict[str, tuple[str, str]], y: str
) -> Iterator[Chart]:
    thin = table.iloc[:: max(1, -(-len(table) // MOST_EPOCHS))]
    known = [key for key in columns if key in table and table[key].notna().any()]
    if not known:
        return
    lines = []
    for key in known:
        points = thin[["epoch", key]].dropna()
        text, colour = columns[key]
        lines.append(Line(text, points["epoch"].tolist(), points[key].tolist(), colour))
    rows = thin[["epoch", *known]].astype(object).where(thin[["epoch", *known]].notna(), None)
    yield Chart(
        name, title, "", figures.curves(lines, "epoch", y),
        ["epoch", *(columns[key][0] for key in known)], rows.to_numpy().tolist(),
    )  # fmt: skip
