"""What maps that know no image reach."""

import pytest
import torch
from torch import Tensor

from abn.attention import metrics
from abn.attention.baselines import best_constant_map, class_mean_masks


@pytest.fixture
def masks() -> Tensor:
    random = torch.Generator().manual_seed(3)
    often = torch.rand(7, 5, generator=random)
    return (torch.rand(60, 7, 5, generator=random) < often).float()


def test_the_best_constant_map_beats_every_level_set_of_the_mean(masks: Tensor) -> None:
    """It is the honest bar where objects lie at the same place; images without object count not."""
    masks[:20] = 0
    best = best_constant_map(masks)
    score = metrics.iou(best.expand_as(masks), masks).nanmean()
    for level in torch.linspace(0.02, 0.98, 49):
        other = (masks.mean(0) > level).float()
        assert score >= metrics.iou(other.expand_as(masks), masks).nanmean() - 1e-6


def test_class_mean_masks_are_drawn_class_by_class() -> None:
    """A class without images gets an empty map."""
    masks = torch.zeros(4, 4, 4)
    masks[:2, :2], masks[2:, 2:] = 1, 1
    found = class_mean_masks(masks, torch.tensor([0, 0, 2, 2]), 3)
    assert torch.equal(found[0], masks[0])
    assert not found[1].any()
    assert torch.equal(found[2], masks[2])
