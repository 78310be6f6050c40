"""The images that channels are judged on: what no one edited, or what was edited and held out."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from abn.attention.maps import coverage
from abn.data.edited import Edited
from abn.data.prepared import Prepared


class HeldOut(NamedTuple):
    """M images: first the unedited test images, then, without masks, edited ones held out."""

    rows: NDArray[np.int64]
    """M, of the prepared set."""
    labels: NDArray[np.int64]
    """T, of the test images; accuracy and mean contributions are theirs."""
    judged: NDArray[np.int64]
    """J places among the M of images whose inside is known; alignment is theirs."""
    inside: Tensor
    """J×h×w bool: where an object is, or where people put the attention; never all or nothing."""
    by: str
    """What the inside was taken from: masks or edits."""


def choose(prepared: Prepared, edits: Mapping[str, Edited], images: int) -> HeldOut:
    """Choose at most ``images`` unedited test images, and what alignment is judged by.

    Masks averaged to the grid, above 0.5; where no test image has one, the edited maps, above 0.5,
    of the images that the fine-tuning did not learn from (roles choose and report).
    """
    edited = np.concatenate([some.rows for some in edits.values()])
    grid = edits["finetune"].targets.shape[1:]
    tests = np.setdiff1d(prepared.rows("test"), edited)[:images]
    if prepared.masks is not None:
        inside = coverage(prepared.masks, tests, grid) > 0.5  # type: ignore[arg-type]
        judged = _usable(inside)
        if len(judged):
            inside = inside[torch.from_numpy(judged)]
            return HeldOut(tests, prepared.labels[tests], judged, inside, "masks")
    kept_back = [edits[role] for role in ("choose", "report")]
    inside = torch.from_numpy(np.concatenate([some.targets for some in kept_back])) > 0.5
    judged = _usable(inside)
    return HeldOut(
        np.concatenate([tests, *(some.rows for some in kept_back)]),
        prepared.labels[tests],
        len(tests) + judged,
        inside[torch.from_numpy(judged)],
        "edits",
    )


def _usable(inside: Tensor) -> NDArray[np.int64]:
    """Give the places of images that have an inside and an outside."""
    flat = inside.flatten(1)
    return np.flatnonzero((flat.any(1) & ~flat.all(1)).numpy())
