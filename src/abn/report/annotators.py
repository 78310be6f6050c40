"""Who edited what, and how far those agree who edited the same image."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from abn.report.evidence import Evidence

MOST_REASONS, MOST_ANNOTATORS, MOST_DISPUTED = 20, 50, 5


@dataclass(frozen=True)
class Annotator:
    """One who edited, and what they did."""

    name: str
    simulated: bool
    taken: int
    """Edits of theirs in use, alone or merged with others'."""
    changed: float | None
    """Median share of the map's cells that differ from the model's map."""
    seconds: float | None
    """Median time an image; of images with merged edits, the time of all together."""
    shared: int
    """Images among them that others edited too."""
    agreement: float | None
    """Mean IoU with those others."""


@dataclass(frozen=True)
class Agreement:
    """How far the annotators of one image agree: mean IoU of their maps cut at 0.5."""

    images: int
    mean: float
    disputed: list[tuple[str, float]]
    """Images with the least, and theirs."""


@dataclass(frozen=True)
class Editing:
    """All that the page says of the edits."""

    annotators: list[Annotator]
    more: int
    """Annotators beyond those listed."""
    agreement: Agreement | None
    """None where no image was edited by several."""
    unedited: int
    """Selected images that nobody edited."""
    rejections: list[tuple[str, int]]
    """Reasons why edits were not taken, and how many, most frequent first."""


def read(evidence: Evidence) -> Editing:
    """Give who edited what, from edits.csv."""
    annotators = sorted(_annotators(evidence.accepted), key=lambda one: (-one.taken, one.name))
    rejected = evidence.edits[evidence.edits["status"] == "rejected"]
    reasons = rejected["reason"].fillna("no reason given").value_counts()
    return Editing(
        annotators=annotators[:MOST_ANNOTATORS],
        more=len(annotators[MOST_ANNOTATORS:]),
        agreement=_agreement(evidence.accepted),
        unedited=int((evidence.edits["status"] == "not annotated").sum()),
        rejections=[(str(one), int(count)) for one, count in reasons.head(MOST_REASONS).items()],
    )


def _annotators(accepted: pd.DataFrame) -> Iterator[Annotator]:
    several = accepted.assign(annotator=accepted["annotator"].astype(str).str.split("+"))
    for (name, origin), edits in several.explode("annotator").groupby(["annotator", "origin"]):
        agreement = edits["agreement"].dropna()
        yield Annotator(
            name="simulated annotator" if origin == "simulated" else f"annotator {name}",
            simulated=origin == "simulated",
            taken=len(edits),
            changed=_median(edits["changed"]),
            seconds=_median(edits["lead_time"]),
            shared=len(agreement),
            agreement=float(agreement.mean()) if len(agreement) else None,
        )


def _agreement(accepted: pd.DataFrame) -> Agreement | None:
    known = accepted[accepted["agreement"].notna()].sort_values("agreement", kind="stable")
    if known.empty:
        return None
    least = known.head(MOST_DISPUTED)
    return Agreement(
        images=len(known),
        mean=float(known["agreement"].mean()),
        disputed=list(zip(least["image_id"], least["agreement"].astype(float), strict=True)),
    )


def _median(values: "pd.Series[float]") -> float | None:
    known = values.dropna()
    return None if known.empty else float(known.median())
