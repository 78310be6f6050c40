"""Shapes in percent of the canvas become masks of the right place, size and rotation."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from abn.edits import shapes
from abn.errors import AbnError

SIDE = 200


def centres() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give x and y of each pixel's centre, percent."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE * 100
    return x, y


def assert_same_but_edges(mask: NDArray[np.uint8], inside: NDArray[np.bool_]) -> None:
    """The mask is full inside and empty outside, but along the edge; and as large."""
    near = ndimage.binary_dilation(inside, np.ones((3, 3))) & ~ndimage.binary_erosion(
        inside, np.ones((3, 3))
    )
    np.testing.assert_allclose(mask[~near], np.where(inside, 255, 0)[~near], atol=32)
    assert mask.sum() / 255 == pytest.approx(inside.sum(), rel=0.02)


def test_rectangle_on_pixel_borders() -> None:
    """A rectangle from 25 to 75 % covers just those pixels."""
    mask = shapes.rectangle((25, 25), (50, 25), 0, SIDE)
    assert_same_but_edges(mask, mask > 127)
    rows, columns = np.where(mask > 127)
    assert (rows.min(), rows.max()) == (50, 99)
    assert (columns.min(), columns.max()) == (50, 149)


@pytest.mark.parametrize("rotation", [0, 30, 90, 200, -45])
def test_rectangle_turns_clockwise_about_its_corner(rotation: float) -> None:
    """A rectangle is rotated clockwise about its upper left corner, by definition."""
    x, y = centres()
    along = np.array([np.cos(np.radians(rotation)), np.sin(np.radians(rotation))])
    u = (x - 50) * along[0] + (y - 50) * along[1]
    v = -(x - 50) * along[1] + (y - 50) * along[0]
    inside = (u > 0) & (u < 30) & (v > 0) & (v < 20)
    assert_same_but_edges(shapes.rectangle((50, 50), (30, 20), rotation, SIDE), inside)


@pytest.mark.parametrize("rotation", [0, 30, 90, -60])
def test_ellipse_turns_clockwise_about_its_centre(rotation: float) -> None:
    """An ellipse is what its equation says, rotated clockwise about its centre."""
    x, y = centres()
    angle = np.radians(rotation)
    u = (x - 40) * np.cos(angle) + (y - 60) * np.sin(angle)
    v = -(x - 40) * np.sin(angle) + (y - 60) * np.cos(angle)
    inside = (u / 30) ** 2 + (v / 12) ** 2 < 1
    assert_same_but_edges(shapes.ellipse((40, 60), (30, 12), rotation, SIDE), inside)


def test_polygon() -> None:
    """A triangle covers what lies below its hypotenuse."""
    x, y = centres()
    inside = (x > 10) & (y < 90) & (y > x)
    assert_same_but_edges(shapes.polygon([[10, 10], [90, 90], [10, 90]], SIDE), inside)


def test_keypoint_is_a_gaussian_about_its_place() -> None:
    """A keypoint is 255 at its place and falls off as a Gaussian of at least 5 %."""
    x, y = centres()
    blob = shapes.keypoint((30.25, 70.25), 1, SIDE)
    expected = 255 * np.exp(-((x - 30.25) ** 2 + (y - 70.25) ** 2) / (2 * 5**2))
    np.testing.assert_allclose(blob, expected, atol=0.51)
    assert blob[140, 60] == 255


def test_a_larger_keypoint_is_a_larger_blob() -> None:
    """A keypoint wider than 5 % is as wide as was drawn."""
    x, y = centres()
    expected = 255 * np.exp(-((x - 50) ** 2 + (y - 50) ** 2) / (2 * 12**2))
    np.testing.assert_allclose(shapes.keypoint((50, 50), 12, SIDE), expected, atol=0.51)


def test_what_hangs_over_the_edge_is_cut() -> None:
    """Of a shape partly outside the image the inner part counts."""
    assert shapes.rectangle((-50, -50), (100, 100), 0, SIDE).sum() / 255 == pytest.approx(
        SIDE**2 / 4, rel=0.02
    )


def test_a_shape_outside_the_image_is_refused() -> None:
    """A shape that covers nothing of the image is an error, not an empty mask."""
    with pytest.raises(AbnError, match="covers nothing of the image"):
        shapes.rectangle((120, 10), (20, 20), 0, SIDE)
