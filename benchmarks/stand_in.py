"""Which stand-in for alignment finds badly aligned maps where there are no masks?

Compares, on the training split of the prepared set with masks, what could be sorted by without
them: the map's spread (normalised entropy), its mean, its disagreement with the perception branch's
gradient × features, and the network's doubt. For each: Spearman's rank correlation with 1 − IoU
over correctly classified images, and the mean IoU of the 20 images of each class that it would
select, beside a random choice and the choice by the masks themselves.

Run after `dvc repro export_attention`: python benchmarks/stand_in.py
"""

import csv
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch.nn.functional import cosine_similarity

from abn import params, paths
from abn.attention import metrics
from abn.attention.maps import coverage, spread
from abn.data import prepared
from abn.data.loading import batch, chunks
from abn.data.prepared import Prepared
from abn.model import checkpoint
from abn.model.network import AttentionBranchNetwork
from abn.training import engine
from abn.training.engine import Engine

IMAGES = 4000
A_CLASS = 20
RESULT = Path("benchmarks/results/stand_in.csv")


def main() -> None:
    """Print the table and write it."""
    settings = params.load()
    data = prepared.load(paths.PREPARED)
    machine = engine.start(settings.runtime, settings.seed)
    network, _ = checkpoint.load(paths.MODEL)
    network = machine.place(network)
    rows = data.rows("train")[:IMAGES]
    found = [_measure(network, data, piece, machine) for piece in chunks(rows, 256)]
    scores = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    keep = (scores.pop("correct") > 0) & ~np.isnan(scores["masks"])
    classes = data.labels[rows][keep]
    scores = {name: values[keep] for name, values in scores.items()}
    bad = scores["masks"]
    random = np.random.default_rng(0)
    scores["random"] = random.random(len(bad))
    lines = [
        {
            "stand_in": name,
            "spearman": f"{spearmanr(values, bad).statistic:.3f}",
            "iou_of_selected": f"{1 - bad[_worst(values, classes)].mean():.3f}",
        }
        for name, values in scores.items()
    ]
    for line in lines:
        print("{stand_in:24} {spearman:>8} {iou_of_selected:>8}".format(**line))
    with RESULT.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _worst(values: NDArray[np.floating], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.argsort(-values, kind="stable")
    return np.concatenate([[i for i in order if classes[i] == k][:A_CLASS] for k in set(classes)])


def _measure(
    network: AttentionBranchNetwork, data: Prepared, rows: NDArray[np.int64], machine: Engine
) -> dict[str, NDArray[np.floating]]:
    with torch.no_grad():
        features = network.feature_extractor(batch(data, rows, machine.device))
        attention = network.attention_branch(features)
    features.requires_grad_(True)
    logits = network.perception_branch(features, attention.maps)
    labels = torch.from_numpy(data.labels[rows])
    logits.gather(1, labels[:, None]).sum().backward()
    saliency = (features.grad * features).sum(1).relu().detach()
    masks = coverage(data.masks, rows, tuple(attention.maps.shape[1:]))
    maps = attention.maps
    agreement = cosine_similarity(maps.flatten(1), saliency.flatten(1))
    confidence = logits.detach().softmax(1).max(1).values
    return {
        "masks": (1 - metrics.iou(maps, masks)).numpy(),
        "spread": spread(maps).numpy(),
        "mean": maps.mean((1, 2)).numpy(),
        "gradient disagreement": 1 - agreement.numpy(),
        "doubt": 1 - confidence.numpy(),
        "correct": (logits.argmax(1) == labels).numpy().astype(np.float32),
    }


if __name__ == "__main__":
    main()
