"""The sources by the name that params.yaml calls them."""

from dataclasses import replace

from abn.data.source import Source
from abn.data.sources import (
    csv_manifest,
    cub_200_2011,
    fashion_mnist,
    image_folder,
    oxford_iiit_pet,
)
from abn.params import Data

SOURCES = {
    "fashion_mnist": fashion_mnist.open_source,
    "image_folder": image_folder.open_source,
    "oxford_iiit_pet": oxford_iiit_pet.open_source,
    "cub_200_2011": cub_200_2011.open_source,
    "csv": csv_manifest.open_source,
}


def open_source(data: Data, seed: int) -> Source:
    """Open the source that ``data.source`` names, its masks withheld if ``data.masks`` is false."""
    source = SOURCES[data.source](data, seed)
    if data.masks or not source.has_masks:
        return source
    samples = (sample._replace(mask=None) for sample in source.samples)
    return replace(source, has_masks=False, samples=samples)
