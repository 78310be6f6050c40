"""The sets of a refinement, their features computed once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from abn.attention.maps import coverage
from abn.data.edited import Edited
from abn.data.prepared import Prepared
from abn.errors import AbnError
from abn.training.features import Features


class EditedImages(NamedTuple):
    """Images with the maps that people gave them."""

    features: Features
    labels: Tensor
    targets: Tensor
    """n×h×w in [0, 1]."""


class UneditedImages(NamedTuple):
    """Training images that nobody edited."""

    features: Features
    labels: Tensor


class Validation(NamedTuple):
    """The validation split."""

    features: Features
    labels: Tensor
    masks: Tensor | None
    """N×h×w in [0, 1], where the data set has masks."""


@dataclass(frozen=True)
class Sets:
    """What the refinement learns from and chooses by; all but features on the CPU."""

    finetune: EditedImages
    choose: EditedImages | None
    """Held out of the learning, if any are."""
    unedited: UneditedImages
    validation: Validation


def load_sets(
    prepared: Prepared,
    edits: Mapping[str, Edited],
    pool: NDArray[np.int64],
    kept: Callable[[NDArray[np.int64]], Features],
) -> Sets:
    """Give what a refinement learns from and chooses by.

    Args:
        prepared: The images.
        edits: Edited images by role.
        pool: Rows from which the unedited images come (``draw_pool``).
        kept: Gives the features of rows (``abn.training.features.cached``).

    Raises:
        AbnError: No edit to learn from, or nothing to choose by.
    """
    if not len(edits["finetune"].rows):
        raise AbnError("no accepted edit to learn from; see reports of import_edits, edits.csv")
    if prepared.masks is None and not len(edits["choose"].rows):
        raise AbnError(
            "the data set has no masks and no edited image is held out to choose by; "
            "raise selection.holdout, or edit the images whose role is choose in selection.csv"
        )
    labels = torch.tensor(prepared.labels)

    def images(edited: Edited) -> EditedImages:
        targets = torch.from_numpy(edited.targets)
        return EditedImages(kept(edited.rows), labels[edited.rows], targets)

    validation, masks = prepared.rows("val"), None
    if prepared.masks is not None:
        grid = edits["finetune"].targets.shape[1:]
        masks = coverage(prepared.masks, validation, grid)  # type: ignore[arg-type]
    return Sets(
        images(edits["finetune"]),
        images(edits["choose"]) if len(edits["choose"].rows) else None,
        _unedited(kept(pool), labels, pool, edits),
        Validation(kept(validation), labels[validation], masks),
    )


def draw_pool(prepared: Prepared, size: int, seed: int) -> NDArray[np.int64]:
    """Draw at most ``size`` training rows, edited ones among them: the same for whatever edits."""
    train = prepared.rows("train")
    return np.sort(np.random.default_rng(seed).permutation(train)[:size])


def _unedited(
    features: Features, labels: Tensor, pool: NDArray[np.int64], edits: Mapping[str, Edited]
) -> UneditedImages:
    edited = np.concatenate([some.rows for some in edits.values()])
    free = np.flatnonzero(~np.isin(pool, edited))
    return UneditedImages(features.take(free), labels[pool[free]])
