"""What the run shows: did the attention move, what did it cost, is it real."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from abn.report.evidence import Evidence
from abn.report.gallery import edit_errors
from abn.report.statistics import (
    Interval,
    accuracy_change,
    mean_change,
    overlaps,
)

Outcome = Literal["yes", "no", "unknown"]
SIDES = ("before", "after")


@dataclass(frozen=True)
class Figure:
    """A figure of the first screen."""

    name: str
    before: float | None
    after: float | None
    change: Interval | None
    percent: bool
    """Shown in percent, its change in points."""
    rises: bool
    """Whether more is better."""
    basis: str
    """What it was measured on."""


@dataclass(frozen=True)
class Check:
    """A question of the first screen and what the run answers."""

    question: str
    outcome: Outcome
    answer: str


@dataclass(frozen=True)
class Findings:
    """The first screen."""

    verdict: str
    figures: list[Figure]
    checks: list[Check]
    baselines: dict[str, float]
    """IoU on the unedited test images of what costs nothing, by name."""
    annotator: str
    control: str
    """Says so where the edits were made wrong on purpose; else empty."""


def find(evidence: Evidence) -> Findings:
    """Draw the first screen's figures and answers from the evidence."""
    figures = [_alignment(evidence), _accuracy(evidence), _edit_error(evidence)]
    checks = [_moved(evidence, figures), _cost(evidence, figures[1]), _real(evidence, figures[0])]
    return Findings(
        verdict=_verdict(evidence, figures, checks),
        figures=[figure for figure in figures if figure.before is not None],
        checks=checks,
        baselines=baselines(evidence, "test"),
        annotator=_annotator(evidence),
        control=_control(evidence),
    )


def changes(evidence: Evidence) -> dict[str, Interval | None]:
    """Give the first screen's changes after − before, by the metric's name."""
    return {
        "accuracy": _accuracy(evidence).change,
        "iou": _alignment(evidence).change,
        "attention_mse": _edit_error(evidence).change,
    }


def baselines(evidence: Evidence, split: str) -> dict[str, float]:
    """Give the IoU of what costs nothing to reach on a split, by name; empty without masks."""
    names = {"constant_map": "best constant map", "class_mean_mask": "class-mean mask"}
    measured = evidence.finetuned.get("baselines", {}).get(split, {})
    found = {name: measured.get(key, {}).get("iou") for key, name in names.items()}
    return {name: float(value) for name, value in found.items() if value is not None}


def held_out(evidence: Evidence) -> pd.DataFrame:
    """Give the accepted edits that the fine-tuning neither learned from nor chose by."""
    accepted = evidence.accepted
    return accepted[accepted["role"] == "report"]


def _alignment(evidence: Evidence) -> Figure:
    if not evidence.has_masks:
        return _alignment_with_edits(evidence)
    test = evidence.unedited("test")
    return Figure(
        name="Attention on the object (IoU)",
        before=_metric(evidence, "before", "test", "iou"),
        after=_metric(evidence, "after", "test", "iou"),
        change=mean_change(test["before_alignment"], test["after_alignment"]),
        percent=False,
        rises=True,
        basis=f"{test['before_alignment'].notna().sum():,} unedited test images",
    )


def _alignment_with_edits(evidence: Evidence) -> Figure:
    edits = held_out(evidence)
    rows, targets = edits["row"].to_numpy(int), evidence.targets[edits["target"].to_numpy(int)]
    return Figure(
        name="Attention where the edits put it (IoU)",
        before=_metric(evidence, "before", "held_out", "iou"),
        after=_metric(evidence, "after", "held_out", "iou"),
        change=mean_change(
            overlaps(evidence.maps_before[rows], targets),
            overlaps(evidence.maps_after[rows], targets),
        ),
        percent=False,
        rises=True,
        basis=f"{len(edits):,} edited images kept out of the fine-tuning",
    )


def _accuracy(evidence: Evidence) -> Figure:
    test = evidence.unedited("test")
    return Figure(
        name="Accuracy",
        before=_metric(evidence, "before", "test", "accuracy"),
        after=_metric(evidence, "after", "test", "accuracy"),
        change=accuracy_change(test["before_correct"], test["after_correct"]),
        percent=True,
        rises=True,
        basis=f"{len(test):,} unedited test images",
    )


def _edit_error(evidence: Evidence) -> Figure:
    edits = held_out(evidence)
    errors = edit_errors(evidence, edits)
    measured = [evidence.finetuned.get("attention_mse", {}).get(side, {}) for side in SIDES]
    before, after = (one.get("report") if len(edits) else None for one in measured)
    return Figure(
        name="Distance to held-out edits (MSE)",
        before=before,
        after=after,
        change=mean_change(errors["before"], errors["after"]),
        percent=False,
        rises=False,
        basis=f"{len(edits):,} edited images kept out of the fine-tuning",
    )


def _metric(evidence: Evidence, side: str, split: str, name: str) -> float | None:
    value = evidence.finetuned[side].get(split, {}).get(name)
    return None if value is None else float(value)


def _moved(evidence: Evidence, figures: list[Figure]) -> Check:
    question = "Did the attention move?"
    for one in (figures[0], figures[2]):
        if one.before is None or one.after is None or one.change is None:
            continue
        better = one.change.low > 0 if one.rises else one.change.high < 0
        with_what = "masks" if evidence.has_masks else "edited maps"
        what = f"IoU with the {with_what}" if one.rises else "Distance to the edited maps"
        return Check(
            question, "yes" if better else "no",
            f"{what} went from {one.before:.3f} to {one.after:.3f} on {one.basis}.",
        )  # fmt: skip
    return Check(
        question, "unknown",
        "Not measured: there are no masks and too few held-out edits. "
        "Raise selection.holdout to keep more edited images back.",
    )  # fmt: skip


def _cost(evidence: Evidence, accuracy: Figure) -> Check:
    allowed = evidence.params.finetune.max_accuracy_drop
    before, after = (_metric(evidence, side, "val", "accuracy") for side in SIDES)
    change = accuracy.change
    parts = []
    if change:
        parts.append(
            f"{points(change.value)} points of accuracy on test "
            f"(95 % interval {points(change.low)} to {points(change.high)})"
        )
    if before is not None and after is not None:
        parts.append(
            f"{points(after - before)} on validation, where up to {points(-allowed)} was allowed"
        )
    qualified = bool(evidence.finetuned.get("qualified", 0))
    missed = "" if qualified else " No epoch stayed within that; the closest was kept."
    return Check("What did it cost?", "yes" if qualified else "no", "; ".join(parts) + "." + missed)


def _real(evidence: Evidence, alignment: Figure) -> Check:
    question, cheap = "Is it real?", baselines(evidence, "test")
    if alignment.after is None or not evidence.has_masks or not cheap:
        edits = len(held_out(evidence))
        return Check(
            question, "unknown",
            "The data set has no masks, so alignment with the object can't be measured, nor "
            f"what a constant map would score. All rests on {edits:,} held-out edited images.",
        )  # fmt: skip
    best = max(cheap.values())
    named = ", ".join(f"the {name} scores {value:.2f}" for name, value in cheap.items())
    outcome: Outcome = "yes" if alignment.after > best else "no"
    word = "more" if outcome == "yes" else "no more"
    return Check(
        question, outcome,
        f"IoU {alignment.after:.2f} on images that nobody edited is {word} than costs nothing "
        f"to reach: {named}.",
    )  # fmt: skip


def _verdict(evidence: Evidence, figures: list[Figure], checks: list[Check]) -> str:
    moved, cost, real = (check.outcome for check in checks)
    change = figures[1].change
    lost = 0.0 if change is None else -change.value
    price = (
        f"for {100 * lost:.1f} points of accuracy" if lost >= 0.0005
        else f"and accuracy rose by {-100 * lost:.1f} points" if lost <= -0.0005
        else "at no loss of accuracy"
    )  # fmt: skip
    where = "onto the objects" if evidence.has_masks else "towards the edited maps"
    if moved == "unknown":
        return "Whether the attention moved was not measured."
    if moved == "no":
        return f"The attention did not move {where}."
    if real == "no":
        return f"The attention moved {where}, but no further than a map that costs nothing."
    if cost == "no":
        return f"The attention moved {where}, {price}: more than allowed."
    return f"The attention moved {where}, {price}."


def _annotator(evidence: Evidence) -> str:
    accepted = evidence.accepted
    images = len(accepted)
    people = len({one for names in accepted["annotator"] for one in str(names).split("+")})
    if evidence.simulated:
        return f"{images:,} maps edited by a simulated annotator, not by people"
    return f"{images:,} maps edited by {people} annotator{'s' if people != 1 else ''}"


def _control(evidence: Evidence) -> str:
    feedback = evidence.params.edits.simulated.feedback
    if not evidence.simulated or feedback == "right":
        return ""
    return f"This run is a control: the simulated edits are {feedback} on purpose."


def points(share: float) -> str:
    """Show a difference of shares in points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")
