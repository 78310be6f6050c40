"""A model on disk as a service sees it: pictures in, plain values out; the same as ``abn predict``.

This module and what it imports travel with the model (``abn.tracking.kept_model``), so it needs
torch, safetensors, numpy and Pillow, and nothing else.
"""

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from abn.data import pictures
from abn.data.loading import normalised
from abn.errors import AbnError
from abn.model import checkpoint

IMAGE, PIXELS = "image", "pixels"
"""Names of the two inputs: a file's bytes, and the values of its pixels."""
AT_ONCE = 64
"""Images that go through the network together."""
DECIMALS = 6
BASE64 = re.compile(rb"[A-Za-z0-9+/\s]+={0,2}\s*")
"""No image file is made of these signs alone."""


class Classifier:
    """A network, ready to classify."""

    def __init__(self, weights: Path, device: str = "auto") -> None:
        """Load the model; ``device`` is auto (a GPU where there is one), cpu or cuda."""
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        network, self.card = checkpoint.load(weights)
        self._device = torch.device(device)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)

    def classify(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Classify images.

        Args:
            rows: Each holds ``image``, the bytes of a file that Pillow reads (or the same in
                base64), or ``pixels``, H×W or H×W×C values from 0 to 255, C of 1, 3 or 4.

        Returns:
            Of each image: class; confidence, its probability; probabilities by class; attention,
            h rows of w values in [0, 1]. All of it as JSON has it.

        Raises:
            AbnError: A row that holds no image, by its number; nothing is classified then.
        """
        images = [self._read(number, row) for number, row in enumerate(rows)]
        pieces = [images[start : start + AT_ONCE] for start in range(0, len(images), AT_ONCE)]
        return [answer for piece in pieces for answer in self._answers(np.stack(piece))]

    def _read(self, number: int, row: Mapping[str, Any]) -> NDArray[np.uint8]:
        given = {name: row[name] for name in (IMAGE, PIXELS) if _is_there(row.get(name))}
        if len(given) != 1:
            raise AbnError(f"row {number}: give either {IMAGE} or {PIXELS}")
        try:
            side, alpha_is_mask = self.card.image_size, self.card.alpha_is_mask
            picture = pictures.read(_file(**given), side, alpha_is_mask)
            return pictures.pixels(picture, self.card.image_size, self.card.channels)
        except Exception as error:  # noqa: BLE001 (a broken file makes Pillow raise anything)
            raise AbnError(f"row {number}: {pictures.reason(error)}") from None

    def _answers(self, images: NDArray[np.uint8]) -> Iterator[dict[str, Any]]:
        with torch.inference_mode():
            seen = normalised(images, self.card.mean, self.card.std, self._device)
            outputs = self._network(seen)
        classes = outputs.perception_logits.softmax(1).cpu().numpy()
        for of_classes, attention in zip(classes, outputs.maps.cpu().numpy(), strict=True):
            best, probabilities = int(of_classes.argmax()), _plain(of_classes)
            yield {
                "class": self.card.classes[best],
                "confidence": probabilities[best],
                "probabilities": dict(zip(self.card.classes, probabilities, strict=True)),
                "attention": _plain(attention),
            }


def _plain(values: NDArray[np.float32]) -> list[Any]:
    plain: list[Any] = values.astype(np.float64).round(DECIMALS).tolist()
    return plain


def _is_there(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and value != value)  # noqa: PLR0124


def _file(image: bytes | str | None = None, pixels: Any = None) -> io.BytesIO:
    if image is None:
        file = io.BytesIO()
        Image.fromarray(_bytes(pixels)).save(file, "PNG")
        image = file.getvalue()
    return io.BytesIO(_decoded(image))


def _decoded(image: bytes | str) -> bytes:
    """Undo base64, which MLflow hands on as text or as ASCII in some forms of a request."""
    if isinstance(image, bytes) and not BASE64.fullmatch(image):
        return image
    try:
        return base64.b64decode(image)
    except ValueError as error:
        if isinstance(image, bytes):
            return image
        raise ValueError(f"not base64: {error}") from None


def _bytes(pixels: Any) -> NDArray[np.uint8]:
    """Give pixels as uint8 H×W or H×W×3 or 4; what is no picture raises ``ValueError``."""
    values = np.array(pixels)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        raise ValueError(f"pixels of shape {values.shape} are neither H×W nor H×W×1, 3 or 4")
    if values.size == 0 or values.dtype.kind not in "uif":
        raise ValueError("pixels hold no numbers")
    if not (values.min() >= 0 and values.max() <= 255):
        raise ValueError("pixels must lie between 0 and 255")
    return values.round().astype(np.uint8)
