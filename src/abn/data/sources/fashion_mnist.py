"""Fashion-MNIST, its objects placed on a canvas with a decoy patch in a corner.

With the params of the published Decoy Fashion-MNIST (Ross et al. 2017, arXiv:1703.03717): centred,
a 4×4 patch in a random corner, of grey 255 − 25·label; on the shifted test set of a random class's.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from abn.data import idx, splits
from abn.data.source import Sample, Source
from abn.errors import AbnError
from abn.params import Data

CLASSES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
LICENCE = "MIT, © 2017 Zalando SE"
STREAMS = {"train": 0, "val": 0, "test": 1, "test_shifted": 2}
"""Splits cut from one file share a stream of random numbers, so that the cut moves no object."""


class _Split(NamedTuple):
    name: str
    file: str
    indices: range
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    correlation: float


class _Layout(NamedTuple):
    """Where the object and the patch of one image lie; uniform numbers from [0, 1)."""

    side: float
    x: float
    y: float
    corner: float
    misleads: float
    decoy_class: float


def open_source(data: Data, seed: int) -> Source:
    """Open the set; raise ``AbnError`` that names a missing, truncated or corrupt file."""
    found = _read_splits(data)
    return Source(
        name="fashion_mnist",
        licence=LICENCE,
        classes=CLASSES,
        channels=1,
        total=sum(len(split.indices) for split in found),
        has_masks=True,
        samples=chain.from_iterable(_compose_split(split, data, seed) for split in found),
    )


def _read_splits(data: Data) -> list[_Split]:
    train_file, train_images, train_labels = _read_pair(Path(data.root), "train")
    test_file, test_images, test_labels = _read_pair(Path(data.root), "t10k")
    sizes = data.splits
    train_total, test_total = len(train_labels), len(test_labels)
    val = splits.count(sizes.val or splits.SHARE, train_total) or 0
    train = splits.count(sizes.train, train_total) or train_total - val
    test = splits.count(sizes.test, test_total) or test_total
    for name, wanted, there in (
        ("train + val", max(train, 1) + val, train_total),
        ("test", test, test_total),
    ):
        if wanted > there:
            raise AbnError(f"data.splits: {name} asks for {wanted} images, {data.root} has {there}")
    correlation = data.decoy.correlation
    found = [
        _Split("train", train_file, range(train), train_images, train_labels, correlation),
        _Split(
            "val", train_file, range(train_total - val, train_total),
            train_images, train_labels, correlation,
        ),
        _Split("test", test_file, range(test), test_images, test_labels, correlation),
    ]  # fmt: skip
    if data.decoy.size and correlation:
        found.append(found[-1]._replace(name="test_shifted", correlation=0.0))
    return found


def _read_pair(root: Path, name: str) -> tuple[str, NDArray[np.uint8], NDArray[np.uint8]]:
    images_file = root / f"{name}-images-idx3-ubyte.gz"
    labels_file = root / f"{name}-labels-idx1-ubyte.gz"
    images, labels = idx.read(images_file, 3), idx.read(labels_file, 1)
    if len(images) != len(labels):
        raise AbnError(
            f"{images_file} has {len(images)} images, {labels_file} {len(labels)} labels"
        )
    if len(labels) and labels.max() >= len(CLASSES):
        raise AbnError(f"{labels_file}: label {labels.max()}, expected 0 to {len(CLASSES) - 1}")
    return images_file.name, images, labels


def _compose_split(split: _Split, data: Data, seed: int) -> Iterator[Sample]:
    random = np.random.default_rng([seed, STREAMS[split.name]])
    numbers = random.random((split.indices.stop, len(_Layout._fields)))
    for index in split.indices:
        label = int(split.labels[index])
        layout = _Layout(*numbers[index])
        image, mask = _compose(split.images[index], label, layout, data, split.correlation)
        yield Sample(
            f"{split.name}-{index:05d}", split.name, label, split.file,
            split.images.shape[2], split.images.shape[1], image[..., None], mask,
        )  # fmt: skip


def _compose(
    garment: NDArray[np.uint8], label: int, layout: _Layout, data: Data, correlation: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    size = data.image_size
    low, high = data.object_size
    side = low + int(layout.side * (high - low + 1))
    free = size - side
    centred = data.placement == "centred"
    x = free // 2 if centred else int(layout.x * (free + 1))
    y = free // 2 if centred else int(layout.y * (free + 1))
    image = np.zeros((size, size), np.uint8)
    mask = np.zeros((size, size), np.uint8)
    image[y : y + side, x : x + side] = _resize(garment, side)
    mask[y : y + side, x : x + side] = _resize((garment > 0) * np.uint8(255), side) > 127
    if data.decoy.size:
        decoy_class = label if layout.misleads < correlation else int(layout.decoy_class * 10)
        patch = _corner(int(layout.corner * 4), data.decoy.size)
        image[patch] = 255 - 25 * decoy_class
        mask[patch] = 0
    return image, mask


def _resize(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    if image.shape == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def _corner(number: int, side: int) -> tuple[slice, slice]:
    ends = (slice(None, side), slice(-side, None))
    return ends[number // 2], ends[number % 2]
