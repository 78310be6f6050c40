"""The sources by the name that params.yaml calls them."""

from dataclasses import replace

from abn.data.source import Source
from abn.data.sources import fashion_mnist
from abn.params import Data

SOURCES = {"fashion_mnist": fashion_mnist.open_source}


def open_source(data: Data, seed: int) -> Source:
    """Open the source that ``data.source`` names, its masks withheld if ``data.masks`` is false."""
    source = SOURCES[data.source](data, seed)
    if data.masks:
        return source
    samples = (sample._replace(mask=None) for sample in source.samples)
    return replace(source, has_masks=False, samples=samples)
