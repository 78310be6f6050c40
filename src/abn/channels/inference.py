"""What of a measured effect is chance: intervals, tests, and correction for many channels.

An effect is given image by image, n×K; the channel's effect is the mean over images, and chance is
which images they happened to be.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

Values = NDArray[np.float64]
LEVEL = 0.05
"""Of tests; intervals cover 1 − LEVEL."""


class Interval(NamedTuple):
    """Estimate and 95 % interval, of one figure or of K; NaN where there is none."""

    value: Values
    low: Values
    high: Values


class Bootstrap:
    """Resamples of images, drawn from a seed: the same n, the same resamples (Efron 1979)."""

    def __init__(self, resamples: int, seed: int) -> None:
        self._resamples = resamples
        self._seed = seed
        self._shares: dict[int, Values] = {}

    def means(self, values: Values) -> Values:
        """Give the mean of n×K over each resample of the images: B×K."""
        images = len(values)
        if images not in self._shares:
            generator = np.random.default_rng(self._seed)
            counts = generator.multinomial(images, np.full(images, 1 / images), self._resamples)
            self._shares[images] = counts / images
        means: Values = self._shares[images] @ values
        return means


def estimate(values: Values, bootstrap: Bootstrap) -> Interval:
    """Give the mean of n×K and its interval: NaN for fewer than two images."""
    if len(values) < 2:
        unknown = np.full(values.shape[1], np.nan)
        return Interval(values.mean(0) if len(values) else unknown, unknown, unknown)
    return percentiles(values.mean(0), bootstrap.means(values))


def percentiles(estimate: Values, resampled: Values) -> Interval:
    """Give the interval between percentiles of B×K resampled estimates."""
    low, high = np.quantile(resampled, (LEVEL / 2, 1 - LEVEL / 2), axis=0)
    return Interval(estimate, low, high)


def p_values(values: Values) -> Values:
    """Test that each column of n×K has mean 0: Student's t, two-sided, K.

    Fewer than two images tell nothing: 1. So does a column that is 0 throughout; any other column
    without spread is certain.
    """
    images, channels = values.shape
    if images < 2:
        return np.ones(channels)
    mean, error = values.mean(0), values.std(0, ddof=1) / np.sqrt(images)
    t = np.divide(mean, error, out=np.where(mean == 0, 0.0, np.inf), where=error > 0)
    found: Values = 2 * stdtr(images - 1, -np.abs(t))
    return found


def holm(p: Values) -> Values:
    """Correct K p-values for their number (Holm 1979).

    It bounds the chance of even one false finding, under any dependence. A channel is read by
    itself, by its name, so one false mark misleads; a bound on the share of false marks (Benjamini
    and Hochberg 1995) would promise the reader of one mark nothing.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def spearman(magnitudes: Values, effects: Values) -> Values:
    """Rank correlation of K magnitudes with each row of B×K effects: B.

    Ties get their mean rank; NaN where either is the same for all channels.
    """
    ranks = pd.DataFrame(np.vstack([magnitudes, effects])).rank(axis=1).to_numpy()
    ranks = ranks - ranks.mean(1, keepdims=True)
    spread = np.sqrt((ranks**2).sum(1))
    found = np.full(len(effects), np.nan)
    product = spread[0] * spread[1:]
    np.divide(ranks[1:] @ ranks[0], product, out=found, where=product > 0)
    return found


def agreement(magnitudes: Values, effects: Values, bootstrap: Bootstrap) -> Interval | None:
    """Give the rank correlation of K magnitudes with the mean of n×K effects, and its interval.

    ``None`` where there is none: one channel, no image, or effects all the same.
    """
    if len(effects) < 2:
        return None
    estimate = spearman(magnitudes, effects.mean(0, keepdims=True))
    resampled = spearman(magnitudes, bootstrap.means(effects))
    resampled = resampled[~np.isnan(resampled)]
    if np.isnan(estimate[0]):
        return None
    return percentiles(estimate[0], resampled)
