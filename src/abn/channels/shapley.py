"""Shapley values: each channel's share in what the refinement gained (Shapley 1953).

The players are the K channels and the bias of the map's logit. A coalition's members contribute
what they do in the refined model, the others what they do in the base model; its worth is the
contrast of the map that comes of it. So no coalition is worth what the base model has, all together
what the refined model has, and the values of all players add up to the gain, image by image.

Shapes: n images, P players, M coalitions, h×w the map's grid.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from abn.channels.contributions import Decomposition

MOST_EXACT = 12
"""Channels up to which all coalitions are tried; above, random orders are."""
CELLS = 2**22
"""Map cells worked on at once: what a processor's cache holds."""

Values = NDArray[np.float64]
Worth = Callable[[NDArray[np.bool_]], Values]
"""Coalitions M×P to their worth on each image: M×n."""


class Shares(NamedTuple):
    """Shapley values in the contrast gained."""

    channels: Values
    """n×K."""
    bias: Values
    """n."""


def shares(
    base: Decomposition, refined: Decomposition, inside: Tensor, pairs: int, seed: int
) -> Shares:
    """Give the Shapley values of channels and bias on each image.

    Exact up to ``MOST_EXACT`` channels, else from ``pairs`` random orders and their reverses.

    Args:
        base: n images.
        refined: The same images.
        inside: n×h×w.
        pairs: Orders to draw where there are too many channels.
        seed: Of the orders.
    """
    channels = base.contributions.shape[1]
    worth = contrast_game(base, refined, inside)
    if channels <= MOST_EXACT:
        values = exact(worth, channels + 1)
    else:
        values = sampled(worth, channels + 1, pairs, seed)
    return Shares(values[:, :channels], values[:, channels])


def exact(worth: Worth, players: int) -> Values:
    """Give n×P Shapley values from the worth of all 2^P coalitions."""
    coalitions = (np.arange(2**players)[:, None] >> np.arange(players)) % 2 == 1
    sizes = coalitions.sum(1)
    # What p adds to S counts |S|!·(P − |S| − 1)!/P!: the share of orders in which S comes before p.
    counts = [
        math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
        for size in range(players)
    ]
    joined = np.array([0.0, *counts])[sizes]
    missing = np.array([*counts, 0.0])[sizes]
    weights = np.where(coalitions, joined[:, None], -missing[:, None])
    values: Values = (weights.T @ worth(coalitions)).T
    return values


def sampled(worth: Worth, players: int, pairs: int, seed: int) -> Values:
    """Give n×P Shapley values estimated from random orders, each with its reverse.

    The reverse makes up for much of an order's chance: antithetic sampling (Mitchell et al. 2022,
    arXiv:2104.12199). The values of an image add up to the gain exactly.
    """
    generator = np.random.default_rng(seed)
    total: Values | None = None
    for _ in range(pairs):
        order = generator.permutation(players)
        for one in (order, order[::-1]):
            # Row s: the first s players of the order have joined.
            joined = np.arange(players + 1)[:, None] > np.argsort(one)
            added = np.diff(worth(joined), axis=0)[np.argsort(one)].T
            total = added if total is None else total + added
    assert total is not None  # noqa: S101 (for the type checker: pairs is positive)
    return total / (2 * pairs)


def contrast_game(base: Decomposition, refined: Decomposition, inside: Tensor) -> Worth:
    """Give the game whose players replace their base contribution by their refined one."""
    start = base.logits.flatten(1)
    bias = (refined.bias - base.bias).expand(len(start), 1, start.shape[1])
    changes = torch.cat([(refined.contributions - base.contributions).flatten(2), bias], 1)
    within = inside.flatten(1).float()
    without = 1 - within
    weigh = within / within.sum(1, keepdim=True) - without / without.sum(1, keepdim=True)

    def worth(coalitions: NDArray[np.bool_]) -> Values:
        members = torch.from_numpy(coalitions).to(start)
        step = max(1, CELLS // (len(members) * start.shape[1]))
        found = []
        for at in range(0, max(1, len(start)), step):
            some = slice(at, at + step)
            logits = members @ changes[some] + start[some].unsqueeze(1)
            found.append((logits.sigmoid_() @ weigh[some].unsqueeze(2)).squeeze(2))
        values: Values = torch.cat(found).double().cpu().numpy().T
        return values

    return worth
