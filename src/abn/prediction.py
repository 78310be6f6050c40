"""Class, confidence and attention overlay of images from anywhere, as ``abn predict`` gives them.

An image is brought to what the network was trained on by the code that prepared its images
(``abn.data.pictures``).
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from abn import atomic, paths, progress
from abn.attention import overlays
from abn.data import pictures
from abn.data.prepared import Prepared
from abn.errors import AbnError
from abn.model.checkpoint import Card
from abn.model.network import AttentionBranchNetwork
from abn.training import evaluation
from abn.training.engine import Engine

MODELS = {"refined": paths.REFINED_MODEL, "base": paths.MODEL}
"""Models of the working tree by the name that people call them."""
REGISTERED = ("champion", "candidate")
"""Names of models that lie in the registry, of which this module knows no more."""

OVERLAY_SIDE = 512
"""Of an overlay, pixels."""
OVERLAY_SUFFIX = ".attention.png"
"""Tells overlays from images, so that they can lie beside them."""
LONGEST_STEM = 150
"""Of an overlay's name, bytes: file systems take 255, and a temporary name takes some more."""
IMAGES_AT_ONCE = 64
"""In memory with their pictures, a megabyte each; large photos briefly more."""
READERS = 4
"""Threads that decode; Pillow lets others run meanwhile."""


class Prediction(NamedTuple):
    """What the network says of one image."""

    file: Path
    class_name: str
    confidence: float
    """Probability of the class, of the perception branch."""
    overlay: Path | None


class Unreadable(NamedTuple):
    """A file that is no image, and why."""

    file: Path
    reason: str


class _Square(NamedTuple):
    """An image as the network sees it, and as people do."""

    file: Path
    pixels: NDArray[np.uint8]
    """S×S×C."""
    picture: Image.Image | None
    """RGB, the same square in its own colours."""


def model_file(name: str) -> Path:
    """Give the weights' file of a model: refined, base, or a path; ``AbnError`` if it is none."""
    path = MODELS.get(name, Path(name))
    if name not in MODELS and not path.is_file():
        names = ", ".join((*REGISTERED, *MODELS))
        raise AbnError(f"model {name}: neither a file nor one of {names}")
    return path


def find(given: Iterable[Path]) -> tuple[list[Path], list[Unreadable]]:
    """List the images to predict, each once, and what of the given leads to none.

    Args:
        given: Files, taken whatever their name; and folders, of which every file counts, at any
            depth and in alphabetical order, whose suffix says that Pillow reads it. Overlays don't.
    """
    found: dict[Path, None] = {}
    failed = []
    for path in given:
        try:
            files = _in_folder(path) if path.is_dir() else [path] if path.is_file() else []
        except OSError as error:
            failed.append(Unreadable(path, pictures.reason(error)))
            continue
        if not files:
            reason = "a folder without images" if path.is_dir() else "no such file or folder"
            failed.append(Unreadable(path, reason))
        found |= dict.fromkeys(files)
    return list(found), failed


def predict(
    network: AttentionBranchNetwork,
    card: Card,
    files: Sequence[Path],
    engine: Engine,
    out: Path | None = None,
) -> Iterator[Prediction | Unreadable]:
    """Classify images, batch by batch, in their order; write overlays to ``out`` if it is given.

    An overlay is the square that the network sees, 512×512, under its attention map.

    Raises:
        AbnError: ``out`` can't be made or written to.
    """
    if out:
        _make(out)
    names = dict(zip(files, _overlay_names(files), strict=True))
    size = min(engine.batch_size, IMAGES_AT_ONCE)
    batches = [files[start : start + size] for start in range(0, len(files), size)]
    read = partial(_read, card=card, with_picture=out is not None)
    with ThreadPoolExecutor(READERS) as pool:
        for batch in progress.track(batches, "predicting", len(batches)):
            opened = list(pool.map(read, batch))
            squares = [one for one in opened if isinstance(one, _Square)]
            predicted = iter(_classify(network, card, squares, engine))
            for one in opened:
                if isinstance(one, Unreadable):
                    yield one
                    continue
                class_name, confidence, attention = next(predicted)
                overlay = out / names[one.file] if out else None
                if overlay and one.picture:
                    _write(overlays.overlay(one.picture, attention), overlay)
                yield Prediction(one.file, class_name, confidence, overlay)


def describe(model: str, results: Iterable[Prediction | Unreadable]) -> dict[str, Any]:
    """Give predictions as JSON has them; ``model`` names the network that made them."""
    images: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    for one in results:
        if isinstance(one, Unreadable):
            unreadable.append({"file": str(one.file), "reason": one.reason})
        else:
            images.append(
                {
                    "file": str(one.file),
                    "class": one.class_name,
                    "confidence": round(one.confidence, 6),
                    "overlay": str(one.overlay) if one.overlay else None,
                }
            )
    return {"model": model, "images": images, "unreadable": unreadable}


def _in_folder(folder: Path) -> list[Path]:
    suffixes = {
        suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN
    }
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not path.name.endswith(OVERLAY_SUFFIX)
        and path.is_file()
    )


def _overlay_names(files: Iterable[Path]) -> Iterator[str]:
    """Name overlays by their images; of images from two folders the second gets a number."""
    taken: set[str] = set()
    for file in files:
        stem = os.fsencode(file.stem)[:LONGEST_STEM].decode("utf-8", "ignore")
        name, number = f"{stem}{OVERLAY_SUFFIX}", 1
        while name in taken:
            number += 1
            name = f"{stem}-{number}{OVERLAY_SUFFIX}"
        taken.add(name)
        yield name


def _read(file: Path, card: Card, with_picture: bool) -> _Square | Unreadable:
    try:
        found = pictures.read(file, card.image_size, card.alpha_is_mask)
        pixels = pictures.pixels(found, card.image_size, card.channels)
        picture = _picture(file, card) if with_picture else None
    except Exception as error:  # noqa: BLE001 (a broken file makes Pillow raise anything)
        return Unreadable(file, pictures.reason(error))
    return _Square(file, pixels, picture)


def _picture(file: Path, card: Card) -> Image.Image:
    """Read it anew: a JPEG that is decoded to another size gives other pixels."""
    found = pictures.read(file, OVERLAY_SIDE, card.alpha_is_mask)
    return pictures.square(found.image, OVERLAY_SIDE)


def _classify(
    network: AttentionBranchNetwork, card: Card, squares: Sequence[_Square], engine: Engine
) -> Iterator[tuple[str, float, NDArray[np.float32]]]:
    """Run the pipeline's own evaluation over one batch."""
    if not squares:
        return
    batch = Prepared(
        manifest=pd.DataFrame(index=range(len(squares))),
        images=np.stack([one.pixels for one in squares]),
        masks=None,
        classes=card.classes,
        mean=card.mean,
        std=card.std,
        digest="",
    )
    (found,) = evaluation.predict(network, batch, np.arange(len(squares)), engine)
    for probabilities, attention in zip(found.probabilities, found.maps, strict=True):
        best = int(probabilities.argmax())
        yield card.classes[best], float(probabilities[best]), attention


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AbnError(
            f"{folder}: {pictures.reason(error)}; name another folder for overlays"
        ) from None


def _write(picture: Image.Image, path: Path) -> None:
    try:
        with atomic.file(path) as aside:
            picture.save(aside, "PNG")
    except OSError as error:
        raise AbnError(
            f"{path}: {pictures.reason(error)}; name another folder for overlays"
        ) from None
