"""Which stand-in for alignment finds badly aligned maps where there are no masks?

Compares, on the training split of a prepared set with masks, what could be sorted by without them:
the map's disagreement with the perception branch's gradients (what the pipeline takes), its spread
(entropy), its mean, and the network's doubt. For each: Spearman's rank correlation with 1 − IoU
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

from abn import params, paths
from abn.attention import metrics
from abn.attention.maps import coverage
from abn.data import prepared
from abn.data.loading import batch, chunks
from abn.data.prepared import Prepared
from abn.model import checkpoint
from abn.model.network import AttentionBranchNetwork
from abn.training import engine
from abn.training.engine import Engine
from abn.training.saliency import disagreement

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
    with torch.inference_mode():
        outputs = network(batch(data, rows, machine.device))
    masks = coverage(data.masks, rows, tuple(outputs.maps.shape[1:]))
    mass = outputs.maps.flatten(1) / outputs.maps.sum((1, 2))[:, None]
    labels = torch.from_numpy(data.labels[rows])
    return {
        "masks": (1 - metrics.iou(outputs.maps, masks)).numpy(),
        "disagreement": disagreement(network, data, rows, machine),
        "spread": -(mass * mass.log()).sum(1).numpy(),
        "mean": outputs.maps.mean((1, 2)).numpy(),
        "doubt": 1 - outputs.perception_logits.softmax(1).amax(1).numpy(),
        "correct": (outputs.perception_logits.argmax(1) == labels).numpy().astype(np.float32),
    }


if __name__ == "__main__":
    main()
