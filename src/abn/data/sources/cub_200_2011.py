"""Caltech-UCSD Birds 200-2011 (Wah et al., CNS-TR-2011-001): 200 species, boxes, segmentations.

Read as it is published, below data.root: ``CUB_200_2011/`` with ``images.txt`` (id, path below
``images/``), ``classes.txt``, ``image_class_labels.txt``, ``train_test_split.txt`` (1 is training)
and ``bounding_boxes.txt`` (id, x, y, width, height; pixels), and the separate archive's
``segmentations/``, beside it or in it: a PNG an image, bright where annotators saw the bird.
"""

from pathlib import Path

from PIL import Image

from abn.data import files, lists, masks
from abn.data.listing import Item, Listing
from abn.data.pictures import Picture
from abn.data.source import Source
from abn.errors import AbnError
from abn.params import Data

FOLDER = "CUB_200_2011"
LICENCE = "non-commercial research and education; the images are their owners'"


def open_source(data: Data, seed: int) -> Source:
    """Open the set; raise ``AbnError`` that names what is missing or malformed."""
    root = Path(data.root)
    base = Path(FOLDER) if (root / FOLDER).is_dir() else Path()
    names = dict(lists.read(root / base / "classes.txt", int, str))
    labels = {number: label for label, number in enumerate(sorted(names))}
    boxes = data.cub_200_2011.masks == "boxes"
    listing = Listing(
        name="cub_200_2011",
        licence=LICENCE,
        root=root,
        classes=[names[number].partition(".")[2].replace("_", " ") for number in labels],
        items=_items(root, base, labels, boxes),
        read_mask=_box if boxes else _segmentation,
    )
    return files.open_files(listing, data, seed)


def _items(root: Path, base: Path, labels: dict[int, int], boxes: bool) -> list[Item]:
    folder = root / base
    images = dict(lists.read(folder / "images.txt", int, str))
    classes = dict(lists.read(folder / "image_class_labels.txt", int, int))
    trained = dict(lists.read(folder / "train_test_split.txt", int, int))
    corners = lists.read(folder / "bounding_boxes.txt", int, float, float, float, float)
    box_of = {number: " ".join(map(str, box)) for number, *box in corners}
    segmentations = base / "segmentations"
    if not (root / segmentations).is_dir():
        segmentations = Path("segmentations")
    if not boxes and not (root / segmentations).is_dir():
        raise AbnError(
            f"{root / segmentations}: not found; it comes as an archive of its own "
            "(abn fetch cub_200_2011), or set data.cub_200_2011.masks: boxes"
        )
    try:
        return [
            Item(
                (base / "images" / image).as_posix(),
                labels[classes[number]],
                "train" if trained[number] else "test",
                box_of[number] if boxes else (segmentations / image).with_suffix(".png").as_posix(),
            )
            for number, image in images.items()
        ]
    except KeyError as error:
        raise AbnError(
            f"{folder}: its lists do not fit together: {error} stands in one and not in another; "
            "fetch the set anew"
        ) from None


def _segmentation(picture: Picture, root: Path, item: Item) -> Image.Image:
    grey = masks.labels(files.inside(root, item.mask), picture)
    return masks.binary(grey > 127)


def _box(picture: Picture, root: Path, item: Item) -> Image.Image:  # noqa: ARG001
    x, y, width, height = map(float, item.mask.split())
    return masks.from_box((x, y, width, height), picture)
