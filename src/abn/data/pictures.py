"""Image files of any kind as the pixels that a network sees; ``prepare`` and ``predict`` share it.

An image is turned as its EXIF says, brought to 8 bits a channel, laid over grey where it is
transparent, cut to the centred square of its shorter side, and resized.
"""

from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

GROUND = 128
"""Grey under transparent parts: the mean of all grey levels, next to nothing for a network."""
OVERSAMPLED = 2
"""Times the side that a JPEG is decoded to at least: libjpeg leaves out what is finer."""
SIXTEEN_TO_EIGHT_BITS = 65535 / 255
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each of EXIF's orientations; 1, the remaining one, is upright."""
LYING = (5, 6, 7, 8)
"""Orientations that swap width and height."""


class Picture(NamedTuple):
    """An image file, read."""

    image: Image.Image
    """RGB, upright."""
    alpha: Image.Image | None
    """L, of the same size; none where there is no transparency."""
    width: int
    """Of the file's image, upright, pixels; ``image`` may be smaller."""
    height: int
    orientation: int
    """EXIF's: how the file's image was turned to be upright."""


def read(file: Path | BinaryIO, side: int, alpha_is_mask: bool = False) -> Picture:
    """Read an image file that will be shown at ``side`` pixels or less.

    Args:
        file: On the disk, or open.
        side: A JPEG that is much larger is decoded at a fraction of its size.
        alpha_is_mask: An alpha channel says where the object is, all being seen; otherwise it says
            what can't be seen, and grey takes its place.

    Raises:
        Exception: A broken file makes Pillow raise anything; ``reason`` says it in words.
    """
    with Image.open(file) as opened:
        turned = orientation(opened)
        width, height = opened.size
        opened.draft(None, (OVERSAMPLED * side, OVERSAMPLED * side))
        opened.load()
        if opened.format == "TIFF":
            image = opened.copy()  # Pillow has turned it
        else:
            image = upright(opened, turned)
            width, height = (height, width) if turned in LYING else (width, height)
    return Picture(colours(image, alpha_is_mask), _alpha(image), width, height, turned)


def pixels(picture: Picture, side: int, channels: int) -> NDArray[np.uint8]:
    """Give what a network of 1 or 3 channels sees: side×side×channels."""
    seen = square(picture.image, side)
    values = np.asarray(seen if channels == 3 else seen.convert("L"))
    return values.reshape(side, side, channels)


def square(
    image: Image.Image, side: int, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    """Cut out the centred square of the shorter side; an image of the right size stays as it is."""
    width, height = image.size
    shorter = min(width, height)
    left, top = (width - shorter) // 2, (height - shorter) // 2
    centre = image.crop((left, top, left + shorter, top + shorter))
    return centre.resize((side, side), resample)


def orientation(opened: Image.Image) -> int:
    """Give EXIF's orientation, 1 to 8; upright where there is none, or none that can be read."""
    try:
        found = opened.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 (broken EXIF breaks no image)
        return 1
    return found if found in TURNED else 1


def upright(image: Image.Image, turned: int) -> Image.Image:
    """Undo an orientation."""
    return image.transpose(TURNED[turned]) if turned in TURNED else image.copy()


def colours(image: Image.Image, alpha_is_mask: bool = False) -> Image.Image:
    """Give an image of any mode as RGB: over grey where it is transparent, unless alpha is a mask.

    Raises:
        ValueError: Pillow knows no way to RGB, as from LAB.
    """
    if image.mode.startswith("I;16"):
        values = np.asarray(image) / SIXTEEN_TO_EIGHT_BITS
        image = Image.fromarray(values.round().astype(np.uint8))
    elif image.mode in ("I", "F"):
        image = _stretched(np.nan_to_num(np.asarray(image, np.float64)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if not alpha_is_mask:
            under = Image.new("RGBA", image.size, (GROUND, GROUND, GROUND, 255))
            image = Image.alpha_composite(under, image)
    return image.convert("RGB")


def reason(error: Exception) -> str:
    """Say in one line why a file could not be read, without its path."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or of a kind that Pillow does not read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0] or type(error).__name__


def _alpha(image: Image.Image) -> Image.Image | None:
    return image.convert("RGBA").getchannel("A") if image.has_transparency_data else None


def _stretched(values: NDArray[np.float64]) -> Image.Image:
    """Give 32-bit values, which have no agreed range, as grey from the least to the greatest."""
    span = float(np.ptp(values)) or 1.0
    return Image.fromarray(((values - values.min()) / span * 255).round().astype(np.uint8))
