"""Maps that know no image: what alignment costs nothing to reach.

Shapes: N masks on a grid of h×w, in [0, 1]; K classes. A map is 0 or 1 in each cell.
"""

import torch
from torch import Tensor

LEVELS = torch.linspace(0.02, 0.98, 49)


def best_constant_map(masks: Tensor) -> Tensor:
    """Give the one map h×w with the highest mean IoU over ``masks`` for all images.

    Sought among the level sets of the masks' mean, which hold the best map where cells matter by
    how often they are covered; the honest bar where objects lie at the same place.
    """
    candidates = (masks.mean(0) > LEVELS.to(masks.device)[:, None, None]).float()
    cells, inside = candidates.flatten(1), (masks > 0.5).flatten(1).float()
    # Counts of cells are whole numbers: exact as a product of matrices.
    intersection = inside @ cells.T
    union = inside.sum(1, keepdim=True) + cells.sum(1) - intersection
    of_object = inside.any(1)
    scores = (intersection / union)[of_object].sum(0)
    best: Tensor = candidates[scores.argmax()]
    return best


def class_mean_masks(masks: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Give for each class the best constant map of its masks: K×h×w; zeros if it has none."""
    of_class = [masks[labels == k] for k in range(classes)]
    empty = torch.zeros_like(masks[0])
    return torch.stack([best_constant_map(m) if len(m) else empty for m in of_class])
