"""Predictions of a network without learning: both heads and the attention map."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from abn import progress
from abn.data.loading import batch, chunks, count
from abn.data.prepared import Prepared
from abn.model.folding import folded
from abn.model.network import AttentionBranchNetwork
from abn.training.engine import Engine


class Predictions(NamedTuple):
    """Of a batch of rows, on the CPU."""

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    """N×K, of the perception branch."""
    branch_probabilities: NDArray[np.float32]
    """N×K, of the attention branch's class head."""
    maps: NDArray[np.float32]
    """N×h×w in [0, 1]."""


class Accuracy(NamedTuple):
    """Over the images of a split."""

    accuracy: float
    """Share of images that the perception branch classifies correctly."""
    branch_accuracy: float
    """The same of the attention branch's class head."""
    loss: float
    """Cross-entropy of both heads, summed."""


def predict(
    network: AttentionBranchNetwork,
    prepared: Prepared,
    rows: NDArray[np.int64],
    engine: Engine,
    what: str | None = None,
) -> Iterator[Predictions]:
    """Run ``network`` in eval mode over ``rows``, batch by batch; ``what`` names the progress."""
    network = engine.place(folded(engine.place(network).eval()))
    pieces: Iterator[NDArray[np.int64]] = chunks(rows, engine.batch_size)
    if what:
        pieces = progress.track(pieces, what, count(rows, engine.batch_size))
    for piece in pieces:
        images = batch(prepared, piece, engine.device)
        # Not around all of it: weights laid out in inference mode would never learn again.
        with torch.inference_mode(), engine.autocast():
            outputs = network(images)
        yield Predictions(
            piece,
            outputs.perception_logits.float().softmax(1).cpu().numpy(),
            outputs.attention_logits.float().softmax(1).cpu().numpy(),
            outputs.maps.float().cpu().numpy(),
        )


def accuracy(
    network: AttentionBranchNetwork,
    prepared: Prepared,
    rows: NDArray[np.int64],
    engine: Engine,
) -> Accuracy:
    """Give accuracy and loss over ``rows``."""
    hits = branch_hits = 0
    loss = 0.0
    for found in predict(network, prepared, rows, engine):
        labels = prepared.labels[found.rows]
        at = np.arange(len(labels))
        hits += int((found.probabilities.argmax(1) == labels).sum())
        branch_hits += int((found.branch_probabilities.argmax(1) == labels).sum())
        of_label = found.probabilities[at, labels] * found.branch_probabilities[at, labels]
        loss -= float(np.log(np.maximum(of_label, 1e-30, dtype=np.float64)).sum())
    return Accuracy(hits / len(rows), branch_hits / len(rows), loss / len(rows))
