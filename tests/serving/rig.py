"""A model with its card, as a stage writes it, and what is kept of it to be sent."""

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from abn.model import checkpoint
from abn.model.build import build
from abn.model.checkpoint import Card

SIDE = 24
CARD = Card("resnet8", 1, ["bag", "shirt <b>", "Ö"], 1, SIDE, [0.25], [0.2], "d" * 32)


def write_model(path: Path, seed: int = 0, card: Card = CARD) -> Path:
    """Write a network with random weights, the same for the same seed; give its weights' file."""
    torch.manual_seed(seed)
    checkpoint.save(build(card.architecture), card, path)
    return path


def a_picture(seed: int = 0, side: int = SIDE) -> NDArray[np.uint8]:
    """Give an image of random grey, S×S."""
    return np.random.default_rng(seed).integers(0, 256, (side, side)).astype(np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Give an image as a PNG file's bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
