"""Whether the paper's reading of the bars holds: high weight after fine-tuning = relied on.

The rule. A weight is **high** if it is above the mean of all channels', with its sign, as a bar is
read; else low. Each of several interventions says that a channel **matters** if its effect is above
the mean channel's, that it **does not** if it is below half of that, both beyond chance (paired
over images, Holm over channels); in between it says nothing, so that no verdict hangs on a hair.
The map **relies on** a channel if most of the interventions say that it matters and at most one the
contrary, and does not the other way round. The reading is **confirmed** where a high weight is
relied on or a low one is not, **refuted** where it is the other way round, else **undecided**.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from abn.channels.inference import LEVEL, Values, holm, p_values

Reliance = Literal["yes", "no", "unclear"]
Verdict = Literal["confirmed", "refuted", "undecided"]


class Claims(NamedTuple):
    """Of K channels."""

    high: list[bool]
    """What the bar says."""
    matters: list[int]
    """How many interventions say so."""
    matters_not: list[int]
    """How many say the contrary."""
    relied_on: list[Reliance]
    verdicts: list[Verdict]


def judge(weights: Values, effects: Sequence[Values]) -> Claims:
    """Hold what the weights say against what the interventions say.

    Args:
        weights: K, of the refined model's map convolution.
        effects: n×K of each intervention, on the n images of its own.
    """
    said = np.stack([_says(one) for one in effects])
    matters, matters_not = (said > 0).sum(0).tolist(), (said < 0).sum(0).tolist()
    high = (weights > weights.mean()).tolist()
    relied_on = [
        _reliance(yes, no, len(effects)) for yes, no in zip(matters, matters_not, strict=True)
    ]
    verdicts = [_verdict(*one) for one in zip(high, relied_on, strict=True)]
    return Claims(high, matters, matters_not, relied_on, verdicts)


def _reliance(yes: int, no: int, of: int) -> Reliance:
    if 2 * yes > of and no <= 1:
        return "yes"
    if 2 * no > of and yes <= 1:
        return "no"
    return "unclear"


def _verdict(high: bool, relied_on: Reliance) -> Verdict:
    if relied_on == "unclear":
        return "undecided"
    return "confirmed" if high == (relied_on == "yes") else "refuted"


def _says(effects: Values) -> NDArray[np.int64]:
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
