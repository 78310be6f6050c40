"""Insertion and deletion against a literal loop, and on a network that goes by one cell."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from abn.data.loading import batch
from abn.data.prepared import Prepared
from abn.model.build import Architecture, build
from abn.model.network import AttentionBranchNetwork, Outputs
from abn.training import faithfulness
from abn.training.engine import Engine

ENGINE = Engine(torch.device("cpu"), "fp32", 64)
GRID = (12, 12)


@pytest.fixture(scope="module")
def network() -> AttentionBranchNetwork:
    torch.manual_seed(4)
    return build(Architecture("resnet8", 1, 10, 1)).eval()


@pytest.fixture
def maps(tiny_set: Prepared) -> np.ndarray:
    """Maps without ties."""
    random = np.random.default_rng(1)
    orders = [random.permutation(144).reshape(GRID) for _ in tiny_set.manifest.index]
    return (np.array(orders) / 144).astype(np.float32)


def _area(
    network: nn.Module, image: Tensor, order: list[int], steps: int, *, delete: bool
) -> float:
    """One image, cell by cell, one view at a time."""
    with torch.inference_mode():
        whole = network(image[None]).perception_logits.softmax(1)[0]
        chances = []
        for step in range(steps + 1):
            view = image.clone() if delete else torch.zeros_like(image)
            for cell in order[: step * len(order) // steps]:
                y, x = 2 * (cell // GRID[1]), 2 * (cell % GRID[1])
                for i, j in ((y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)):
                    view[:, i, j] = 0 if delete else image[:, i, j]
            chance = network(view[None]).perception_logits.softmax(1)[0, whole.argmax()]
            chances.append(chance.item())
    return sum((a + b) / 2 for a, b in pairwise(chances)) / steps


def test_areas_are_those_of_a_literal_loop(
    network: AttentionBranchNetwork,
    tiny_set: Prepared,
    maps: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Batches, steps and orders at once give what each gives by itself."""
    monkeypatch.setattr(faithfulness, "IMAGES", 3)
    rows = tiny_set.rows("test")[[3, 10, 17]]
    found = faithfulness.faithfulness(network, tiny_set, maps, rows, ENGINE)
    images = batch(tiny_set, rows, ENGINE.device)
    orders = [np.argsort(-maps[row].ravel(), kind="stable").tolist() for row in rows]
    for name, turn in {"": 0, "_other_map": 1}.items():
        for kind in ("insertion", "deletion"):
            areas = [
                _area(network, image, orders[(i + turn) % 3], 8, delete=kind == "deletion")
                for i, image in enumerate(images)
            ]
            assert found[kind + name] == pytest.approx(np.mean(areas), abs=1e-5)


class _OneCell(nn.Module):
    """Sees class 1 where the pixel at (0, 0) is not the training mean, else class 0."""

    def forward(self, images: Tensor) -> Outputs:
        seen = (images[:, 0, 0, 0] != 0).float() * 40 - 20
        logits = torch.stack([-seen, seen], 1)
        return Outputs(logits, logits, images[:, 0])


def _points(tiny_set: Prepared, cell: int) -> np.ndarray:
    maps = np.zeros((len(tiny_set.manifest), 144), np.float16)
    maps[:, cell] = 1
    return maps.reshape(-1, *GRID)


def test_a_map_of_what_the_network_goes_by_suffices_and_is_needed(tiny_set: Prepared) -> None:
    """Only the first and the last step are between the best value and the measured one."""
    network, rows = _OneCell(), tiny_set.rows("test")
    found = faithfulness.faithfulness(network, tiny_set, _points(tiny_set, 0), rows, ENGINE)  # type: ignore[arg-type]
    assert found["insertion"] == pytest.approx(1 - 1 / 16, abs=1e-6)
    assert found["deletion"] == pytest.approx(1 / 16, abs=1e-6)
    assert found["insertion_random"] == pytest.approx(0.5, abs=0.1)
    assert found["insertion_other_map"] == found["insertion"]


def test_a_constant_map_is_at_chance(tiny_set: Prepared) -> None:
    """Cells of one value go in random order, so that where a cell is stored tells nothing."""
    network, rows = _OneCell(), tiny_set.rows("test")
    maps = np.full((len(tiny_set.manifest), *GRID), 0.3, np.float16)
    found = faithfulness.faithfulness(network, tiny_set, maps, rows, ENGINE)  # type: ignore[arg-type]
    assert found["insertion"] == found["insertion_random"] == pytest.approx(0.5, abs=0.1)
    assert found["deletion"] == pytest.approx(0.5, abs=0.1)


def test_it_is_the_same_each_time_and_in_any_batches(
    network: AttentionBranchNetwork, tiny_set: Prepared, maps: np.ndarray
) -> None:
    """Sampled and ordered without a clock; more images than are asked for are left out."""
    rows = tiny_set.rows("train")
    first = faithfulness.faithfulness(network, tiny_set, maps, rows, ENGINE)
    small = Engine(ENGINE.device, "fp32", 16)
    again = faithfulness.faithfulness(network, tiny_set, maps, rows, small)
    assert again == pytest.approx(first, abs=1e-5)
    assert tuple(first) == faithfulness.ORDERS
    assert faithfulness.faithfulness(network, tiny_set, maps, rows[:0], ENGINE) == {}
