"""The Oxford-IIIT Pet data set (Parkhi et al., CVPR 2012): 37 breeds, trimaps as masks.

Read as it is published and as torchvision lays it out, below data.root or its folder
``oxford-iiit-pet``: ``images/Abyssinian_1.jpg``, ``annotations/trainval.txt`` and ``test.txt``
(lines of image, class, species, breed; numbers from 1), ``annotations/trimaps/Abyssinian_1.png``
(1 the pet, 2 the background, 3 the outline between them).
"""

from pathlib import Path

import numpy as np
from PIL import Image

from abn.data import files, lists, masks
from abn.data.listing import Item, Listing
from abn.data.pictures import Picture
from abn.data.source import Source
from abn.params import Data

FOLDER = "oxford-iiit-pet"
LICENCE = "CC BY-SA 4.0; copyright of the images remains with their owners"
LISTS = {"train": "trainval.txt", "test": "test.txt"}
PET, OUTLINE = 1, 3


def open_source(data: Data, seed: int) -> Source:
    """Open the set; raise ``AbnError`` that names a missing or malformed file."""
    root = Path(data.root)
    base = Path(FOLDER) if (root / FOLDER).is_dir() else Path()
    rows = [
        (split, image, number)
        for split, name in LISTS.items()
        for image, number, *_ in lists.read(root / base / "annotations" / name, str, int, int, int)
    ]
    breeds = {number: image.rpartition("_")[0] for _, image, number in rows}
    labels = {number: label for label, number in enumerate(sorted(breeds))}
    listing = Listing(
        name="oxford_iiit_pet",
        licence=LICENCE,
        root=root,
        classes=[breeds[number].replace("_", " ").title() for number in labels],
        items=[
            Item(
                (base / f"images/{image}.jpg").as_posix(), labels[number], split,
                (base / f"annotations/trimaps/{image}.png").as_posix(),
            )
            for split, image, number in rows
        ],
        read_mask=_pet_and_outline if data.oxford_iiit_pet.outline == "object" else _pet,
    )  # fmt: skip
    return files.open_files(listing, data, seed)


def _pet(picture: Picture, root: Path, item: Item) -> Image.Image:
    return masks.binary(masks.labels(files.inside(root, item.mask), picture) == PET)


def _pet_and_outline(picture: Picture, root: Path, item: Item) -> Image.Image:
    trimap = masks.labels(files.inside(root, item.mask), picture)
    return masks.binary(np.isin(trimap, (PET, OUTLINE)))
