"""Masks as sources have them, as grey images: 255 the object, 0 all else."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from abn.data import pictures
from abn.data.pictures import LYING, Picture


def from_alpha(picture: Picture) -> Image.Image | None:
    """Give the image's own alpha channel; none where it tells no object from the rest."""
    alpha = picture.alpha
    low, high = alpha.getextrema() if alpha else (0, 0)
    return alpha if low != high else None


def from_file(file: Path, picture: Picture) -> Image.Image:
    """Read a mask of any mode: bright, or opaque, or of a palette's other colours than the first.

    Above half of its greatest value is the object, so that masks of 0 and 1 serve as those of 0
    and 255 do.

    Raises:
        ValueError: Its proportions are not the picture's.
    """
    values = _one_channel(_upright(file, picture))
    return binary(values > values.max() / 2)


def labels(file: Path, picture: Picture) -> NDArray[np.uint8]:
    """Read a file of one number a pixel, 0 to 255; H×W.

    Raises:
        ValueError: It is of another kind, or its proportions are not the picture's.
    """
    image = _upright(file, picture)
    if image.mode not in ("L", "P"):
        raise ValueError(f"an image of mode {image.mode}, not of one number a pixel")
    return np.asarray(image)


def binary(inside: NDArray[np.bool_]) -> Image.Image:
    """Give the object's pixels, H×W, as a mask."""
    return Image.fromarray(inside.astype(np.uint8) * np.uint8(255))


def from_box(box: tuple[float, float, float, float], picture: Picture) -> Image.Image:
    """Fill a box: x, y, width and height in pixels of the upright image."""
    x, y, width, height = box
    mask = Image.new("L", (picture.width, picture.height), 0)
    corners = (round(x), round(y), round(x + width) - 1, round(y + height) - 1)
    if corners[0] > corners[2] or corners[1] > corners[3]:
        raise ValueError(f"a box of {width:g}×{height:g} pixels")
    ImageDraw.Draw(mask).rectangle(corners, fill=255)
    return mask


def _upright(file: Path, picture: Picture) -> Image.Image:
    """Read a mask's file, turned as its own EXIF says, or else as its image was."""
    with Image.open(file) as opened:
        own = pictures.orientation(opened)
        opened.load()
        if opened.format == "TIFF":
            mask = opened.copy()  # Pillow has turned it
        else:
            turned = own if own > 1 else _as_image(picture, opened.size)
            mask = pictures.upright(opened, turned)
    width, height = mask.size
    if abs(width * picture.height - height * picture.width) > max(picture.width, picture.height):
        raise ValueError(
            f"{width}×{height} is not of the image's proportions, {picture.width}×{picture.height}"
        )
    return mask


def _as_image(picture: Picture, size: tuple[int, int]) -> int:
    """Give the image's orientation for its mask, unless the mask's size says that it is upright."""
    shape = (picture.width, picture.height)
    return (
        1 if picture.orientation in LYING and shape == size != size[::-1] else picture.orientation
    )


def _one_channel(image: Image.Image) -> NDArray[Any]:
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        low, high = alpha.getextrema()
        if low != high:
            return np.asarray(alpha)
    if image.mode == "P":
        return np.asarray(image) > 0
    one = image.mode.startswith(("I", "F"))
    return np.asarray(image if one else image.convert("L"))
