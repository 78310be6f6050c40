"""Small stand-ins for photographs: a bright shape on a coloured, uneven ground, in any format."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from abn.data.sources.catalogue import open_source
from abn.params import Params
from tests.conftest import changed

ORIENTATION = 0x0112
KINDS: dict[str, Callable[[Image.Image, Path], None]] = {
    "jpeg": lambda image, path: image.convert("RGB").save(path.with_suffix(".jpg"), quality=92),
    "png": lambda image, path: image.save(path.with_suffix(".png")),
    "webp": lambda image, path: image.save(path.with_suffix(".webp"), lossless=True),
    "tiff": lambda image, path: image.save(path.with_suffix(".tif")),
    "gif": lambda image, path: image.save(path.with_suffix(".gif")),
    "grey": lambda image, path: image.convert("L").save(path.with_suffix(".png")),
    "palette": lambda image, path: image.convert("P").save(path.with_suffix(".png")),
    "cmyk": lambda image, path: image.convert("CMYK").save(path.with_suffix(".jpg"), quality=92),
    "sixteen": lambda image, path: Image.fromarray(
        np.asarray(image.convert("L")).astype(np.uint16) * 257
    ).save(path.with_suffix(".png")),
}


def photograph(
    random: np.random.Generator, width: int, height: int, kind: int
) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Draw a disc, a square or a cross, by ``kind``; give RGB and the object's H×W of 0 and 1."""
    y, x = np.mgrid[:height, :width]
    radius = 0.22 * min(width, height)
    centre = random.uniform(0.35, 0.65, 2) * (height, width)
    down, across = np.abs(y - centre[0]), np.abs(x - centre[1])
    inside = (
        np.hypot(down, across) < radius,
        np.maximum(down, across) < radius,
        (np.minimum(down, across) < radius / 3) & (np.maximum(down, across) < radius),
    )[kind % 3]
    ground = random.integers(20, 130, (2, 2, 3)).astype(np.uint8)
    image = np.array(Image.fromarray(ground).resize((width, height), Image.Resampling.BICUBIC))
    image[inside] = (230, 190, 60 + 40 * (kind % 3))
    noise = random.integers(0, 20, image.shape)
    return Image.fromarray((image + noise).clip(0, 255).astype(np.uint8)), inside.astype(np.uint8)


def with_alpha(image: Image.Image, mask: NDArray[np.uint8]) -> Image.Image:
    """Give RGBA whose alpha channel is the mask, the colours below it as they were."""
    image = image.copy()
    image.putalpha(Image.fromarray(mask * np.uint8(255)))
    return image


def broken(folder: Path) -> list[str]:
    """Write an empty file, a text, and half a JPEG and half a PNG; give their names."""
    image, _ = photograph(np.random.default_rng(99), 90, 80, 0)
    whole = {suffix: folder / f"whole{suffix}" for suffix in (".jpg", ".png")}
    for path in whole.values():
        image.save(path)
    (folder / "b_empty.jpg").touch()
    (folder / "b_text.png").write_text("no image")
    for suffix, path in whole.items():
        content = path.read_bytes()
        (folder / f"b_half{suffix}").write_bytes(content[: len(content) // 2])
        path.unlink()
    return ["b_empty.jpg", "b_half.jpg", "b_half.png", "b_text.png"]


def params(base: Params, root: Path, source: str, **data: Any) -> Params:
    """Give params of a source at ``root``: 24 pixels, 60 % to train, the rest halved."""
    splits = {"train": None, "val": 0.2, "test": 0.2}
    common = {"source": source, "root": str(root), "image_size": 24, "splits": splits}
    sections = {
        name: base.data.model_dump()[name] | values if isinstance(values, dict) else values
        for name, values in data.items()
    }
    edits = base.edits.model_dump() | {"source": "annotations"}
    return changed(base, data=common | sections, edits=edits)


def samples(params: Params) -> tuple[list[Any], Any]:
    """Give all samples of a source, and the source."""
    source = open_source(params.data, params.seed)
    return list(source.samples), source


def folder_of_photographs(root: Path, classes: Sequence[str], each: int, largest: int) -> None:
    """Write a folder a class: alpha masks on most, many sizes and formats, some of it broken.

    Args:
        root: Where to.
        classes: Names; an object's shape and colour tell them apart.
        each: Images a class.
        largest: Longest side, pixels.
    """
    random = np.random.default_rng(11)
    for kind, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(each):
            width, height = (int(side) for side in random.integers(40, largest, 2))
            image, mask = photograph(random, width, height, kind)
            path = root / name / f"IMG_{number:04d}"
            if number % 10 < 7:
                masked = with_alpha(image, mask)
                MASKED[number % len(MASKED)](masked, path)
            else:
                list(KINDS.values())[random.integers(len(KINDS))](image, path)
    first = root / classes[0]
    broken(first)
    twin = min(first.glob("IMG_*"))
    (first / f"copy of {twin.name}").write_bytes(twin.read_bytes())


MASKED: Sequence[Callable[[Image.Image, Path], None]] = (
    lambda image, path: image.save(path.with_suffix(".png")),
    lambda image, path: image.save(path.with_suffix(".webp"), lossless=True, exact=True),
    lambda image, path: image.save(path.with_suffix(".tif"), compression="tiff_lzw"),
    lambda image, path: image.convert("LA").save(path.with_suffix(".png")),
)
