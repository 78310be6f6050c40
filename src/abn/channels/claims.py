"""Whether the paper's reading of the bars holds: high weight after fine-tuning = relied on.

The rule. A weight is **high** if it is above the mean of all channels', with its sign, as a bar is
read; else low. The map **relies on** a channel if mean-ablating it costs more contrast than the
mean channel's ablation does; it does not if it costs less than half of that; both beyond chance
(paired over images, Holm over channels). In between, nothing is said: no verdict hangs on a hair.
The reading is **confirmed** where a high weight is relied on or a low one is not, **refuted** where
it is the other way round, unless the Shapley values, held against the mean channel's in the same
way, say the contrary; else **undecided**.
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
        weights: K, of the refined model's map convolution.
        necessity: J×K, by how much contrast falls.
        shapley: n×K, shares in the contrast gained.
    """
    high = weights > weights.mean()
    relied_on, gained = _side(necessity), _side(shapley)
    falls = necessity.mean(0) if len(necessity) else np.zeros(len(weights))
    return Claims(
        high=[bool(one) for one in high],
        relied_on=[RELIANCE[int(one)] for one in relied_on],
        verdicts=[
            _verdict(bool(claimed), int(relied), int(share))
            for claimed, relied, share in zip(high, relied_on, gained, strict=True)
        ],
        excess=falls - falls.mean(),
    )


def _verdict(high: bool, relied_on: int, gained: int) -> Verdict:
    if relied_on == 0 or gained == -relied_on:
        return "undecided"
    return "confirmed" if high == (relied_on == 1) else "refuted"


def _side(effects: Values) -> NDArray[np.int64]:
    """Give 1 where a column of n×K is above the mean column, −1 where below half of it, else 0.

    Where the columns' mean is not positive, above and below 0.
    """
    if not len(effects):
        return np.zeros(effects.shape[1], np.int64)
    bar = np.zeros((len(effects), 1))
    if effects.mean() > 0:
        bar = effects.mean(1, keepdims=True)
    return (_beyond(effects - bar) > 0).astype(np.int64) - (_beyond(effects - bar / 2) < 0)


def _beyond(values: Values) -> Values:
    """Give the mean of each column of n×K, 0 where it may be chance."""
    means: Values = np.where(holm(p_values(values)) < LEVEL, values.mean(0), 0.0)
    return means
