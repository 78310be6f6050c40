"""How well attention maps lie on masks: one number an image, higher is better.

Every function takes maps, float32 N×h×w in [0, 1], and masks, float32 N×h×w in [0, 1], the share
of each cell that the object covers (``abn.attention.maps.to_grid``), and gives float32 N. A cell
is inside where the mask is above 0.5. Everywhere:

- An image whose mask is empty on the grid has no object to lie on: NaN, which a mean leaves out.
- Cells of one value count as if a draw decided their order (its mean), so that a constant map
  gains nothing by the order in which cells are stored.
- Area means the share of cells inside, or for the energies, which weigh by the mask, its mean.
- No value is infinite, and none but the named ones is NaN.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

Metric = Callable[[Tensor, Tensor], Tensor]

THRESHOLDS = tuple(percent / 100 for percent in range(1, 100))
"""Among which the validated threshold is sought; finer ones differ by less than images do."""


def iou(maps: Tensor, masks: Tensor, threshold: float = 0.5) -> Tensor:
    """Intersection over union of map > threshold with the mask (Jaccard 1912).

    doi:10.1111/j.1469-8137.1912.tb05611.x. In [0, 1]. Chance: a constant map scores the mask's
    area where it is above the threshold, and 0, as every empty prediction, where it is not. Full
    mask: the share of cells above the threshold.
    """
    predicted, inside = (maps > threshold).flatten(1), _inside(masks)
    intersection = (predicted & inside).sum(1)
    union = predicted.sum(1) + inside.sum(1) - intersection
    return _where_object(intersection / union.clamp_min(1), inside.any(1))


def average_precision(maps: Tensor, masks: Tensor) -> Tensor:
    """Area under precision against recall of the map as a score for the mask, without a threshold.

    Σ (recall_k − recall_k−1) · precision_k over the distinct values of the map (Everingham et al.
    2010, doi:10.1007/s11263-009-0275-4, without their interpolation). In (0, 1]. Chance: the
    mask's area, which is what a constant map scores; n cells in random order score up to
    (1 + ln n) / n more (Bestgen 2015). Full mask: 1.
    """
    return _average_precision(rank(maps, masks))


def relevance_rank_accuracy(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of the K highest cells that lie inside, K the number of cells inside.

    Arras et al. 2022, doi:10.1016/j.inffus.2021.11.008. In [0, 1]. Chance: the mask's area, which
    is what a constant map scores. Full mask: 1.
    """
    return _relevance_rank_accuracy(rank(maps, masks))


def pointing_game(maps: Tensor, masks: Tensor) -> Tensor:
    """Chance that a random one of the map's maxima lies inside.

    Zhang et al. 2018, doi:10.1007/s11263-017-1059-x, without their tolerance of 15 pixels. In
    [0, 1]. Chance: the mask's area, which is what a constant map scores. Full mask: 1.
    """
    return _pointing_game(rank(maps, masks))


def energy_inside(maps: Tensor, masks: Tensor) -> Tensor:
    """Share of the map's mass inside the mask: ΣM·mask / ΣM.

    The energy-based pointing game (Wang et al. 2020, arXiv:1910.01279), relevance mass accuracy
    (Arras et al. 2022, doi:10.1016/j.inffus.2021.11.008). In [0, 1]. Chance: the mask's area,
    which is what a constant map scores, and by which a sigmoid's floor pulls every map. Full
    mask: 1. A map of zeros: 0.
    """
    mass = maps.flatten(1).sum(1)
    inside = (maps * masks).flatten(1).sum(1) / mass
    return _where_object(inside.where(mass > 0, 0.0), _inside(masks).any(1))


def energy_inside_above_floor(maps: Tensor, masks: Tensor) -> Tensor:
    """Share inside the mask of the map's mass above its own minimum: of Σ(M − min M).

    What the energy says without a sigmoid's floor. In [0, 1]. Chance: the mask's area, the mean
    over maps of independent cells. Full mask: 1. A constant map, which points nowhere: 0, not
    NaN, or a mean would leave out a network's worst images.
    """
    return energy_inside(maps - maps.amin((1, 2), keepdim=True), masks)


def energy_over_chance(maps: Tensor, masks: Tensor) -> Tensor:
    """``energy_inside`` over its chance level, the mask's area: how many times more than by chance.

    In [0, 1 / area]; a mean over images is therefore ruled by small objects. Chance: 1, which is
    what a constant map scores. Full mask: 1. A map of zeros: 0.
    """
    area = masks.mean((1, 2))
    return energy_inside(maps, masks) / area


def contrast(maps: Tensor, masks: Tensor) -> Tensor:
    """Mean of the map inside the mask minus its mean outside.

    In [−1, 1]. Chance: 0, which is what a constant map scores up to rounding. Full mask: NaN,
    there is no outside.
    """
    inside = _inside(masks)
    count, flat = inside.sum(1), maps.flatten(1)
    within = flat.where(inside, 0.0).sum(1) / count
    return within - flat.where(~inside, 0.0).sum(1) / (inside.shape[1] - count)


METRICS: dict[str, Metric] = {
    "iou": iou,
    "average_precision": average_precision,
    "relevance_rank_accuracy": relevance_rank_accuracy,
    "pointing_game": pointing_game,
    "energy_inside": energy_inside,
    "energy_inside_above_floor": energy_inside_above_floor,
    "energy_over_chance": energy_over_chance,
    "contrast": contrast,
}


class Ranking(NamedTuple):
    """The cells of each image by falling value of its map, and what they hit."""

    levels: Tensor
    """int32 N×hw, rising: minus the bits of the values, which order as values do from 0 on."""
    hits: Tensor
    """int32 N×(hw + 1): how many of the first k cells lie inside."""

    @property
    def total(self) -> Tensor:
        """Cells inside: N×1."""
        return self.hits[:, -1:]

    def above(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Give how many cells lie above each of some levels N×T, and how many of them inside."""
        return self._upto(torch.searchsorted(self.levels, levels))

    def from_(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """The same of the cells above or at the levels."""
        return self._upto(torch.searchsorted(self.levels, levels, right=True))

    def _upto(self, count: Tensor) -> tuple[Tensor, Tensor]:
        return count, self.hits.gather(1, count)


def rank(maps: Tensor, masks: Tensor) -> Ranking:
    """Rank the cells of maps in [0, 1].

    A cell's sort key is its level with, as the lowest bit, whether it lies outside: sorting bare
    numbers takes a fraction of sorting values and carrying their places along.
    """
    keys = 2 * _level(maps.flatten(1)) + ~_inside(masks)
    # numpy's sort on a processor is vectorised, torch's is not: a tenth of the time.
    on_cpu = keys.device.type == "cpu"
    ordered = torch.from_numpy(np.sort(keys.numpy())) if on_cpu else keys.sort(1).values
    hits = (1 - (ordered & 1)).cumsum(1, dtype=torch.int32)
    return Ranking(ordered >> 1, pad(hits, (1, 0)))


def measure(maps: Tensor, masks: Tensor, threshold: float | None = None) -> dict[str, Tensor]:
    """Give every metric of every image, sorting its cells only once.

    Args:
        maps: float32 N×h×w in [0, 1].
        masks: float32 N×h×w in [0, 1].
        threshold: ``best_threshold`` of validation; adds ``iou_validated``, the IoU at it.
    """
    ranking = rank(maps, masks)
    found = {
        name: _OF_RANKING[name](ranking) if name in _OF_RANKING else metric(maps, masks)
        for name, metric in METRICS.items()
    }
    if threshold is not None:
        found["iou_validated"] = _iou(ranking, [threshold])[:, 0]
    return found


def summary(maps: Tensor, masks: Tensor, threshold: float | None = None) -> dict[str, float]:
    """Give the mean of every metric (``measure``) over the images that have a value.

    A metric that no image has, as where all masks are empty, is left out.
    """
    means = {name: v.nanmean().item() for name, v in measure(maps, masks, threshold).items()}
    return {name: value for name, value in means.items() if value == value}  # noqa: PLR0124 (not NaN)


def iou_by_threshold(maps: Tensor, masks: Tensor) -> Tensor:
    """Give ``iou`` at each of ``THRESHOLDS``: float32 N×99."""
    return _iou(rank(maps, masks), THRESHOLDS)


def best_threshold(mean_iou: Tensor) -> float:
    """Choose a threshold by the mean IoU at each of ``THRESHOLDS`` over the validation images.

    The highest, and of several the one next to 0.5; 0.5 where no image has a value (NaN).
    """
    reached = mean_iou.nan_to_num().tolist()
    best = [t for t, one in zip(THRESHOLDS, reached, strict=True) if one == max(reached)]
    return min(best, key=lambda threshold: abs(threshold - 0.5))


def _iou(ranking: Ranking, thresholds: Sequence[float]) -> Tensor:
    levels = _level(torch.tensor(thresholds, device=ranking.levels.device))
    predicted, intersection = ranking.above(levels.repeat(len(ranking.levels), 1))
    union = (predicted + ranking.total - intersection).clamp_min(1)
    return _where_object(intersection / union, ranking.total > 0)


def _average_precision(ranking: Ranking) -> Tensor:
    hits = ranking.hits[:, 1:]
    counts = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    # Within a tie only the last cell's precision and recall are those of a threshold.
    last = torch.ones_like(hits, dtype=torch.bool)
    last[:, :-1] = ranking.levels[:, 1:] != ranking.levels[:, :-1]
    found = hits.where(last, 0).cummax(1).values
    gained = torch.diff(found, dim=1, prepend=torch.zeros_like(found[:, :1]))
    area = (hits / counts * gained).sum(1) / ranking.total[:, 0]
    return _where_object(area, ranking.total[:, 0] > 0)


def _relevance_rank_accuracy(ranking: Ranking) -> Tensor:
    edge = ranking.levels.gather(1, (ranking.total - 1).clamp_min(0).long())
    (above, hits), (upto, hits_upto) = ranking.above(edge), ranking.from_(edge)
    # Of the cells at the edge as many are drawn as are left to fill.
    drawn = (ranking.total - above) / (upto - above)
    share = (hits + drawn * (hits_upto - hits)) / ranking.total
    return _where_object(share, ranking.total > 0)[:, 0]


def _pointing_game(ranking: Ranking) -> Tensor:
    maxima, hits = ranking.from_(ranking.levels[:, :1].contiguous())
    return _where_object(hits / maxima, ranking.total > 0)[:, 0]


def _level(values: Tensor) -> Tensor:
    # + 0.0 turns −0 into 0: the bits of −0 are the lowest integer, which has no negative.
    return -(values.float() + 0.0).view(torch.int32)


def _inside(masks: Tensor) -> Tensor:
    return masks.flatten(1) > 0.5


def _where_object(values: Tensor, has_object: Tensor) -> Tensor:
    known: Tensor = values.where(has_object, torch.nan)
    return known


_OF_RANKING: dict[str, Callable[[Ranking], Tensor]] = {
    "iou": lambda ranking: _iou(ranking, [0.5])[:, 0],
    "average_precision": _average_precision,
    "relevance_rank_accuracy": _relevance_rank_accuracy,
    "pointing_game": _pointing_game,
}
