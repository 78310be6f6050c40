"""The channels before and after the refinement, side by side: a row a weight."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from abn.channels.contributions import Convolution

COLUMNS = (
    "conv", "output", "channel", "name", "weight_before", "weight_after", "folded_before",
    "folded_after", "contribution_before", "contribution_after", "change", "rank_before",
    "rank_after",
)  # fmt: skip


def bars(before: Convolution, after: Convolution) -> dict[str, NDArray[np.float64]]:
    """Give what can be read off the bars of the map's K channels.

    ``weight``: after, as it is; ``weight_size``, ``folded_size``, ``change_size``: sizes of the raw
    and of the folded weight after, and of the folded one's change.
    """
    shown = {
        "weight": after.weights,
        "weight_size": after.weights.abs(),
        "folded_size": after.folded.abs(),
        "change_size": (after.folded - before.folded).abs(),
    }
    return {name: values[0].double().numpy() for name, values in shown.items()}


def compare(
    before: Mapping[str, Convolution],
    after: Mapping[str, Convolution],
    classes: list[str],
    measured: Mapping[str, Sequence[Any]],
) -> list[dict[str, Any]]:
    """Give a row for each weight of each convolution.

    ``change`` is that of the folded weight; ranks are by the folded weight within an output, 1 the
    highest. The map's channels carry the names of the classes whose evidence they are, and what was
    measured of them by column.
    """
    rows = [
        row
        for conv in before
        for output in range(len(before[conv].weights))
        for row in _rows(conv, output, before[conv], after[conv])
    ]
    of_map = (row for row in rows if row["conv"] == "map")
    for channel, row in enumerate(of_map):
        row["name"] = classes[channel]
        row |= {column: values[channel] for column, values in measured.items()}
    return rows


def _rows(
    conv: str, output: int, before: Convolution, after: Convolution
) -> Iterator[dict[str, Any]]:
    rank_before, rank_after = _ranks(before.folded[output]), _ranks(after.folded[output])
    for channel in range(before.weights.shape[1]):
        at = (output, channel)
        yield {
            "conv": conv,
            "output": output,
            "channel": channel,
            "name": "",
            "weight_before": before.weights[at].item(),
            "weight_after": after.weights[at].item(),
            "folded_before": before.folded[at].item(),
            "folded_after": after.folded[at].item(),
            "contribution_before": before.contributions[at].item(),
            "contribution_after": after.contributions[at].item(),
            "change": (after.folded[at] - before.folded[at]).item(),
            "rank_before": rank_before[channel],
            "rank_after": rank_after[channel],
        }


def _ranks(weights: Tensor) -> list[int]:
    ranks = torch.empty(len(weights), dtype=torch.long)
    ranks[weights.argsort(descending=True, stable=True)] = torch.arange(1, len(weights) + 1)
    return [int(rank) for rank in ranks]
