"""What interventions say of the channels' bars, in words."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from abn.report.evidence import Evidence

MOST_NAMES = 6
"""In a sentence."""
MARKS = {"confirmed": "✓", "refuted": "✗", "undecided": "–"}
VERDICTS = {"confirmed": "borne out", "refuted": "refuted", "undecided": "undecided"}


@dataclass(frozen=True)
class Claims:
    """How far the bars can be believed."""

    agreement: str
    verdicts: list[tuple[str, str]]
    """A mark, and how many and which channels it is for."""
    rule: str


def read(evidence: Evidence) -> Claims:
    """Put into words what the channel analysis found."""
    bars = of_map(evidence)
    return Claims(
        _agreement(evidence),
        [(MARKS[verdict], _counted(bars, verdict)) for verdict in MARKS],
        _rule(evidence),
    )


def of_map(evidence: Evidence) -> pd.DataFrame:
    """Give the rows of the map's convolution, one a channel."""
    return evidence.channels[evidence.channels["conv"] == "map"]


def names(bars: pd.DataFrame) -> list[str]:
    """Give the name of each channel: its class's, or its number."""
    return [
        str(name) if pd.notna(name) else f"channel {channel}"
        for name, channel in zip(bars["name"], bars["channel"], strict=True)
    ]


def spoken(bars: pd.DataFrame) -> list[str]:
    """Give what the mark beside each channel's bar means, for those who can't see it."""
    return [
        f"{name}: {VERDICTS[verdict]}; {_weight(high)}; of 5 effects {int(yes)} say that it "
        f"matters, {int(no)} that it does not"
        for name, verdict, high, yes, no in zip(
            names(bars),
            *(bars[key] for key in ("verdict", "high_weight", "matters", "matters_not")),
            strict=True,
        )
    ]


def basis(evidence: Evidence) -> str:
    """Say which images alignment was judged on."""
    images = int(evidence.analysed["judged_images"])
    if evidence.analysed["judged_by"] == "edits":
        return f"{images:,} edited images that the fine-tuning did not learn from"
    return f"{images:,} unedited test images"


def signed(value: float) -> str:
    """Show a figure with its sign."""
    return f"{value:+.2f}".replace("-", "−")


def _counted(bars: pd.DataFrame, verdict: str) -> str:
    of_it = bars[bars["verdict"] == verdict]
    if of_it.empty:
        return f"none {VERDICTS[verdict]}"
    parts = [
        f"{_weight(high)} {_list(some)}" for high, some in of_it.groupby("high_weight", sort=True)
    ]
    which = "; ".join(reversed(parts))
    return f"{len(of_it)} of {len(bars)} {VERDICTS[verdict]}: {which}"


def _weight(high: Any) -> str:
    return "high weight" if high == 1 else "low weight"


def _list(bars: pd.DataFrame) -> str:
    order = bars["weight_after"].abs().sort_values(ascending=False, kind="stable").index
    shown = names(bars.loc[order[:MOST_NAMES]])
    more = len(bars) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _agreement(evidence: Evidence) -> str:
    measured = evidence.analysed["agreement"].get("weight", {}).get("necessity_contrast")
    if not measured:
        return "How far the weights agree with what the channels do could not be measured."
    value, low, high = (signed(measured[key]) for key in ("value", "low", "high"))
    interval = f"95 % interval over images {low} to {high}"
    if low == high:
        interval = "the same whichever of the images are drawn"
    found = "A weight does not tell how far the map relies on its channel"
    if measured["low"] > 0:
        found = "High weights tend to be where the map relies most"
    if measured["high"] < 0:
        found = "High weights tend to be where the map relies least"
    return (
        f"{found}: rank correlation {value} ({interval}) of the weight"
        " after the fine-tuning with the contrast that is lost without the channel"
        f"{_of_the_size(evidence)}.{_changed(evidence)}"
    )


def _of_the_size(evidence: Evidence) -> str:
    measured = evidence.analysed["agreement"].get("weight_size", {}).get("necessity_contrast")
    return f"; of its size, whatever the sign, {signed(measured['value'])}" if measured else ""


def _changed(evidence: Evidence) -> str:
    weight, activation = (evidence.analysed["change"].get(key) for key in ("weight", "activation"))
    if weight is None or activation is None:
        return ""
    return (
        " The fine-tuning moved the map's logit, inside minus outside, by "
        f"{signed(weight)} through these weights and by {signed(activation)} through the "
        "activations that they weigh."
    )


def _rule(evidence: Evidence) -> str:
    return (
        "The paper reads a high weight after the fine-tuning as a channel that matters. High: the "
        "weight is above the mean weight. Five effects are held against it: contrast and IoU lost "
        "without the channel, contrast and IoU gained by it alone, its Shapley value. An effect "
        "says that the channel matters if it is above the mean channel's, that it does not if it "
        "is below half of that, beyond chance, corrected for the number of channels (Holm), on "
        f"{basis(evidence)}. Where three or more agree and at most one says the contrary, the "
        "weight is borne out or refuted; else it is undecided."
    )
