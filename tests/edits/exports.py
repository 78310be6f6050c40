"""Exports as Label Studio writes them, for small canvases: a map of 4×4 on 16×16 pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from abn.edits import brush_rle, interface

GRID = 4
SIDE = 16


def painted(*rows: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Give a canvas on which bands (first row, last row, value) are painted."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    for first, last, value in rows:
        canvas[first : last + 1] = value
    return canvas


def brush(canvas: NDArray[np.uint8], **changes: Any) -> dict[str, Any]:
    """Give a brush region as a person leaves it."""
    region = interface.brush_region("r1", brush_rle.encode(canvas), SIDE)
    return {**region, "origin": "manual", **changes}


def shape(kind: str, **value: Any) -> dict[str, Any]:
    """Give a region drawn with another tool."""
    return {
        "id": "r2",
        "type": f"{kind}labels",
        "from_name": kind,
        "to_name": "image",
        "original_width": SIDE,
        "original_height": SIDE,
        "image_rotation": 0,
        "value": {**value, f"{kind}labels": ["Attention"]},
    }


def choice(name: str = interface.FINE) -> dict[str, Any]:
    """Give the verdict."""
    return {
        "id": "r3",
        "type": "choices",
        "from_name": "verdict",
        "to_name": "image",
        "value": {"choices": [name]},
    }


def annotation(*result: Any, **changes: Any) -> dict[str, Any]:
    """Give an annotation with the regions ``result``."""
    return {
        "id": 70,
        "completed_by": 3,
        "result": list(result),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-01-02T10:00:00.000000Z",
        "updated_at": "2026-01-02T10:00:30.500000Z",
        "lead_time": 12.5,
        "parent_prediction": 9,
        **changes,
    }


def task(*annotations: Any, image_id: str = "train-00001", **changes: Any) -> dict[str, Any]:
    """Give a task of an export; its prediction covers everything and must never be taken."""
    return {
        "id": 12,
        "data": {"image": f"/data/local-files/?d={image_id}.png", "image_id": image_id, "rank": 1},
        "annotations": list(annotations),
        "drafts": [{"id": 1, "result": [brush(painted((0, 15, 255)))]}],
        "predictions": [{"id": 9, "result": [brush(painted((0, 15, 255)))]}],
        "project": 1,
        **changes,
    }
