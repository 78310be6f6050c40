"""What Label Studio shows: each selected image on its canvas, with the map as editable brush."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from abn.edits import brush_rle, interface, targets, task_file

IMAGES = "attention/images"
"""The images' folder below data/, the root of what Label Studio serves from the disk."""


def write_tasks(
    folder: Path,
    selected: Sequence[Mapping[Any, Any]],
    images: NDArray[np.uint8],
    maps: NDArray[np.floating],
    model: str,
) -> None:
    """Write ``tasks.json``, in Label Studio's import format, and ``images/``.

    Args:
        folder: Where to; exists.
        selected: image_id, class_name, predicted, rank and, for the import to notice that an image
            has changed since, sha256 of each prepared image, worst first.
        images: uint8 n×H×W×C, C 1 or 3, the rows of ``selected``.
        maps: float n×h×h in [0, 1], the rows of ``selected``.
        model: The model's key.
    """
    side = targets.canvas_side(maps.shape[-1])
    (folder / "images").mkdir(exist_ok=True)
    for row, image in zip(selected, images, strict=True):
        _canvas_image(image, side).save(folder / f"images/{row['image_id']}.png", compress_level=1)
    task_file.write(folder / "tasks.json", _tasks(selected, maps, model))


def _tasks(
    selected: Sequence[Mapping[Any, Any]], maps: NDArray[np.floating], model: str
) -> Iterator[dict[str, Any]]:
    for place, (row, attention) in enumerate(zip(selected, maps, strict=True)):
        yield {
            "data": {
                "image": f"/data/local-files/?d={IMAGES}/{row['image_id']}.png",
                "image_id": row["image_id"],
                "class_name": row["class_name"],
                "predicted": row["predicted"],
                "model": model,
                "rank": int(row["rank"]),
                **({"sha256": row["sha256"]} if "sha256" in row else {}),
            },
            "predictions": [
                {
                    "model_version": model,
                    "score": round(place / len(selected), 6),
                    "result": [_region(row["image_id"], attention)],
                }
            ],
        }


def _region(image_id: str, attention: NDArray[np.floating]) -> dict[str, Any]:
    canvas = targets.to_canvas(attention)
    region_id = hashlib.sha256(image_id.encode()).hexdigest()[:10]
    return interface.brush_region(region_id, brush_rle.encode(canvas), len(canvas))


def _canvas_image(image: NDArray[np.uint8], side: int) -> Image.Image:
    grey = image.shape[-1] == 1
    return Image.fromarray(image[..., 0] if grey else image).resize(
        (side, side), Image.Resampling.BICUBIC
    )
