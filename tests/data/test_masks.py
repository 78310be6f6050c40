"""Masks of every kind, on images turned and not."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from abn.data import masks, pictures
from abn.data.pictures import Picture
from tests.data.photographs import ORIENTATION, photograph
from tests.data.test_pictures import UNDO

IMAGE, OBJECT = photograph(np.random.default_rng(2), 60, 40, 1)


def picture(path: Path, orientation: int = 1) -> Picture:
    """Write the image as a camera would that was held so, and read it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = IMAGE.transpose(UNDO[orientation]) if orientation > 1 else IMAGE
    stored.save(path / "image.jpg", exif=exif)
    return pictures.read(path / "image.jpg", 24)


def read(path: Path, mask: Image.Image, of: Picture) -> NDArray[np.bool_]:
    """Give what a mask says of each pixel."""
    mask.save(path / "mask.png")
    return np.asarray(masks.from_file(path / "mask.png", of)) > 127


@pytest.mark.parametrize("kind", ["0 and 255", "0 and 1", "1 bit", "RGB", "opaque", "16 bits"])
def test_a_mask_says_the_same_in_every_mode(tmp_path: Path, kind: str) -> None:
    """Black and white, as it is drawn, exported, or indexed."""
    hard = Image.fromarray(OBJECT * np.uint8(255))
    transparent = Image.new("RGBA", hard.size, (0, 0, 0, 0))
    transparent.paste((0, 0, 0, 255), mask=hard)
    made = {
        "0 and 255": hard,
        "0 and 1": Image.fromarray(OBJECT),
        "1 bit": hard.convert("1"),
        "RGB": hard.convert("RGB"),
        "opaque": transparent,
        "16 bits": Image.fromarray(OBJECT.astype(np.uint16) * 65535),
    }[kind]
    assert np.array_equal(read(tmp_path, made, picture(tmp_path)), OBJECT == 1)


def test_of_a_palette_all_but_the_first_colour_is_the_object(tmp_path: Path) -> None:
    """As in PASCAL VOC: 0 is the background, whatever is darker or brighter."""
    indexed = Image.frombytes("P", IMAGE.size, (OBJECT * 3).astype(np.uint8).tobytes())
    indexed.putpalette([255, 255, 255, 0, 0, 0, 9, 9, 9, 5, 5, 5])
    assert np.array_equal(read(tmp_path, indexed, picture(tmp_path)), OBJECT == 1)


@pytest.mark.parametrize("orientation", list(UNDO))
def test_a_mask_is_turned_as_its_image(tmp_path: Path, orientation: int) -> None:
    """Drawn on the pixels as they are stored, without EXIF of its own."""
    stored = Image.fromarray(OBJECT * np.uint8(255)).transpose(UNDO[orientation])
    found = read(tmp_path, stored, picture(tmp_path, orientation))
    assert np.array_equal(found, OBJECT == 1)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_that_is_upright_already_stays(tmp_path: Path, orientation: int) -> None:
    """Drawn on what a viewer shows: its size tells."""
    upright = Image.fromarray(OBJECT * np.uint8(255))
    assert np.array_equal(read(tmp_path, upright, picture(tmp_path, orientation)), OBJECT == 1)


def test_a_masks_own_exif_goes_before_its_images(tmp_path: Path) -> None:
    """Exported with the camera's EXIF."""
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    turned = Image.fromarray(OBJECT * np.uint8(255)).transpose(UNDO[3])
    turned.save(tmp_path / "own.png", exif=exif)
    found = np.asarray(masks.from_file(tmp_path / "own.png", picture(tmp_path, 6))) > 127
    assert np.array_equal(found, OBJECT == 1)


def test_a_smaller_mask_of_the_same_shape_is_taken_and_another_is_not(tmp_path: Path) -> None:
    """Half the size is the same picture; a square is not."""
    half = Image.fromarray(OBJECT * np.uint8(255)).resize((30, 20))
    assert read(tmp_path, half, picture(tmp_path)).shape == (20, 30)
    square = Image.fromarray(OBJECT * np.uint8(255)).resize((40, 40))
    with pytest.raises(ValueError, match=r"40×40 is not of the image's proportions, 60×40"):
        read(tmp_path, square, picture(tmp_path))


def test_an_alpha_channel_that_is_the_same_everywhere_is_no_mask(tmp_path: Path) -> None:
    """Many programs write one that says nothing."""
    for opacity in (0, 255):
        image = IMAGE.copy()
        image.putalpha(opacity)
        image.save(tmp_path / "x.png")
        assert masks.from_alpha(pictures.read(tmp_path / "x.png", 24)) is None


def test_a_box_covers_its_pixels(tmp_path: Path) -> None:
    """x, y, width and height; one without any pixel is refused."""
    found = np.asarray(masks.from_box((10.0, 5.0, 20.0, 30.0), picture(tmp_path)))
    expected = np.zeros((40, 60), np.uint8)
    expected[5:35, 10:30] = 255
    assert np.array_equal(found, expected)
    with pytest.raises(ValueError, match="a box of 0×30 pixels"):
        masks.from_box((10.0, 5.0, 0.0, 30.0), picture(tmp_path))
