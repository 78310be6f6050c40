"""Pictures from anywhere, brought to what the network was trained on.

Turned as their EXIF says, 8 bits a channel, transparent parts in the mean of the training images,
the centred square of the shorter side, resized, grey or colour as the model has it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

SIXTEEN_TO_EIGHT_BITS = 65535 / 255


def read(file: Path | BinaryIO, mean: Sequence[float]) -> Image.Image:
    """Give an image file as RGB, turned as its EXIF says, over ``mean`` where it is transparent.

    Args:
        file: On the disk, or open.
        mean: Of the training images, of one channel or three, in [0, 1].

    Raises:
        Exception: A broken file makes Pillow raise anything; ``reason`` says it in words.
    """
    with Image.open(file) as opened:
        return _colours(ImageOps.exif_transpose(opened), mean)


def square(picture: Image.Image, side: int) -> Image.Image:
    """Cut out the centred square of the shorter side; a picture of the right size stays as is."""
    width, height = picture.size
    shorter = min(width, height)
    left, top = (width - shorter) // 2, (height - shorter) // 2
    centre = picture.crop((left, top, left + shorter, top + shorter))
    return centre.resize((side, side), Image.Resampling.BICUBIC)


def pixels(picture: Image.Image, side: int, channels: int) -> NDArray[np.uint8]:
    """Give what the network gets of an RGB picture: uint8 side×side×channels."""
    seen = square(picture, side)
    values = np.asarray(seen if channels == 3 else seen.convert("L"))
    return values.reshape(side, side, channels)


def reason(error: Exception) -> str:
    """Say in one line why a file could not be read as a picture."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or of a kind that Pillow does not read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0] or type(error).__name__


def _colours(picture: Image.Image, mean: Sequence[float]) -> Image.Image:
    if picture.mode.startswith("I;16"):
        values = np.asarray(picture) / SIXTEEN_TO_EIGHT_BITS
        picture = Image.fromarray(values.round().astype(np.uint8))
    elif picture.mode in ("I", "F"):
        picture = _stretched(np.nan_to_num(np.asarray(picture, np.float64)))
    if picture.has_transparency_data:
        level = [round(255 * channel) for channel in mean]
        red, green, blue = level if len(level) == 3 else level * 3
        under = Image.new("RGBA", picture.size, (red, green, blue, 255))
        picture = Image.alpha_composite(under, picture.convert("RGBA"))
    return picture.convert("RGB")


def _stretched(values: NDArray[np.float64]) -> Image.Image:
    """Give 32-bit values, which have no agreed range, as grey from the least to the greatest."""
    span = float(np.ptp(values)) or 1.0
    return Image.fromarray(((values - values.min()) / span * 255).round().astype(np.uint8))
