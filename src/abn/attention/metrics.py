"""How well attention maps lie on masks: one number an image, higher is better.

Every function takes maps, float N×h×w in [0, 1], and masks, float N×h×w in [0, 1], the share of
each cell that the object covers (``abn.attention.maps.to_grid``), and gives float N. An image
whose mask is empty on the grid has no object to lie on: its value is NaN, and a mean leaves it out.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Metric = Callable[[Tensor, Tensor], Tensor]


def iou(maps: Tensor, masks: Tensor, threshold: float = 0.5) -> Tensor:
    """Intersection over union of map > threshold with mask > 0.5 (Jaccard 1912).

    Chance: a constant map above the threshold scores the mask's area. An empty prediction scores 0.
    """
    predicted, inside = maps > threshold, masks > 0.5
    intersection = (predicted & inside).flatten(1).sum(1)
    union = (predicted | inside).flatten(1).sum(1)
    return _where_object(intersection / union.clamp_min(1), inside)


def average_precision(maps: Tensor, masks: Tensor) -> Tensor:
    """Area under precision against recall of the map as a score for mask > 0.5.

    Precision at each distinct value of the map, weighted by the recall gained there; cells of one
    value count together, so a constant map scores the mask's area, which is the chance level.
    """
    inside = masks.flatten(1) > 0.5
    scores, order = maps.flatten(1).sort(dim=1, descending=True, stable=True)
    hits = inside.gather(1, order).double().cumsum(1)
    ranks = torch.arange(1, scores.shape[1] + 1, device=maps.device, dtype=torch.float64)
    # Within a tie only the last cell's precision and recall are those of a threshold.
    last = torch.ones_like(scores, dtype=torch.bool)
    last[:, :-1] = scores[:, 1:] != scores[:, :-1]
    recall = torch.where(last, hits, 0.0).cummax(1).values
    gained = torch.diff(recall, dim=1, prepend=torch.zeros_like(recall[:, :1]))
    total = inside.sum(1).clamp_min(1)
    return _where_object(((hits / ranks) * gained).sum(1) / total, inside).float()


def energy_inside(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of the map's mass inside the mask: ΣM·mask / ΣM.

    The energy-based pointing game (Wang et al. 2020, arXiv:1910.01279), relevance mass accuracy
    (Arras et al. 2022, doi:10.1016/j.inffus.2021.11.008). Chance: the mask's area. A map of
    zeros scores 0.
    """
    inside = (maps * masks).flatten(1).sum(1)
    mass = maps.flatten(1).sum(1)
    return _where_object(inside / mass.clamp_min(1e-12), masks > 0.5)


def pointing_game(maps: Tensor, masks: Tensor) -> Tensor:
    """Chance that a random one of the map's maxima lies in the mask (Zhang et al. 2018).

    doi:10.1007/s11263-017-1059-x. Ties share the hit, so a constant map scores the mask's area.
    """
    flat = maps.flatten(1)
    top = flat == flat.amax(1, keepdim=True)
    inside = masks.flatten(1) > 0.5
    return _where_object((top & inside).sum(1) / top.sum(1), inside)


def contrast(maps: Tensor, masks: Tensor) -> Tensor:
    """Mean of the map inside the mask minus its mean outside; chance 0, best 1.

    Where the mask covers the whole grid there is no outside: NaN.
    """
    inside = (masks > 0.5).flatten(1).float()
    outside = 1 - inside
    flat = maps.flatten(1)
    within: Tensor = (flat * inside).sum(1) / inside.sum(1)
    return within - (flat * outside).sum(1) / outside.sum(1)


METRICS: dict[str, Metric] = {
    "iou": iou,
    "average_precision": average_precision,
    "energy_inside": energy_inside,
    "pointing_game": pointing_game,
    "contrast": contrast,
}


def summary(maps: Tensor, masks: Tensor) -> dict[str, float]:
    """Give the mean of every metric over the images that have a value."""
    return {
        name: value
        for name, metric in METRICS.items()
        if not math.isnan(value := metric(maps, masks).nanmean().item())
    }


def best_constant_map(masks: Tensor) -> Tensor:
    """Give the one map h×w, of 0 and 1, with the highest mean IoU over ``masks`` for all images.

    Sought among the level sets of the masks' mean, which hold the best map where cells matter by
    how often they are covered; the honest bar where objects lie at the same place.
    """
    mean = masks.mean(0)
    candidates: list[Tensor] = [(mean > level).float() for level in torch.linspace(0.02, 0.98, 49)]
    scores = [iou(c.expand_as(masks), masks).nanmean().nan_to_num() for c in candidates]
    return candidates[int(torch.stack(scores).argmax())]


def class_mean_masks(masks: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Give for each class the best constant map of its masks: K×h×w of 0 and 1."""
    of_class = [masks[labels == k] for k in range(classes)]
    empty = torch.zeros_like(masks[0])
    return torch.stack([best_constant_map(m) if len(m) else empty for m in of_class])


def _where_object(values: Tensor, inside: Tensor) -> Tensor:
    known: Tensor = values.where(inside.flatten(1).any(1), torch.nan)
    return known
