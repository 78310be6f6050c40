"""Maps that know no image: what alignment costs nothing to reach.

Shapes: N masks on a grid of h×w, in [0, 1], labels N; K classes.
"""

from collections.abc import Callable

import torch
from torch import Tensor

LEVELS = torch.linspace(0.02, 0.98, 49)


def cheap_maps(masks: Tensor, labels: Tensor, classes: int) -> dict[str, list[Tensor]]:
    """Give the candidates, each K×h×w, of what costs nothing: ``baselines`` of alignment.

    The masks' mean and its best cut: the cut has the higher IoU, energy and contrast, the mean the
    higher average precision, rank accuracy and pointing game, since it also ranks cells.
    """
    everywhere = torch.ones(classes, *masks.shape[1:])
    return {
        "uniform_map": [everywhere],
        "constant_map": [everywhere * masks.mean(0), everywhere * best_constant_map(masks)],
        "class_mean_mask": [
            _of_class(lambda some: some.mean(0), masks, labels, classes),
            class_mean_masks(masks, labels, classes),
        ],
    }


def best_constant_map(masks: Tensor) -> Tensor:
    """Give the one map h×w, of 0 and 1, with the highest mean IoU over ``masks`` for all images.

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
    return _of_class(best_constant_map, masks, labels, classes)


def _of_class(
    map_of: Callable[[Tensor], Tensor], masks: Tensor, labels: Tensor, classes: int
) -> Tensor:
    of_class = [masks[labels == k] for k in range(classes)]
    empty = torch.zeros_like(masks[0])
    return torch.stack([map_of(some) if len(some) else empty for some in of_class])
