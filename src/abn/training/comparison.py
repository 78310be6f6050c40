"""Before and after the refinement: one table of images, and its figures by split."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from abn.attention import alignment, metrics
from abn.data.edited import Edited
from abn.data.prepared import Prepared
from abn.model.network import AttentionBranchNetwork
from abn.training.engine import Engine
from abn.training.evaluation import Predictions, predict

WHEN = ("before", "after")
KEPT = ("predicted", "confidence", "alignment")


def join(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Join the tables of ``evaluation.tabulate`` of both models.

    Returns:
        image_id, split, label, then before_ and after_ predicted, confidence and alignment, and
        branch_before_ and branch_after_ predicted and confidence.
    """
    joined = before[["image_id", "split", "label"]].copy()
    for when, table in zip(WHEN, (before, after), strict=True):
        for column in KEPT:
            joined[f"{when}_{column}"] = table[column].to_numpy()
        for column in KEPT[:2]:
            joined[f"branch_{when}_{column}"] = table[f"branch_{column}"].to_numpy()
    return joined


def summarise(
    samples: pd.DataFrame,
    maps: Mapping[str, NDArray[np.floating]],
    prepared: Prepared,
    edits: Mapping[str, Edited],
) -> dict[str, Any]:
    """Give accuracy and alignment before and after, by split, and what is free beside them.

    Edited images are left out of the training split's alignment. ``held_out`` holds the alignment
    of held-out edited images (role report) with their edited maps: all that a data set without
    masks has. ``iou_validated`` is the IoU at ``iou_threshold``, chosen for each model's maps on
    the validation split, or without masks on the edited images to choose by.
    """
    rows = {split: prepared.rows(split) for split in prepared.splits}
    edited_rows = np.concatenate([some.rows for some in edits.values()])
    rows["train"] = np.setdiff1d(rows["train"], edited_rows)
    result: dict[str, Any] = {when: {} for when in WHEN}
    for when in WHEN:
        threshold = _threshold(maps[when], prepared, edits["choose"])
        for split, some in rows.items():
            table = samples.iloc[some]
            result[when][split] = _accuracy(table, when)
            if prepared.masks is not None:
                values = alignment.by_image(maps[when], prepared.masks, some, threshold)
                result[when][split] |= alignment.means(values) | {"iou_threshold": threshold}
        result[when]["held_out"] = _against_edits(maps[when], edits["report"], threshold)
    result["attention_mse"] = {
        when: {
            role: float(np.mean((maps[when][some.rows].astype(np.float32) - some.targets) ** 2))
            for role, some in edits.items()
            if len(some.rows)
        }
        for when in WHEN
    }
    if prepared.masks is not None:
        grid = maps["before"].shape[1:]
        result["baselines"] = alignment.baselines(
            prepared.masks,
            prepared.labels,
            prepared.rows("train"),
            rows,
            grid,  # type: ignore[arg-type]
        )
    return result


def measure(
    networks: Mapping[str, AttentionBranchNetwork], prepared: Prepared, engine: Engine
) -> dict[str, dict[str, dict[str, float]]]:
    """Give accuracy and alignment of each network on the splits that nothing is chosen by."""
    splits = [split for split in prepared.splits if split.startswith("test")]
    return {
        name: {
            split: _measure(
                predict(network, prepared, prepared.rows(split), engine, f"{name} on {split}"),
                prepared,
            )
            for split in splits
        }
        for name, network in networks.items()
    }


def _measure(found: Iterable[Predictions], prepared: Prepared) -> dict[str, float]:
    pieces = [_measure_images(one, prepared) for one in found]
    return alignment.means({name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]})


def _measure_images(found: Predictions, prepared: Prepared) -> dict[str, NDArray[np.float32]]:
    labels = prepared.labels[found.rows]
    heads = {"accuracy": found.probabilities, "branch_accuracy": found.branch_probabilities}
    measured = {
        name: (probabilities.argmax(1) == labels).astype(np.float32)
        for name, probabilities in heads.items()
    }
    if prepared.masks is not None:
        everything = np.arange(len(found.rows))
        measured |= alignment.by_image(found.maps, prepared.masks[found.rows], everything)
    return measured


def _accuracy(table: pd.DataFrame, when: str) -> dict[str, float]:
    return {
        "accuracy": float((table[f"{when}_predicted"] == table["label"]).mean()),
        "branch_accuracy": float((table[f"branch_{when}_predicted"] == table["label"]).mean()),
    }


def _threshold(maps: NDArray[np.floating], prepared: Prepared, choose: Edited) -> float:
    if prepared.masks is not None:
        return alignment.validated_threshold(maps, prepared.masks, prepared.rows("val"))
    by_threshold = metrics.iou_by_threshold(*_pairs(maps, choose))
    return metrics.best_threshold(by_threshold.nanmean(0))


def _against_edits(
    maps: NDArray[np.floating], edited: Edited, threshold: float
) -> dict[str, float]:
    if not len(edited.rows):
        return {}
    return metrics.summary(*_pairs(maps, edited), threshold) | {"iou_threshold": threshold}


def _pairs(maps: NDArray[np.floating], edited: Edited) -> tuple[Tensor, Tensor]:
    found = torch.from_numpy(maps[edited.rows].astype(np.float32))
    return found, torch.from_numpy(edited.targets)
