"""Statistics of the report: paired intervals, calibration, confusion."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

Z95 = 1.959964
"""Of the normal distribution, two-sided 95 %."""
BINS = 15
"""Of the calibration error, as in Guo et al. 2017."""


class Interval(NamedTuple):
    """A difference after − before, and its 95 % interval."""

    value: float
    low: float
    high: float


class Bin(NamedTuple):
    """Samples of like confidence."""

    confidence: float
    """Mean, in [0, 1]."""
    accuracy: float
    images: int


def mean_change(before: ArrayLike, after: ArrayLike) -> Interval | None:
    """Give the mean of paired differences with its interval by Student's t.

    Pairs of which either is NaN count for nothing; fewer than two pairs give ``None``.
    """
    differences = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    differences = differences[~np.isnan(differences)]
    if len(differences) < 2:
        return None
    mean = float(differences.mean())
    quantile = float(stdtrit(len(differences) - 1, 0.975))
    margin = quantile * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return Interval(mean, mean - margin, mean + margin)


def accuracy_change(before: ArrayLike, after: ArrayLike) -> Interval | None:
    """Give the difference of two accuracies on the same images with its interval.

    The interval is Bonett and Price's (2012, doi:10.3102/1076998611411915), which stays honest
    where the two models disagree on few images or none. No image gives ``None``.

    Args:
        before: n booleans, which images the one model classifies correctly.
        after: n booleans, the same for the other.
    """
    was, now = np.asarray(before, bool), np.asarray(after, bool)
    if len(was) == 0:
        return None
    gained, lost = int((~was & now).sum()), int((was & ~now).sum())
    n = len(was) + 2
    p, q = (gained + 1) / n, (lost + 1) / n
    margin = Z95 * math.sqrt((p + q - (p - q) ** 2) / n)
    return Interval((gained - lost) / len(was), max(-1.0, p - q - margin), min(1.0, p - q + margin))


def reliability(confidence: ArrayLike, correct: ArrayLike) -> list[Bin]:
    """Group samples into ``BINS`` bins of equal width by confidence; empty bins are left out."""
    score, right = np.asarray(confidence, np.float64), np.asarray(correct, bool)
    index = np.clip(np.ceil(score * BINS).astype(int) - 1, 0, BINS - 1)
    return [
        Bin(float(score[inside].mean()), float(right[inside].mean()), int(inside.sum()))
        for inside in (index == bin_ for bin_ in range(BINS))
        if inside.any()
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Expected calibration error, in [0, 1] (Guo et al. 2017, arXiv:1706.04599, equation 3)."""
    total = sum(one.images for one in bins)
    return sum(one.images * abs(one.accuracy - one.confidence) for one in bins) / total


def confusion(labels: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Count samples by class (row) and prediction (column): K×K."""
    flat = np.asarray(labels, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


def overlaps(maps: NDArray[np.float16], targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """IoU of each map with its target (n×h×w), both cut at 0.5: n; NaN for an empty target."""
    seen, wanted = maps > 0.5, targets > 0.5
    shared = (seen & wanted).sum(axis=(1, 2)).astype(np.float64)
    union = (seen | wanted).sum(axis=(1, 2)).astype(np.float64)
    union[~wanted.any(axis=(1, 2))] = np.nan
    shares: NDArray[np.float64] = shared / union
    return shares


def squared_errors(maps: NDArray[np.float16], targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean squared error of each map (n×h×w) to its target: n; the paper's loss, image by image."""
    errors: NDArray[np.float64] = ((maps.astype(np.float64) - targets) ** 2).mean(axis=(1, 2))
    return errors
