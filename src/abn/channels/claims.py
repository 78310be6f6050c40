"""Whether the paper's reading of the bars holds: high weight after fine-tuning = relied on.

The rule. A weight is **high** if its size is above the mean of all channels', else low. The map
**relies on** a channel if mean-ablating it costs more contrast than the mean channel's ablation
does, and more than nothing; it does not if it costs less; both beyond chance (paired over images,
Holm). The reading is **confirmed** where a high weight is relied on or a low one is not,
**refuted** where it is the other way round, unless the Shapley values say the contrary beyond
chance; else **undecided**.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from abn.channels.inference import LEVEL, Values, holm, p_values

Reliance = Literal["yes", "no", "unclear"]
Verdict = Literal["confirmed", "refuted", "undecided"]
RELIANCE: dict[int, Reliance] = {1: "yes", -1: "no", 0: "unclear"}


class Claims(NamedTuple):
    """Of K channels."""

    high: list[bool]
    """What the bar says."""
    relied_on: list[Reliance]
    """What the ablation says."""
    verdicts: list[Verdict]
    excess: Values
    """By how much more contrast the ablation costs than the mean channel's."""


def judge(weights: Values, necessity: Values, shapley: Values) -> Claims:
    """Hold what the weights say against what the interventions say.

    Args:
        weights: K, of the refined model's map convolution; their sign does not count.
        necessity: J×K, by how much contrast falls.
        shapley: n×K, shares in the contrast gained.
    """
    size = np.abs(weights)
    high = size > size.mean()
    excess = _above_the_mean(necessity)
    relied_on = _side(excess)
    relied_on[(relied_on == 1) & (_side(necessity) != 1)] = 0
    share = _side(_above_the_mean(shapley))
    return Claims(
        high=[bool(one) for one in high],
        relied_on=[RELIANCE[int(one)] for one in relied_on],
        verdicts=[
            _verdict(bool(claimed), int(relied), int(gained))
            for claimed, relied, gained in zip(high, relied_on, share, strict=True)
        ],
        excess=excess.mean(0) if len(excess) else np.zeros(len(weights)),
    )


def _verdict(high: bool, relied_on: int, share: int) -> Verdict:
    if relied_on == 0 or share == -relied_on:
        return "undecided"
    return "confirmed" if high == (relied_on == 1) else "refuted"


def _above_the_mean(values: Values) -> Values:
    """Give by how much each channel of n×K exceeds the mean channel, image by image."""
    excess: Values = values - values.mean(1, keepdims=True)
    return excess


def _side(values: Values) -> NDArray[np.int64]:
    """Give 1 or −1 where the mean of a column of n×K is beyond chance above or below 0, else 0."""
    if len(values) < 2:
        return np.zeros(values.shape[1], np.int64)
    beyond_chance = holm(p_values(values)) < LEVEL
    return np.where(beyond_chance, np.sign(values.mean(0)), 0).astype(np.int64)
