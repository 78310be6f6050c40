"""What was found of the channels: columns of the table, and the stage's metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from abn.channels.claims import Claims
from abn.channels.effects import Effects
from abn.channels.inference import (
    LEVEL,
    Bootstrap,
    Interval,
    Values,
    agreement,
    estimate,
    holm,
    p_values,
    percentiles,
)


def by_image(effects: Effects) -> dict[str, Values]:
    """Give the effects of the interventions by name, n×K each, n the images of each."""
    return {
        "necessity_contrast": effects.necessity.contrast,
        "necessity_iou": effects.necessity.iou,
        "necessity_accuracy": effects.necessity_accuracy,
        "sufficiency_contrast": effects.sufficiency.contrast,
        "sufficiency_iou": effects.sufficiency.iou,
        "shapley": effects.shapley.channels,
    }


def on_alignment(effects: Effects) -> list[Values]:
    """Give those of them that say whether a channel matters for the attention."""
    return [values for name, values in by_image(effects).items() if name != "necessity_accuracy"]


def columns(effects: Effects, claims: Claims, bootstrap: Bootstrap) -> dict[str, Sequence[Any]]:
    """Give what the table says of each of the K channels, by column.

    Mean contributions inside and outside, before and after; what of the change of inside − outside
    is the weight's and what the activation's. Of each intervention: effect, 95 % interval
    (``_low``, ``_high``) and p-value corrected for K channels (``_p``). Necessity is in units of
    the metric, sufficiency a share of the whole gain, empty where nothing was gained, a Shapley
    value in units of contrast. Then the claim, by the rule of ``abn.channels.claims``.
    """
    found: dict[str, Values] = {
        "inside_before": _means(effects.before[0]),
        "outside_before": _means(effects.before[1]),
        "inside_after": _means(effects.after[0]),
        "outside_after": _means(effects.after[1]),
        "change_by_weight": _means(effects.causes.weight),
        "change_by_activation": _means(effects.causes.activation),
    }
    gains = {
        "sufficiency_contrast": effects.gain.contrast,
        "sufficiency_iou": effects.gain.iou,
    }
    for name, values in by_image(effects).items():
        interval = (
            _share(values, gains[name], bootstrap) if name in gains else estimate(values, bootstrap)
        )
        found |= {
            name: interval.value,
            f"{name}_low": interval.low,
            f"{name}_high": interval.high,
            f"{name}_p": holm(p_values(values)),
        }
    return {name: _plain(values) for name, values in found.items()} | {
        "high_weight": [int(one) for one in claims.high],
        "matters": claims.matters,
        "matters_not": claims.matters_not,
        "relied_on": claims.relied_on,
        "verdict": claims.verdicts,
    }


def summary(
    effects: Effects,
    claims: Claims,
    bars: Mapping[str, Values],
    names: Sequence[str],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Give the stage's metrics: what was gained, agreement, verdicts.

    ``largest`` names the channel of each verdict whose Shapley value is farthest from the mean.

    Args:
        effects: Of K channels.
        claims: Of the same.
        bars: By name, K: what is read off them.
        names: K.
        bootstrap: For the intervals.
    """
    shares = _means(effects.shapley.channels)
    return {
        "judged_images": len(effects.gain.contrast),
        "gain": {name: _mean(values) for name, values in effects.gain._asdict().items()},
        "change": {name: _mean(some.sum(1)) for name, some in effects.causes._asdict().items()},
        "shapley_bias": _mean(effects.shapley.bias),
        "agreement": {
            measure: {
                name: _figures(agreement(read, values, bootstrap))
                for name, values in by_image(effects).items()
            }
            for measure, read in bars.items()
        },
        "verdicts": {
            verdict: claims.verdicts.count(verdict)
            for verdict in ("confirmed", "refuted", "undecided")
        },
        "largest": {
            verdict: names[max(of_it, key=lambda channel: abs(shares[channel] - shares.mean()))]
            for verdict in ("confirmed", "refuted")
            if (of_it := [k for k, one in enumerate(claims.verdicts) if one == verdict])
        },
    }


def _share(values: Values, gain: Values, bootstrap: Bootstrap) -> Interval:
    """Give the mean of n×K as a share of the mean gain n, where there is one beyond chance."""
    nothing = np.full(values.shape[1], np.nan)
    if p_values(gain[:, None])[0] >= LEVEL or gain.mean() <= 0:
        return Interval(nothing, nothing, nothing)
    resampled = bootstrap.means(np.column_stack([gain, values]))
    return percentiles(values.mean(0) / gain.mean(), resampled[:, 1:] / resampled[:, :1])


def _means(values: Values) -> Values:
    return values.mean(0) if len(values) else np.full(values.shape[1], np.nan)


def _mean(values: Values) -> float | None:
    return float(values.mean()) if len(values) else None


def _figures(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else {k: float(v) for k, v in interval._asdict().items()}


def _plain(values: Values) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
