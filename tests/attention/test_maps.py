import numpy as np
import torch

from abn.attention.maps import coverage, to_grid


def test_a_cell_holds_the_share_that_the_mask_covers() -> None:
    """Area average, exactly."""
    mask = np.zeros((1, 4, 4), np.uint8)
    mask[0, 0, 0] = mask[0, 2:, 2:] = 1
    assert torch.equal(to_grid(mask, (2, 2)), torch.tensor([[[0.25, 0], [0, 1.0]]]))


def test_reading_in_chunks_changes_nothing() -> None:
    """Masks may lie on the disk."""
    masks = np.random.default_rng(0).integers(0, 2, (50, 12, 12), np.uint8)
    rows = np.array([3, 40, 7, 7, 0])
    assert torch.equal(coverage(masks, rows, (6, 6), chunk=2), to_grid(masks[rows], (6, 6)))
