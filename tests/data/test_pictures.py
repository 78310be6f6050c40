"""What a network sees of image files, through ``prepare`` and through ``predict``."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from abn import prediction
from abn.data import pictures, prepared
from abn.data.sources.catalogue import open_source
from abn.model.checkpoint import Card
from abn.params import Params
from tests.data import photographs
from tests.data.photographs import KINDS, ORIENTATION, photograph, with_alpha

SIDE = 24
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("masks", ["none", "alpha"])
def test_prepare_and_predict_see_the_same_pixels(
    tmp_path: Path, default_params: Params, masks: str
) -> None:
    """Every format and mode, large and small, wide and tall, turned, transparent: bit for bit."""
    random = np.random.default_rng(3)
    root = tmp_path / "photos"
    for number, (kind, save) in enumerate([*KINDS.items()] * 2):
        for split in ("train", "val", "test"):
            folder = root / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            width, height = (int(side) for side in random.integers(10, 400, 2))
            image, mask = photograph(random, width, height, number)
            save(image, folder / f"{number}-{kind}")
            with_alpha(image, mask).save(folder / f"{number}-alpha.png")
            exif = Image.Exif()
            exif[ORIENTATION] = 1 + number % 8
            image.save(folder / f"{number}-turned.jpg", exif=exif)
    splits = {"train": None, "val": None, "test": None}
    params = photographs.params(
        default_params, root, "image_folder", splits=splits, image_folder={"masks": masks}
    )
    prepared.write(open_source(params.data, 1), SIDE, tmp_path / "set")
    found = prepared.load(tmp_path / "set")
    assert len(found.manifest) == 3 * 3 * 2 * len(KINDS)
    card = Card(
        "resnet8", 1, found.classes, 3, SIDE, found.mean, found.std, "", found.alpha_is_mask
    )
    for file, image in zip(found.manifest["file"], found.images, strict=True):
        seen = prediction._read(root / file, card, with_picture=True)
        assert isinstance(seen, prediction._Square)
        assert np.array_equal(seen.pixels, image), file


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", list(UNDO))
def test_an_image_that_exif_says_is_turned_is_turned_back(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    """All eight orientations, in every format that has EXIF; width and height are a person's."""
    image, _ = photograph(np.random.default_rng(0), 96, 48, 2)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.transpose(UNDO[orientation]).save(tmp_path / f"turned{suffix}", exif=exif, quality=95)
    found = pictures.read(tmp_path / f"turned{suffix}", SIDE)
    assert (found.width, found.height, found.orientation) == (96, 48, orientation)
    seen = pictures.pixels(found, SIDE, 3).astype(int)
    upright = np.asarray(pictures.square(image, SIDE)).astype(int)
    assert np.abs(seen - upright).mean() < 4
    assert np.abs(seen[::-1] - upright).mean() > 8


def test_broken_exif_breaks_no_image(tmp_path: Path) -> None:
    """A camera's nonsense beside a whole image."""
    image, _ = photograph(np.random.default_rng(0), 60, 60, 0)
    image.save(tmp_path / "x.jpg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f" + b"\x12" * 40)
    assert pictures.read(tmp_path / "x.jpg", SIDE).orientation == 1


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same(tmp_path: Path) -> None:
    """Eight times the side and more: what libjpeg leaves out is finer than a pixel."""
    image, _ = photograph(np.random.default_rng(5), 1600, 1200, 2)
    image.save(tmp_path / "x.jpg", quality=95)
    found = pictures.read(tmp_path / "x.jpg", SIDE)
    assert found.image.size == (200, 150)
    assert (found.width, found.height) == (1600, 1200)
    difference = pictures.pixels(found, SIDE, 3) - np.asarray(pictures.square(image, SIDE)).astype(
        int
    )
    assert np.abs(difference).mean() < 1.5


def test_colours_under_an_alpha_mask_stay(tmp_path: Path) -> None:
    """An alpha channel that says where the object is hides nothing of the photograph."""
    image, mask = photograph(np.random.default_rng(1), 40, 40, 0)
    with_alpha(image, mask).save(tmp_path / "x.png")
    whole = pictures.read(tmp_path / "x.png", SIDE, alpha_is_mask=True)
    assert np.array_equal(np.asarray(whole.image), np.asarray(image))
    hidden = np.asarray(pictures.read(tmp_path / "x.png", SIDE).image)
    assert (hidden[mask == 0] == pictures.GROUND).all()
    assert np.array_equal(hidden[mask == 1], np.asarray(image)[mask == 1])
