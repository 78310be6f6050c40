from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abn.data.source import Sample
from abn.data.sources.catalogue import open_source
from abn.data.sources.fashion_mnist import open_source as open_fashion_mnist
from abn.errors import AbnError
from abn.params import Params
from tests.conftest import ROOT, changed

Opener = Callable[..., list[Sample]]


@pytest.fixture
def samples(default_params: Params) -> Opener:
    def open_with(**data: Any) -> list[Sample]:
        small = {
            "root": str(ROOT / "data/raw/fashion_mnist"),
            "splits": {"train": 40, "val": 30, "test": 50},
        }
        params = changed(default_params, data=small | data)
        return list(open_source(params.data, params.seed).samples)

    return open_with


def test_masks_are_the_garments_own_pixels(samples: Opener) -> None:
    """Outside its mask an image is dark but for the patch."""
    for sample in samples():
        assert sample.mask is not None
        outside = sample.image[..., 0][sample.mask == 0]
        assert sample.mask.any()
        assert np.count_nonzero(outside > 127) <= 60
        assert sample.image[..., 0][sample.mask == 1].mean() > outside.mean()


def test_objects_lie_at_random_places_and_sizes(samples: Opener) -> None:
    """Position gives nothing away: the masks' centres spread over the canvas."""
    centres = np.array([np.argwhere(s.mask).mean(0) for s in samples()])
    sizes = [np.ptp(np.argwhere(s.mask), axis=0).max() + 1 for s in samples()]
    assert centres.std(0).min() > 4
    assert min(sizes) < 24
    assert max(sizes) > 32


def test_published_decoy_names_the_class_in_training_and_a_random_one_in_the_shifted_test(
    samples: Opener,
) -> None:
    """Grey 255 − 25·label in one of the four corners; random in test_shifted alone."""
    found = samples(
        image_size=32,
        placement="centred",
        object_size=[28, 28],
        decoy={"size": 4, "correlation": 1.0},
    )
    corners, shifted_right = set(), []
    for sample in found:
        image = sample.image[..., 0]
        patches = {
            corner: image[at]
            for corner, at in enumerate(np.s_[y, x] for y in np.s_[:4, -4:] for x in np.s_[:4, -4:])
        }
        own = [c for c, p in patches.items() if (p == 255 - 25 * sample.label).all()]
        if sample.split == "test_shifted":
            shifted_right.append(bool(own))
        else:
            assert own, sample.image_id
            corners |= set(own)
    assert corners == {0, 1, 2, 3}
    assert 0 <= np.mean(shifted_right) < 0.35


def test_a_patch_that_names_no_class_has_no_shifted_split(samples: Opener) -> None:
    """There is nothing to shift where the patch is a mere distractor."""
    assert {s.split for s in samples()} == {"train", "val", "test"}


def test_shifted_test_images_differ_from_the_test_images_in_nothing_but_the_layouts_draw(
    samples: Opener,
) -> None:
    """The same garments and labels, image for image."""
    found = samples(decoy={"size": 6, "correlation": 0.7})
    test = [s for s in found if s.split == "test"]
    shifted = [s for s in found if s.split == "test_shifted"]
    assert [s.label for s in test] == [s.label for s in shifted]


def test_a_longer_split_begins_with_the_shorter_one(samples: Opener) -> None:
    """More images change none of those that were there: edits stay valid."""
    short = samples(splits={"train": 10, "val": 5, "test": 5})
    long = samples(splits={"train": 30, "val": 5, "test": 5})
    for a, b in zip(short[:10], long[:10], strict=True):
        assert a.image_id == b.image_id
        assert np.array_equal(a.image, b.image)


def test_masks_can_be_withheld(default_params: Params) -> None:
    """data.masks: false makes of it a data set without masks."""
    data = {"root": str(ROOT / "data/raw/fashion_mnist"), "masks": False}
    edits = default_params.edits.model_dump() | {"source": "annotations"}
    params = changed(default_params, data=data, edits=edits)
    source = open_source(params.data, 1)
    assert not source.has_masks
    assert next(source.samples).mask is None


def test_asking_for_more_images_than_there_are_is_an_error(default_params: Params) -> None:
    """The message names the split and both numbers."""
    data = {
        "root": str(ROOT / "data/raw/fashion_mnist"),
        "splits": {"train": 14000, "val": 10, "test": 5},
    }
    params = changed(default_params, data=data)
    with pytest.raises(AbnError, match=r"train \+ val asks for 14010 images, .* has 14000"):
        open_fashion_mnist(params.data, 1)


def test_a_missing_file_of_the_set_is_named(default_params: Params, tmp_path: Path) -> None:
    """The full set is read from data.root; what is missing there is named."""
    params = changed(default_params, data={"root": str(tmp_path)})
    with pytest.raises(AbnError, match=r"train-images-idx3-ubyte\.gz: not found"):
        open_fashion_mnist(params.data, 1)
