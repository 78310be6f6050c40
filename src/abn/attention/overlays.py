"""Attention maps as pictures: colours of their own, laid over the image. Needs no torch."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def grey(attention: NDArray[np.floating]) -> Image.Image:
    """Give an h×w map in [0, 1] as 8-bit grey; what lies outside is clipped."""
    return Image.fromarray((np.clip(attention, 0, 1) * 255).round().astype(np.uint8))


def coloured(shades: Image.Image) -> Image.Image:
    """Give a grey map as a palette image with opacity: dark without attention, bright with it."""
    shown = Image.frombytes("P", shades.size, shades.tobytes())
    shown.putpalette(_PALETTE)
    shown.info["transparency"] = _OPACITY
    return shown


def overlay(image: Image.Image, attention: NDArray[np.floating]) -> Image.Image:
    """Lay an h×w map in [0, 1] over the whole of an image; give RGB of the image's size."""
    shades = grey(attention).resize(image.size, Image.Resampling.BILINEAR)
    above = coloured(shades).convert("RGBA")
    return Image.alpha_composite(image.convert("RGBA"), above).convert("RGB")


def _ramp(*stops: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    at = np.linspace(0, 255, len(stops))
    channels = np.array(stops).T
    return np.stack([np.interp(np.arange(256), at, channel) for channel in channels], 1).astype(
        np.uint8
    )


# Dark violet to bright yellow, even in lightness and safe for the colour-blind, as inferno is.
_RAMP = _ramp(
    (8, 6, 40, 200),
    (70, 15, 110, 180),
    (160, 45, 95, 165),
    (235, 105, 40, 165),
    (252, 215, 90, 175),
)
_PALETTE, _OPACITY = _RAMP[:, :3].tobytes(), _RAMP[:, 3].tobytes()
