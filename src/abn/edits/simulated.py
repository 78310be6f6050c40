"""A simulated annotator: paints what the masks show, erases the rest, exports as Label Studio does.

It is a stand-in for a person, so that the pipeline runs and can be tested without one; what comes
of it is always called simulated, wherever its export is taken: ``data.simulated`` says so. Its ids
and times are fixed.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from abn.edits import brush_rle
from abn.errors import AbnError
from abn.params import Simulated

TIME = "2000-01-01T00:00:00.000000Z"
ANNOTATOR = 1


def annotate(
    tasks: Iterable[dict[str, Any]],
    image_ids: Sequence[str],
    masks: NDArray[np.uint8],
    params: Simulated,
    seed: int,
    first_id: int = 1,
) -> Iterator[dict[str, Any]]:
    """Annotate tasks with pre-annotations, and give them as a Label Studio export has them.

    An image whose mask is empty is skipped, as a person would.

    Args:
        tasks: As ``abn.edits.tasks`` writes them.
        image_ids: Of each mask.
        masks: uint8 n×H×W of 0 and 1, of all images in ``tasks``.
        params: What is painted, and how precisely.
        seed: Of imprecision and shuffling.
        first_id: Of the tasks and annotations, which are numbered from there.

    Raises:
        AbnError: There is no other image whose mask could be shown.
    """
    random = np.random.default_rng(seed)
    shown = dict(zip(image_ids, _shown(len(masks), params.feedback, random), strict=True))
    for task_id, task in enumerate(tasks, start=first_id):
        mask = masks[shown[task["data"]["image_id"]]] > 0
        painted = _imprecise(mask, params.imprecision, random)
        if params.feedback == "wrong":
            painted = ~painted
        yield _annotated(task, task_id, painted, skipped=not mask.any())


def _shown(count: int, feedback: str, random: np.random.Generator) -> NDArray[np.int64]:
    """Give for each image the row of the mask that is painted on it."""
    own = np.arange(count)
    if feedback in ("right", "wrong"):
        return own
    if count < 2:
        raise AbnError(
            f"edits.simulated.feedback: {feedback} paints another image's object, and just "
            f"{count} image is selected; raise selection.budget"
        )
    circle = random.permutation(count)
    others = np.empty_like(own)
    others[circle] = np.roll(circle, 1)
    return others if feedback == "shuffled" else np.where(own % 2 == 1, others, own)


def _imprecise(
    mask: NDArray[np.bool_], imprecision: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Grow or shrink and shift what a mask shows, each by up to ``imprecision`` of the side.

    It never shrinks by more than half of its thickness, so that something is left of it.
    """
    if not imprecision:
        return mask
    reach = imprecision * max(mask.shape)
    growth, down, right = random.uniform(-reach, reach, size=3)
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    grown = outside - inside <= max(growth, -inside.max() / 2) if mask.any() else mask
    return ndimage.shift(grown, (round(down), round(right)), order=0, cval=0)  # type: ignore[no-any-return]


def _annotated(
    task: dict[str, Any], task_id: int, painted: NDArray[np.bool_], *, skipped: bool
) -> dict[str, Any]:
    """Give a task of an export: the pre-annotation painted over, erased elsewhere."""
    prediction = task["predictions"][0]
    region = prediction["result"][0]
    size = (region["original_width"], region["original_height"])
    hard = Image.fromarray(painted.astype(np.uint8) * 255)
    rle = brush_rle.encode(np.asarray(hard.resize(size, Image.Resampling.NEAREST)))
    edited = {
        **region,
        "origin": "prediction-changed",
        "value": {**region["value"], "rle": rle},
    }
    annotation = {
        "id": task_id,
        "completed_by": ANNOTATOR,
        "result": [edited],
        "was_cancelled": skipped,
        "ground_truth": False,
        "created_at": TIME,
        "updated_at": TIME,
        "lead_time": 0.0,
        "parent_prediction": task_id,
        "task": task_id,
    }
    return {
        "id": task_id,
        "data": {**task["data"], "simulated": True},
        "annotations": [annotation],
        "drafts": [],
        "predictions": [{"id": task_id, **prediction, "created_at": TIME, "task": task_id}],
        "meta": {},
        "created_at": TIME,
        "updated_at": TIME,
        "total_annotations": int(not skipped),
        "cancelled_annotations": int(skipped),
    }
