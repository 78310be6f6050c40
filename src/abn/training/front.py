"""The front of accuracy against alignment, and which of its points is kept.

Guiding a model has two figures, not one (Rao et al., ICCV 2023, arXiv:2303.11932, choose on a
Pareto front too).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

Row = dict[str, float]
Weights = Mapping[str, Tensor]

COLUMNS = ("recipe", "epoch", "interpolation", "accuracy", "alignment", "chosen")
"""Of reports/plots/front.csv: a row a point of each recipe."""


class Front:
    """Points of one fine-tuning, each with its weights; the first is the base model."""

    def __init__(self, max_accuracy_drop: float) -> None:
        self.rows: list[Row] = []
        self._weights: list[Weights] = []
        self._max_drop = max_accuracy_drop

    def add(self, row: Row, weights: Weights) -> None:
        """Add a point: epoch, interpolation, and figures on validation and on edited images."""
        self.rows.append(row)
        self._weights.append(weights)

    def choose(self) -> tuple[Row, Weights, bool]:
        """Give the best aligned point within the allowed drop, and True; or the most accurate.

        The base model itself is never chosen.
        """
        lowest = self.rows[0]["val_accuracy"] - self._max_drop
        tuned = range(1, len(self.rows))
        within = [at for at in tuned if self.rows[at]["val_accuracy"] >= lowest]
        if within:
            best = max(within, key=lambda at: alignment_of(self.rows[at]))
        else:
            best = max(
                tuned,
                key=lambda at: (self.rows[at]["val_accuracy"], alignment_of(self.rows[at])),
            )
        return self.rows[best], self._weights[best], bool(within)


def table(fronts: Mapping[str, tuple[Iterable[Row], Row]]) -> Iterator[dict[str, Any]]:
    """Give the rows of front.csv from the points of each recipe and the one that was kept."""
    for recipe, (rows, kept) in fronts.items():
        for row in rows:
            yield {
                "recipe": recipe,
                "epoch": row["epoch"],
                "interpolation": row["interpolation"],
                "accuracy": row["val_accuracy"],
                "alignment": alignment_of(row),
                "chosen": int(row is kept),
            }


def alignment_of(row: Row) -> float:
    """Give what points are chosen by: IoU with the masks, or with the edited maps held out."""
    return row.get("val_iou", row.get("choose_iou", -row.get("choose_mse", math.inf)))


def interpolated(base: Weights, refined: Weights, share: float) -> dict[str, Tensor]:
    """Give base + share · (refined − base), batch norms' statistics too (Wortsman et al. 2022).

    arXiv:2109.01903. Counters, which are whole numbers, are the refined model's.
    """
    return {
        name: base[name].lerp(weight, share) if weight.is_floating_point() else weight
        for name, weight in refined.items()
    }
