"""Each metric against the same thing written slowly and literally, and its edge cases."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, jaccard_score
from torch import Tensor

from abn.attention import metrics

GRID = (7, 5)


@pytest.fixture
def some() -> tuple[Tensor, Tensor]:
    """Maps with ties, and masks that cover cells in part."""
    random = torch.Generator().manual_seed(3)
    maps = (torch.rand(60, *GRID, generator=random) * 8).round() / 8
    return maps, torch.rand(60, *GRID, generator=random)


def _iou(m: np.ndarray, k: np.ndarray) -> float:
    return float(jaccard_score((k > 0.5).ravel(), (m > 0.5).ravel(), zero_division=0))


def _average_precision(m: np.ndarray, k: np.ndarray) -> float:
    return float(average_precision_score((k > 0.5).ravel(), m.ravel()))


def _energy(m: np.ndarray, k: np.ndarray) -> float:
    inside = sum(m[i, j] * k[i, j] for i in range(GRID[0]) for j in range(GRID[1]))
    return float(inside / m.sum())


def _pointing(m: np.ndarray, k: np.ndarray) -> float:
    tops = [(i, j) for i in range(GRID[0]) for j in range(GRID[1]) if m[i, j] == m.max()]
    return sum(k[at] > 0.5 for at in tops) / len(tops)


def _contrast(m: np.ndarray, k: np.ndarray) -> float:
    return float(m[k > 0.5].mean() - m[k <= 0.5].mean())


ORACLES: list[tuple[str, Callable[[np.ndarray, np.ndarray], float]]] = [
    ("iou", _iou),
    ("average_precision", _average_precision),
    ("energy_inside", _energy),
    ("pointing_game", _pointing),
    ("contrast", _contrast),
]


@pytest.mark.parametrize(("name", "oracle"), ORACLES)
def test_a_metric_is_what_its_definition_says(
    name: str, oracle: Callable[[np.ndarray, np.ndarray], float], some: tuple[Tensor, Tensor]
) -> None:
    """Image by image the same as an independent implementation."""
    maps, masks = some
    expected = [oracle(m.numpy(), k.numpy()) for m, k in zip(maps, masks, strict=True)]
    assert metrics.METRICS[name](maps, masks).numpy() == pytest.approx(expected, abs=1e-6)


def test_every_metric_has_an_oracle() -> None:
    """A new metric does not go unchecked."""
    assert {name for name, _ in ORACLES} == set(metrics.METRICS)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_an_image_without_object_has_no_value_and_counts_for_nothing(
    name: str, some: tuple[Tensor, Tensor]
) -> None:
    """An empty mask is neither a hit nor a miss."""
    maps, masks = some
    masks = masks.clone()
    masks[0] = 0
    values = metrics.METRICS[name](maps, masks)
    assert values[0].isnan()
    assert not values[1:].isnan().any()
    assert metrics.summary(maps, masks)[name] == pytest.approx(values[1:].mean().item())


@pytest.mark.parametrize("name", ["iou", "average_precision", "energy_inside", "pointing_game"])
def test_a_constant_map_scores_the_masks_area_and_no_more(
    name: str, some: tuple[Tensor, Tensor]
) -> None:
    """Ties count by chance: a constant map wins no pointing game."""
    masks = (some[1] > 0.5).float()
    values = metrics.METRICS[name](torch.full_like(masks, 0.7), masks)
    assert torch.allclose(values, masks.mean((1, 2)))


@pytest.mark.parametrize("name", metrics.METRICS)
def test_the_mask_itself_scores_one(name: str, some: tuple[Tensor, Tensor]) -> None:
    """The best map there is."""
    masks = (some[1] > 0.5).float()
    assert torch.allclose(metrics.METRICS[name](masks, masks), torch.ones(len(masks)))


def test_a_map_of_zeros_has_no_energy_anywhere(some: tuple[Tensor, Tensor]) -> None:
    """Nothing divided by nothing is nothing, not NaN."""
    masks = some[1]
    assert (metrics.energy_inside(torch.zeros_like(masks), masks) == 0).all()
    assert (metrics.iou(torch.zeros_like(masks), masks) == 0).all()


def test_the_best_constant_map_beats_every_level_set_of_the_mean(
    some: tuple[Tensor, Tensor],
) -> None:
    """It is the honest bar where objects lie at the same place."""
    masks = (some[1] > 0.4).float()
    best = metrics.best_constant_map(masks)
    score = metrics.iou(best.expand_as(masks), masks).mean()
    for level in torch.linspace(0.05, 0.95, 10):
        other = (masks.mean(0) > level).float()
        assert score >= metrics.iou(other.expand_as(masks), masks).mean() - 1e-6


def test_class_mean_masks_are_drawn_class_by_class(some: tuple[Tensor, Tensor]) -> None:
    """A class without images gets an empty map."""
    masks = torch.zeros(4, 4, 4)
    masks[:2, :2], masks[2:, 2:] = 1, 1
    found = metrics.class_mean_masks(masks, torch.tensor([0, 0, 2, 2]), 3)
    assert torch.equal(found[0], masks[0])
    assert not found[1].any()
    assert torch.equal(found[2], masks[2])
