"""The table of all images and the file of all maps that a network gives."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from abn.attention import metrics
from abn.attention.maps import to_grid
from abn.data import arrays
from abn.data.prepared import Prepared
from abn.model.network import AttentionBranchNetwork
from abn.training.engine import Engine
from abn.training.evaluation import Predictions, predict


def tabulate(
    network: AttentionBranchNetwork,
    prepared: Prepared,
    engine: Engine,
    maps_file: Path,
) -> pd.DataFrame:
    """Classify every image of the prepared set and write every map.

    Args:
        network: The network.
        prepared: The images.
        engine: Where to compute.
        maps_file: Gets float16 N×h×w, the rows of the manifest.

    Returns:
        A row an image, in the manifest's order: image_id, split, label, class_name; predicted,
        confidence, correct, and branch_predicted, branch_confidence of the attention branch's
        class head; alignment: IoU with the mask, NaN where there is none.
    """
    rows = np.arange(len(prepared.manifest))
    pieces = []
    maps = None
    for found in predict(network, prepared, rows, engine, "attention maps"):
        if maps is None:
            shape = (len(rows), *found.maps.shape[1:])
            maps = arrays.create(maps_file, shape, np.float16)
        maps[found.rows] = found.maps
        pieces.append(_describe(found, prepared))
    table = pd.concat(pieces, ignore_index=True)
    known = prepared.manifest[["image_id", "split", "label", "class_name"]]
    table = pd.concat([known, table], axis=1)
    table.insert(6, "correct", (table["predicted"] == table["label"]).astype(int))
    return table


def _describe(found: Predictions, prepared: Prepared) -> pd.DataFrame:
    maps = torch.from_numpy(found.maps)
    alignment = np.full(len(maps), np.nan, np.float32)
    if prepared.masks is not None:
        masks = to_grid(prepared.masks[found.rows], found.maps.shape[1:])  # type: ignore[arg-type]
        alignment = metrics.iou(maps, masks).numpy()
    return pd.DataFrame(
        {
            "predicted": found.probabilities.argmax(1),
            "confidence": found.probabilities.max(1),
            "branch_predicted": found.branch_probabilities.argmax(1),
            "branch_confidence": found.branch_probabilities.max(1),
            "alignment": alignment,
        }
    )
