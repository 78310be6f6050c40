"""Which images are for training, validation and test, where a source leaves it open.

Every image has a ticket, a number drawn from the seed and its content; a split takes the lowest
tickets of each class. So neither the order nor the number of the other images decides where an
image goes, and an image that is added moves few others.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from abn.errors import AbnError
from abn.params import Size, Splits

NAMES = ("train", "val", "test")
TRAIN, VAL, TEST = range(3)
NONE = -1
"""Of an image whose split the source leaves open, and afterwards of one that no split took."""


SHARE = 0.2
"""Of the training images, that go to validation, and to test, where null finds none."""
ROUNDING = 1e-9
"""0.29 of 100 is 29. Rounded down but for this, fractions that add up to 1 never ask for more."""


def count(size: Size, there: int) -> int | None:
    """Give the number of images that a size means, of those that are there; null stays null."""
    if isinstance(size, float):
        return max(1, int(size * there + ROUNDING))
    return size


def ticket(seed: int, content: bytes) -> int:
    """Draw an image's number, 0 to 2⁶⁴ − 1, from its content's digest."""
    return int.from_bytes(hashlib.sha256(b"%d " % seed + content).digest()[:8])


def assign(
    labels: NDArray[np.integer],
    given: NDArray[np.int8],
    tickets: NDArray[np.uint64],
    sizes: Splits,
) -> NDArray[np.int8]:
    """Give each image's split, as a place in ``NAMES``, or ``NONE``; each split has every class.

    A split that the source has is cut to its size; one that it lacks is taken from what is for
    training, which is everything where the source has no splits at all. A fraction is of the images
    that a split is taken from; null is all of the source's own, or else ``SHARE``.

    Args:
        labels: Class of each image, n.
        given: The source's own split of each, n; ``NONE`` for all if it has none.
        tickets: n, all different.
        sizes: As params.yaml has them.

    Raises:
        AbnError: There are too few.
    """
    of_split = np.where(given == NONE, TRAIN, given)
    if not (of_split == TRAIN).any():
        raise AbnError("the source has no image to train with")
    found = np.full(len(labels), NONE, np.int8)
    pool = {TRAIN: of_split == TRAIN, **{own: of_split == own for own in (VAL, TEST)}}
    there = {split: int(some.sum()) for split, some in pool.items()}
    for split in (TEST, VAL, TRAIN):
        size = getattr(sizes, NAMES[split])
        home = split if there[split] else TRAIN
        wanted = count(SHARE if size is None and home != split else size, there[home])
        free = pool[home] & (found == NONE)
        left = int(free.sum())
        if wanted is not None and wanted > left:
            raise AbnError(
                f"data.splits: {NAMES[split]} asks for {wanted} images, there are {left}"
                f"{'' if left == there[home] else ' left'}"
            )
        found[_lowest(labels, free, tickets, left if wanted is None else wanted)] = split
    return found


def _lowest(
    labels: NDArray[np.integer], free: NDArray[np.bool_], tickets: NDArray[np.uint64], total: int
) -> NDArray[np.int64]:
    """Give ``total`` free places, every class in proportion, of each the lowest tickets."""
    places = np.flatnonzero(free)
    order = places[np.lexsort((tickets[places], labels[places]))]
    classes, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    if 0 < total < len(classes):
        raise AbnError(f"data.splits: {total} image(s) can't be of {len(classes)} classes")
    shares = apportion(sizes, total)
    taken = [order[at : at + n] for at, n in zip(starts, shares, strict=True)]
    return np.concatenate(taken) if taken else order


def apportion(sizes: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Divide ``total`` in proportion to ``sizes``, the largest remainders first, at least one each.

    Args:
        sizes: What there is of each, above 0.
        total: At least ``len(sizes)``, or 0; at most their sum.

    Returns:
        Numbers that add up to ``total``, none above its size.
    """
    exact = sizes * (total / max(sizes.sum(), 1))
    shares: NDArray[np.int64] = np.minimum(
        np.maximum(np.floor(exact).astype(np.int64), min(total, 1)), sizes
    )
    while (missing := total - int(shares.sum())) != 0:
        step = 1 if missing > 0 else -1
        may = shares < sizes if missing > 0 else shares > 1
        lead = np.where(may, step * (exact - shares), -np.inf)
        shares[np.argsort(-lead, kind="stable")[: min(abs(missing), int(may.sum()))]] += step
    return shares
