import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from abn.params import Params
from abn.training import objective
from tests.conftest import changed

UNIT = st.floats(0, 1, width=32)
PAIRS = arrays.arrays(np.float32, (2, 3, 4, 4), elements=UNIT)


def _slow(name: str, maps: Any, targets: Any, low: float, high: float) -> float:
    """Each loss written again, cell by cell."""
    edge = objective.EDGE
    images = []
    for image, target in zip(maps.tolist(), targets.tolist(), strict=True):
        cells = [
            (m, t) for rows in zip(image, target, strict=True) for m, t in zip(*rows, strict=True)
        ]
        if name == "l2":
            images.append(math.sqrt(sum((m - t) ** 2 for m, t in cells)))
        elif name == "dice":
            over = 2 * sum(m * t for m, t in cells)
            images.append(1 - over / max(sum(m * m + t * t for m, t in cells), edge))
        else:
            images.append(sum(_cell(name, m, t, edge, low, high) for m, t in cells) / len(cells))
    return sum(images) / len(images)


def _cell(name: str, m: float, t: float, edge: float, low: float, high: float) -> float:
    def inside(value: float) -> float:
        return min(max(value, edge), 1 - edge)

    def logit(value: float) -> float:
        return math.log(inside(value) / (1 - inside(value)))

    if name == "mse":
        return (m - t) ** 2
    if name == "logit_mse":
        return (logit(m) - logit(t)) ** 2
    if name == "bce":
        return -t * math.log(inside(m)) - (1 - t) * math.log(1 - inside(m))
    return t * max(high - m, 0) ** 2 + (1 - t) * max(m - low, 0) ** 2


@pytest.mark.parametrize("name", ["mse", "l2", "logit_mse", "bce", "dice", "hinge"])
@given(pair=PAIRS)
def test_each_loss_is_what_its_formula_says(default_params: Params, name: str, pair: Any) -> None:
    """For any maps and targets, against the formula written out."""
    some = {"recipes": {"paper": {"loss": name, "margin": [0.2, 0.7]}}}
    recipe = changed(default_params, finetune=some).finetune.recipes["paper"]
    maps, targets = torch.from_numpy(pair)
    found = objective.attention_loss(recipe)(maps, targets).item()
    assert found == pytest.approx(_slow(name, maps, targets, 0.2, 0.7), rel=1e-3, abs=1e-4)


def test_the_hinge_leaves_a_map_within_its_margins_alone() -> None:
    """No gradient where the map is high enough inside and low enough outside."""
    maps = torch.tensor([[[0.8, 0.1], [0.75, 0.2]]], requires_grad=True)
    targets = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    loss = objective.hinge(maps, targets, 0.25, 0.75)
    loss.backward()
    assert loss.item() == 0
    assert maps.grad is not None
    assert not maps.grad.any()


def test_retention_is_nothing_for_the_base_models_own_predictions() -> None:
    """And positive for others."""
    base = torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]])
    assert objective.retention(base + 7.0, base).item() == pytest.approx(0, abs=1e-6)
    assert objective.retention(base.flip(1), base).item() > 0.1
