"""Between map and canvas nothing is lost, and several edits become one as the parameter says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from abn.edits import targets


@pytest.mark.parametrize(("grid", "side"), [(24, 528), (16, 512), (7, 518), (14, 518), (600, 600)])
def test_canvas_side(grid: int, side: int) -> None:
    """The canvas is the least multiple of the map's side from 512 on."""
    assert targets.canvas_side(grid) == side


@given(arrays(np.float16, (6, 6), elements=st.floats(0, 1, width=16)))
def test_an_untouched_canvas_is_the_models_own_map(attention: NDArray[np.float16]) -> None:
    """To the canvas and back gives the map within 1/255: nothing counts as changed."""
    canvas = targets.to_canvas(attention)
    back = targets.from_canvas(canvas, 6)
    assert canvas.shape == (516, 516)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, attention.astype(np.float32), atol=1 / 255)
    assert targets.changed(back, attention.astype(np.float32)) == 0


def test_a_cell_is_the_mean_of_its_pixels() -> None:
    """Painting half of a cell's pixels makes it one half, and leaves all others."""
    canvas = np.zeros((8, 8), np.uint8)
    canvas[0:2, 4:8] = 255
    expected = np.zeros((2, 2), np.float32)
    expected[0, 1] = 0.5
    np.testing.assert_array_equal(targets.from_canvas(canvas, 2), expected)
    assert targets.changed(targets.from_canvas(canvas, 2), np.zeros((2, 2), np.float32)) == 0.25


EVERY = np.array([[[1.0, 0.9], [0.0, 0.4]], [[1.0, 0.1], [0.2, 0.5]]], np.float32)
OWN = np.full((2, 2), 0.7, np.float32)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("latest", [[1.0, 0.1], [0.2, 0.5]]),
        ("mean", [[1.0, 0.5], [0.1, 0.45]]),
        ("agreement", [[1.0, 0.7], [0.1, 0.45]]),
    ],
)
def test_merge(how: str, expected: list[list[float]]) -> None:
    """Latest is the last, mean the mean, agreement the mean but the model's value in dispute."""
    merged = targets.merge(EVERY, OWN, how)  # type: ignore[arg-type]
    np.testing.assert_allclose(merged, np.array(expected, np.float32), atol=1e-6)


def test_agreement_is_the_mean_iou_of_the_pairs() -> None:
    """Of three annotators, two alike and one who paints half as much: (1 + 1/2 + 1/2) / 3."""
    whole = np.ones((2, 2), np.float32)
    half = np.array([[1, 1], [0, 0]], np.float32)
    assert targets.agreement(np.stack([whole, whole, half])) == pytest.approx(2 / 3)


def test_two_who_say_nowhere_agree() -> None:
    """Two empty maps agree wholly."""
    assert targets.agreement(np.zeros((2, 3, 3), np.float32)) == 1
