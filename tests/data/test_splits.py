"""Splits drawn from a seed, by class."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from abn.data import splits
from abn.data.splits import NONE, TEST, TRAIN, VAL
from abn.errors import AbnError
from abn.params import Splits


def drawn(
    labels: NDArray[np.int64], given: Any = None, seed: int = 1, **sizes: Any
) -> NDArray[np.int8]:
    """Draw with sizes that are null unless they are told."""
    of_source = np.full(len(labels), NONE) if given is None else np.asarray(given)
    tickets = np.array(
        [splits.ticket(seed, b"%d" % number) for number in range(len(labels))], np.uint64
    )
    wanted = Splits(**{"train": None, "val": None, "test": None} | sizes)
    return splits.assign(labels, of_source.astype(np.int8), tickets, wanted)


@given(
    sizes=st.lists(st.integers(16, 60), min_size=1, max_size=6),
    val=st.floats(0.05, 0.4),
    test=st.one_of(st.floats(0.05, 0.4), st.integers(6, 9)),
    seed=st.integers(0, 99),
)
def test_every_split_has_its_size_and_every_class_its_share(
    sizes: list[int], val: float, test: float, seed: int
) -> None:
    """Sizes are met to the image; a class's share is its own but for rounding, and never none."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    total = len(labels)
    wanted = {VAL: splits.count(val, total), TEST: splits.count(test, total)}
    if any(count < len(sizes) for count in wanted.values() if count is not None):
        with pytest.raises(AbnError, match="can't be of"):
            drawn(labels, val=val, test=test, seed=seed)
        return
    found = drawn(labels, val=val, test=test, seed=seed)
    assert (found != NONE).all()
    for split, count in wanted.items():
        assert (found == split).sum() == count
        for label, size in enumerate(sizes):
            share = ((found == split) & (labels == label)).sum()
            assert share >= 1
            assert abs(share - size * (count or 0) / total) < 2


def test_the_seed_alone_decides() -> None:
    """The same seed, the same splits; another one, others."""
    labels = np.arange(300) % 3
    once = drawn(labels, val=0.2, test=0.2)
    assert np.array_equal(once, drawn(labels, val=0.2, test=0.2))
    assert not np.array_equal(once, drawn(labels, val=0.2, test=0.2, seed=2))


def test_an_image_more_moves_hardly_any_other() -> None:
    """So that edits stay those of training images when a folder grows."""
    before = drawn(np.arange(300) % 3, val=0.2, test=0.2)
    after = drawn(np.arange(301) % 3, val=0.2, test=0.2)
    assert (before != after[:300]).sum() <= 3


def test_counts_take_a_part_and_leave_the_rest() -> None:
    """A quick trial on a few of many images."""
    found = drawn(np.arange(300) % 3, train=30, val=9, test=6)
    assert [(found == split).sum() for split in (TRAIN, VAL, TEST, NONE)] == [30, 9, 6, 255]


def test_null_is_a_fifth_where_the_source_has_no_such_split() -> None:
    """So that a folder of images needs no parameter for its splits."""
    found = drawn(np.arange(300) % 3)
    assert [(found == split).sum() for split in (TRAIN, VAL, TEST)] == [180, 60, 60]


def test_the_sources_own_splits_stay_apart() -> None:
    """Null takes them as they are; a size cuts one; one that is lacking comes from training."""
    labels = np.arange(90) % 3
    own = np.repeat([TRAIN, TEST], [60, 30])
    found = drawn(labels, own, val=0.2, test=12)
    assert (own[(found == VAL) | (found == TRAIN)] == TRAIN).all()
    assert (own[found == TEST] == TEST).all()
    assert [(found == split).sum() for split in (TRAIN, VAL, TEST)] == [48, 12, 12]
    three = np.repeat([TRAIN, VAL, TEST], 30)
    assert np.array_equal(drawn(labels, three), three)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"val": 50, "test": 50}, "val asks for 50 images, there are 40 left"),
        ({"val": 2, "test": 9}, r"2 image\(s\) can't be of 3 classes"),
        ({"train": 80, "val": 9, "test": 9}, "train asks for 80 images, there are 72 left"),
    ],
)
def test_what_cannot_be_drawn_is_told(sizes: dict[str, Any], message: str) -> None:
    """With the key and the numbers."""
    with pytest.raises(AbnError, match=message):
        drawn(np.arange(90) % 3, **sizes)


@given(st.integers(1, 10_000), st.lists(st.floats(0.01, 0.97), min_size=2, max_size=2))
def test_fractions_that_add_up_to_one_never_ask_for_more(there: int, cuts: list[float]) -> None:
    """Rounded, they still fit; but for the one image that each has."""
    low, high = sorted(cuts)
    parts = [low, high - low, 1 - high]
    counts = [splits.count(part, there) or 0 for part in parts if 0 < part < 1]
    assert all(count >= 1 for count in counts)
    assert sum(counts) <= there + sum(part * there < 1 for part in parts)
