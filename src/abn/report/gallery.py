"""Which images the page shows, and their pictures as data URIs.

A picture is the image once and each map as a tiny palette PNG that the page lays over it.
"""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from abn.attention import overlays
from abn.report.evidence import Evidence
from abn.report.statistics import squared_errors

IMAGE_SIDE, MAP_SIDE = 128, 48
"""Largest side of what is shown, pixels; the page's size depends on them, not on the data set's."""
MOST_BYTES, BYTES_OF_A_CARD = 2_000_000, 2_500
"""For all cards, so that the page stays small whatever ``report.gallery`` asks for; and what one
takes beside its pictures."""
KINDS = {
    "edited": "edited",
    "best": "best",
    "worst": "worst",
    "failed": "failures",
}
HELD_OUT = {"report": 0, "choose": 1, "finetune": 2}


@dataclass(frozen=True)
class Card:
    """One image with its maps."""

    image_id: str
    file: str
    class_name: str
    kinds: list[str]
    role: str
    """finetune, choose or report; empty for an image that nobody edited."""
    annotator: str
    image: str
    map_before: str
    map_edited: str
    """Empty for an image that nobody edited."""
    map_after: str
    alignment: tuple[float, float] | None
    error: tuple[float, float] | None
    """Mean squared error to the edited map, before and after."""
    predicted: tuple[str, str]
    correct: tuple[bool, bool]


@dataclass(frozen=True)
class Gallery:
    """The cards, and how many images of each kind there are in all."""

    cards: list[Card]
    counts: dict[str, int]
    classes: list[str]
    """Of the cards, in the data set's order."""


def choose(evidence: Evidence) -> Gallery:
    """Choose edited, best, worst and failed images; those of the test split that nobody edited.

    Edited images that were held out of the fine-tuning come first. Failed: the alignment got worse
    or a right prediction became wrong. Each kind takes the classes by turns.
    """
    kinds = _kinds(evidence)
    chosen: dict[int, list[str]] = {}
    for turn in range(evidence.params.report.gallery):
        rows = {kind: samples.index[turn] for kind, samples in kinds.items() if turn < len(samples)}
        if not rows:
            break
        for kind, row in rows.items():
            chosen.setdefault(int(row), []).append(kind)
    cards = list(_affordable(card(evidence, row, names) for row, names in chosen.items()))
    present = {one.class_name for one in cards}
    return Gallery(
        cards=cards,
        counts={kind: len(samples) for kind, samples in kinds.items()},
        classes=[name for name in evidence.prepared.classes if name in present],
    )


def typical(evidence: Evidence) -> Card | None:
    """Give the edited image that stands for the rest: the median error after fine-tuning.

    It is taken from the images held out for reporting, else for choosing, else from all edited.
    """
    accepted = evidence.accepted
    for role in HELD_OUT:
        edits = accepted[accepted["role"] == role]
        if len(edits):
            errors = edit_errors(evidence, edits)
            middle = errors["after"].sort_values(kind="stable").index[(len(errors) - 1) // 2]
            return card(evidence, int(edits.loc[middle, "row"]), ["edited"], IMAGE_SIDE * 3)
    return None


def edit_errors(evidence: Evidence, edits: pd.DataFrame) -> pd.DataFrame:
    """Mean squared error of each edit's map before and after, under the edits' index."""
    rows, targets = edits["row"].to_numpy(int), evidence.targets[edits["target"].to_numpy(int)]
    return pd.DataFrame(
        {
            "before": squared_errors(evidence.maps_before[rows], targets),
            "after": squared_errors(evidence.maps_after[rows], targets),
        },
        index=edits.index,
    )


def card(evidence: Evidence, row: int, kinds: list[str], side: int = IMAGE_SIDE) -> Card:
    """Make the card of one row of the manifest."""
    sample: dict[Any, Any] = evidence.samples.iloc[row].to_dict()
    classes = evidence.prepared.classes
    edits = evidence.accepted[evidence.accepted["row"] == row]
    edit = None if edits.empty else edits.iloc[0]
    errors = None if edit is None else edit_errors(evidence, edits).iloc[0]
    has_mask = pd.notna(sample["before_alignment"]) and pd.notna(sample["after_alignment"])
    return Card(
        image_id=sample["image_id"],
        file=str(evidence.prepared.manifest["file"].iloc[row]),
        class_name=classes[sample["label"]],
        kinds=kinds,
        role="" if edit is None else edit["role"],
        annotator="" if edit is None else edit["annotator"],
        image=picture(evidence.prepared.images[row], side),
        map_before=heat(evidence.maps_before[row]),
        map_edited="" if edit is None else heat(evidence.targets[int(edit["target"])]),
        map_after=heat(evidence.maps_after[row]),
        alignment=(sample["before_alignment"], sample["after_alignment"]) if has_mask else None,
        error=None if errors is None else (errors["before"], errors["after"]),
        predicted=(classes[sample["before_predicted"]], classes[sample["after_predicted"]]),
        correct=(bool(sample["before_correct"]), bool(sample["after_correct"])),
    )


def picture(image: NDArray[np.uint8], side: int) -> str:
    """Give an H×W×C image (C 1 or 3), not above ``side``, as a data URI."""
    shown = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    if max(shown.size) <= 64:
        return _uri(shown, "PNG", optimize=True)
    return _uri(shown, "WEBP", quality=80, method=4)


def heat(values: NDArray[np.floating]) -> str:
    """Give an h×w map in [0, 1] as a data URI: dark without attention, bright with it."""
    grey = overlays.grey(values)
    grey.thumbnail((MAP_SIDE, MAP_SIDE), Image.Resampling.BOX)
    return _uri(overlays.coloured(grey), "PNG", optimize=False)


def _kinds(evidence: Evidence) -> dict[str, pd.DataFrame]:
    samples, test = evidence.samples, evidence.unedited("test")
    edits = evidence.accepted
    edited = samples.loc[edits["row"].to_numpy(int)].assign(
        order=edits["role"].map(HELD_OUT).to_numpy()
    )
    wrong = test["before_correct"] & ~test["after_correct"]
    gain = test["after_alignment"] - test["before_alignment"]
    failed = test[wrong | (gain < 0)].assign(gain=gain.fillna(0.0), wrong=wrong)
    kinds = {"edited": _by_turns(edited.sort_values("order", kind="stable"))}
    if evidence.has_masks:
        aligned = test[test["after_alignment"].notna()].assign(gain=gain)
        kinds["best"] = _by_turns(aligned.sort_values("gain", ascending=False, kind="stable"))
        kinds["worst"] = _by_turns(aligned.sort_values("after_alignment", kind="stable"))
    kinds["failed"] = _by_turns(
        failed.sort_values(["wrong", "gain"], ascending=[False, True], kind="stable")
    )
    return kinds


def _affordable(cards: Iterator[Card]) -> Iterator[Card]:
    left = MOST_BYTES
    for one in cards:
        pictures = (one.image, one.map_before, one.map_edited, one.map_after)
        left -= BYTES_OF_A_CARD + sum(map(len, pictures))
        if left < 0:
            return
        yield one


def _by_turns(samples: pd.DataFrame) -> pd.DataFrame:
    turn = samples.groupby("label").cumcount()
    return samples.loc[turn.sort_values(kind="stable").index]


def _uri(image: Image.Image, kind: str, **options: object) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"
