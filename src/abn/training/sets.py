"""The sets of a refinement, their features computed once."""

from collections.abc import Mapping

import numpy as np
import torch

from abn.attention.maps import coverage
from abn.data.edited import Edited
from abn.data.prepared import Prepared
from abn.errors import AbnError
from abn.model.network import AttentionBranchNetwork
from abn.training.engine import Engine
from abn.training.features import cached
from abn.training.refine import EditedImages, Labelled, Sets


def load_sets(
    network: AttentionBranchNetwork,
    weights: str,
    prepared: Prepared,
    edits: Mapping[str, Edited],
    engine: Engine,
    cache_precision: str,
) -> Sets:
    """Give what a refinement learns from and chooses by.

    Args:
        network: The base model.
        weights: Digest of its weights.
        prepared: The images.
        edits: Edited images by role.
        engine: Where to compute.
        cache_precision: Number format of the kept features.

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
    validation = prepared.rows("val")
    roles = ("finetune", "choose")
    rows = np.concatenate([validation, *(edits[role].rows for role in roles)])
    features = cached(network, weights, prepared, rows, engine, cache_precision)
    start = len(validation)
    edited = {}
    for role in roles:
        edited[role] = EditedImages(features.at(start), torch.from_numpy(edits[role].targets))
        start += len(edits[role].rows)
    masks = None
    if prepared.masks is not None:
        grid = edits["finetune"].targets.shape[1:]
        masks = coverage(prepared.masks, validation, grid)  # type: ignore[arg-type]
    return Sets(
        edited["finetune"],
        edited["choose"],
        Labelled(features, prepared.labels[validation], masks),
    )
