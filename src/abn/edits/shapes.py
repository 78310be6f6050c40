"""Polygons, ellipses, rectangles and keypoints of Label Studio as masks on the square canvas.

Positions and sizes are in percent of the canvas, y downwards, rotations in degrees clockwise.
All masks are uint8 side×side, 0 to 255; the pixels of an edge hold the share that is covered.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from abn.errors import AbnError

SUPERSAMPLING = 4
ELLIPSE_CORNERS = 180
KEYPOINT_SIGMA = 5.0
"""Least standard deviation of a keypoint's blob, percent of the side: about a cell of the map."""


def polygon(points: Sequence[Sequence[float]], side: int) -> NDArray[np.uint8]:
    """Fill the polygon with the corners ``points``, n×2 (x, y).

    Raises:
        AbnError: It covers nothing of the canvas.
    """
    fine = side * SUPERSAMPLING
    image = Image.new("L", (fine, fine))
    corners = np.asarray(points, np.float64) / 100 * fine - 0.5
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in corners], fill=255)
    mask = np.asarray(image.reduce(SUPERSAMPLING))
    if not mask.any():
        raise AbnError("the shape covers nothing of the image")
    return mask


def rectangle(
    corner: tuple[float, float], size: tuple[float, float], rotation: float, side: int
) -> NDArray[np.uint8]:
    """Fill the rectangle of ``size`` (width, height), rotated about its upper left ``corner``.

    Raises:
        AbnError: It covers nothing of the canvas.
    """
    width, height = size
    outline = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    return polygon((corner + _rotated(outline, rotation)).tolist(), side)


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], rotation: float, side: int
) -> NDArray[np.uint8]:
    """Fill the ellipse of ``radii`` (x, y), rotated about its ``centre``.

    Raises:
        AbnError: It covers nothing of the canvas.
    """
    angles = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii
    return polygon((centre + _rotated(outline, rotation)).tolist(), side)


def keypoint(centre: tuple[float, float], width: float, side: int) -> NDArray[np.uint8]:
    """Draw a Gaussian blob: 255 at its centre, standard deviation ``width`` but 5 % at least."""
    pixels = (np.arange(side) + 0.5) / side * 100
    sigma = max(width, KEYPOINT_SIGMA)
    x, y = (np.exp(-0.5 * ((pixels - at) / sigma) ** 2) for at in centre)
    blob: NDArray[np.float64] = np.rint(255 * np.outer(y, x))
    return blob.astype(np.uint8)


def _rotated(points: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    """Rotate n×2 (x, y) about the origin, clockwise as y points downwards."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rotated: NDArray[np.float64] = points @ np.array([[cos, sin], [-sin, cos]])
    return rotated
