import base64
import io

import numpy as np
import pytest
from PIL import Image

from abn.report import gallery
from tests.report.artefacts import Recipe
from tests.report.conftest import Read


def test_failures_are_all_that_got_worse(read: Read) -> None:
    """Counted as failed are exactly the test images that lost alignment or became wrong."""
    found = read()
    test = found.samples[found.samples["split"] == "test"]
    lost = test["after_alignment"] < test["before_alignment"]
    became_wrong = test["before_correct"] & ~test["after_correct"]
    chosen = gallery.choose(found)
    assert chosen.counts["failed"] == (lost | became_wrong).sum() > 0
    for card in chosen.cards:
        if "failed" in card.kinds:
            assert card.alignment is not None
            assert card.alignment[1] < card.alignment[0] or card.correct == (True, False)


def test_best_and_worst_are_test_images_that_nobody_edited(read: Read) -> None:
    """The gallery's test images have no role; its edited ones have a map by the annotator."""
    for card in gallery.choose(read()).cards:
        assert ("edited" in card.kinds) == bool(card.role) == bool(card.map_edited)
        assert card.image_id.startswith("train" if card.role else "test")


def test_held_out_edits_come_first_and_every_class_has_its_turn(read: Read) -> None:
    """Of each class the images that the network never learned from are shown before the others."""
    cards = [card for card in gallery.choose(read()).cards if "edited" in card.kinds]
    assert {card.role for card in cards[:6]} == {"report"}
    assert len({card.class_name for card in cards[:6]}) == 6
    assert len(cards) == 24


def test_the_gallery_is_bounded_whatever_is_asked_for(read: Read) -> None:
    """A gallery of a million images stops at its budget, with some of each kind, and counts all."""
    counts = (("train", 240), ("val", 60), ("test", 900))
    found = gallery.choose(read(Recipe(counts=counts), report={"gallery": 1_000_000}))
    pictures = sum(len(one.image) + len(one.map_before) + len(one.map_after) for one in found.cards)
    assert pictures < gallery.MOST_BYTES
    assert len(found.cards) < found.counts["best"] == 900
    for kind, count in found.counts.items():
        assert sum(kind in card.kinds for card in found.cards) >= min(count, 40)


def test_without_masks_there_is_no_best_and_worst(read: Read) -> None:
    """Without masks failures are wrong predictions, and distances stand in for alignment."""
    found = gallery.choose(read(Recipe(masks=False)))
    assert list(found.counts) == ["edited", "failed"]
    assert all(card.correct == (True, False) for card in found.cards if "failed" in card.kinds)
    assert all(card.error for card in found.cards if "edited" in card.kinds)


def test_the_picture_of_the_first_screen_stands_in_the_middle(read: Read) -> None:
    """The typical image is held out, and as many held-out images fit better as fit worse."""
    found = read()
    card = gallery.typical(found)
    assert card is not None
    assert card.role == "report"
    edits = found.accepted[found.accepted["role"] == "report"]
    errors = gallery.edit_errors(found, edits)["after"]
    assert card.error is not None
    assert (errors < card.error[1]).sum() == (len(errors) - 1) // 2


def test_a_map_keeps_its_values() -> None:
    """A map's picture has one pixel a cell, and the cell's value as its place in the palette."""
    values = np.linspace(0, 1, 24 * 24, dtype=np.float16).reshape(24, 24)
    shown = _decoded(gallery.heat(values))
    assert shown.mode == "P"
    assert np.array_equal(np.asarray(shown), (values * 255).round().astype(np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [32, 48, 224, 900])
def test_a_picture_is_never_larger_than_asked_for(side: int, channels: int) -> None:
    """Small images stay exactly as they are, large ones are reduced; grey and colour."""
    image = np.random.default_rng(0).integers(0, 256, (side, side, channels)).astype(np.uint8)
    shown = _decoded(gallery.picture(image, 128))
    assert shown.size == (min(side, 128),) * 2
    if side <= 64:
        assert np.array_equal(np.asarray(shown).reshape(image.shape), image)


def _decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
