"""Steps of the refinement: features from the cache, against two plainer loops.

- forward: the frozen extractor runs at each step, without gradients;
- everywhere: the whole network runs at each step with gradients everywhere, as where nothing is
  frozen (its optimiser holds the attention branch alone, so that the results can be compared).

The three take turns, step by step, on the same images in the same order, so that a machine whose
speed drifts is fair to all. Ratios are taken round by round; the table shows their median and
quartiles, and the largest difference between the branch's weights at the end.

Bias: it times steps alone. The cache has to be filled once, which costs one forward of each image.

Run: python benchmarks/cached_features.py
"""

import argparse
import copy
import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from abn import params
from abn.model.build import Architecture, build
from abn.model.network import AttentionBranchNetwork
from abn.training import engine

RESULT = Path("benchmarks/results/cached_features.csv")
LOOPS = ("cached", "forward", "everywhere")


class Case(NamedTuple):
    """A network and what it is fed."""

    backbone: str
    channels: int
    side: int
    batch_size: int
    rounds: int


CASES = (
    Case("resnet8", 1, 48, 40, 60),
    Case("torchvision/resnet50", 3, 224, 8, 8),
)


class Loop:
    """One contender: a copy of the network, its optimiser and how it takes a step."""

    def __init__(self, name: str, base: AttentionBranchNetwork, machine: engine.Engine) -> None:
        self.network = machine.place(copy.deepcopy(base)).eval()
        self.network.requires_grad_(name == "everywhere")
        branch = self.network.attention_branch.requires_grad_(True)
        branch.train()
        self.optimiser = torch.optim.AdamW(branch.parameters(), lr=1e-3, weight_decay=0.0)
        self.machine = machine
        self.step: Callable[[Tensor, Tensor, Tensor], None] = getattr(self, f"_{name}")
        self.seconds: list[float] = []

    def _cached(self, images: Tensor, features: Tensor, targets: Tensor) -> None:  # noqa: ARG002
        self._step(features, targets)

    def _forward(self, images: Tensor, features: Tensor, targets: Tensor) -> None:
        with torch.no_grad(), self.machine.autocast():
            features = self.network.feature_extractor(images)
        self._step(features, targets)

    def _step(self, features: Tensor, targets: Tensor) -> None:
        with self.machine.autocast():
            maps = self.network.attention_branch(features).maps
        loss = mse_loss(maps.float(), targets)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def _everywhere(self, images: Tensor, features: Tensor, targets: Tensor) -> None:  # noqa: ARG002
        with self.machine.autocast():
            outputs = self.network(images)
        loss = mse_loss(outputs.maps.float(), targets) + 0 * outputs.perception_logits.float().sum()
        self.network.zero_grad()
        loss.backward()
        self.optimiser.step()


def main() -> None:
    """Run every case, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    precision = parser.parse_args().precision
    runtime = params.load().runtime.model_copy(update={"precision": precision})
    machine = engine.start(runtime, 1)
    rows = [row for case in CASES for row in _run(case, machine)]
    with RESULT.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print("  ".join(f"{value}" for value in row.values()))


def _run(case: Case, machine: engine.Engine) -> list[dict[str, str]]:
    torch.manual_seed(1)
    base = build(Architecture(case.backbone, 1, 10, case.channels))
    loops = {name: Loop(name, base, machine) for name in LOOPS}
    images = torch.randn(case.batch_size, case.channels, case.side, case.side)
    images = images.to(machine.device).to(memory_format=engine.CHANNELS_LAST)
    with torch.no_grad(), machine.autocast():
        features = loops["cached"].network.feature_extractor(images).float()
    targets = torch.rand(case.batch_size, *features.shape[2:], device=machine.device)
    for turn in range(-2, case.rounds):
        for loop in loops.values():
            start = time.perf_counter()
            loop.step(images, features, targets)
            if machine.device.type == "cuda":
                torch.cuda.synchronize()
            if turn >= 0:
                loop.seconds.append(time.perf_counter() - start)
    cached = loops["cached"]
    return [
        {
            "backbone": case.backbone,
            "side": str(case.side),
            "batch_size": str(case.batch_size),
            "precision": machine.precision,
            "device": machine.device.type,
            "threads": str(torch.get_num_threads()),
            "loop": name,
            "milliseconds": f"{1000 * np.median(loop.seconds):.1f}",
            **_ratio(loop, cached),
            "largest_difference": f"{_difference(loop, cached):.1e}",
        }
        for name, loop in loops.items()
    ]


def _ratio(loop: Loop, cached: Loop) -> dict[str, str]:
    low, middle, high = np.percentile(np.array(loop.seconds) / cached.seconds, [25, 50, 75])
    return {"times": f"{middle:.2f}", "times_q25": f"{low:.2f}", "times_q75": f"{high:.2f}"}


def _difference(loop: Loop, cached: Loop) -> float:
    mine = loop.network.attention_branch.state_dict()
    others = cached.network.attention_branch.state_dict()
    return max((mine[name].float() - others[name].float()).abs().max().item() for name in mine)


if __name__ == "__main__":
    main()
