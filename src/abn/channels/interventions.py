"""What a channel does to alignment and accuracy, by changing it alone; and why it changed.

Everything is given image by image, so that intervals can be drawn over images. The feature
extractor and the attention branch are not run again: the map's logit is a sum of contributions.

Shapes: T test images, J images whose inside is known, K channels, h×w the map's grid.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from abn.attention import metrics
from abn.channels.contributions import Decomposition, contribute
from abn.model.network import PerceptionBranch
from abn.training.engine import Engine

Values = NDArray[np.float64]


class Alignment(NamedTuple):
    """Of J maps."""

    contrast: Values
    iou: Values


class Parts(NamedTuple):
    """Why the contribution of each channel changed, inside minus outside: J×K, summing to that."""

    weight: Values
    activation: Values


def align(logits: Tensor, inside: Tensor) -> Alignment:
    """Give contrast and IoU of the maps of logits J×h×w with inside J×h×w: J each."""
    maps, masks = logits.sigmoid(), inside.float()
    return Alignment(_values(metrics.contrast(maps, masks)), _values(metrics.iou(maps, masks)))


def necessity(decomposed: Decomposition, means: Tensor, inside: Tensor) -> Alignment:
    """Give by how much alignment falls when a channel is mean-ablated: J×K each.

    Args:
        decomposed: Of the refined model, J images.
        means: K×h×w, what each channel contributes on average; it takes the place of what the
            channel contributes to the image.
        inside: J×h×w.
    """
    whole = align(decomposed.logits, inside)
    ablated = [align(logits, inside) for logits in _ablated(decomposed, means)]
    return Alignment(*(
        np.stack([full - without for without in some], axis=1)
        for full, some in zip(whole, zip(*ablated, strict=True), strict=True)
    ))  # fmt: skip


def sufficiency(base: Decomposition, refined: Decomposition, inside: Tensor) -> Alignment:
    """Give by how much alignment rises when one channel of the base model is the refined one's.

    Everything else, the bias too, stays the base model's. J×K each.
    """
    logits = base.logits
    start = align(logits, inside)
    patched = [
        align(logits - old + new, inside)
        for old, new in zip(
            base.contributions.unbind(1), refined.contributions.unbind(1), strict=True
        )
    ]
    return Alignment(*(
        np.stack([one - before for one in some], axis=1)
        for before, some in zip(start, zip(*patched, strict=True), strict=True)
    ))  # fmt: skip


@torch.no_grad()
def necessity_for_accuracy(
    perception: PerceptionBranch,
    features: Tensor,
    decomposed: Decomposition,
    means: Tensor,
    labels: Tensor,
    engine: Engine,
) -> Values:
    """Give by how much accuracy falls when a channel is mean-ablated: T×K of −1, 0 and 1.

    Args:
        perception: The refined model's.
        features: T×C×h×w.
        decomposed: Of the refined model, the same T images.
        means: K×h×w, as in ``necessity``.
        labels: T.
        engine: Where to compute.
    """
    falls = []
    pieces = (one.split(engine.batch_size) for one in (features, decomposed.contributions, labels))
    for some, contributions, known in zip(*pieces, strict=True):
        part = Decomposition(contributions, decomposed.bias)
        right = []
        for logits in (part.logits, *_ablated(part, means)):
            with engine.autocast():
                scores = perception(some, logits.sigmoid())
            right.append((scores.argmax(1) == known).float())
        falls.append(right[0].unsqueeze(1) - torch.stack(right[1:], 1))
    return _values(torch.cat(falls))


def inside_and_outside(maps: Tensor, inside: Tensor) -> tuple[Values, Values]:
    """Give the means of maps J×K×h×w inside and outside: J×K each."""
    within = inside.float().flatten(1).unsqueeze(2)
    flat = maps.flatten(2)
    return tuple(
        _values((flat @ some / some.sum(1, keepdim=True)).squeeze(2))
        for some in (within, 1 - within)
    )  # type: ignore[return-value]


def causes(evidence: tuple[Tensor, Tensor], folded: tuple[Tensor, Tensor], inside: Tensor) -> Parts:
    """Split the change of each channel's contribution by what changed: weight or activation.

    w̃'∗A' − w̃∗A = Δw̃∗(A + A')/2 + (w̃ + w̃')/2∗ΔA, which favours neither.

    Args:
        evidence: J×K×h×w of the base and of the refined model.
        folded: 1×K×k×k of both.
        inside: J×h×w.
    """
    (before, after), (old, new) = evidence, folded
    parts = (
        contribute((before + after) / 2, new - old),
        contribute(after - before, (old + new) / 2),
    )
    differences = []
    for part in parts:
        within, without = inside_and_outside(part, inside)
        differences.append(within - without)
    return Parts(*differences)


def _ablated(decomposed: Decomposition, means: Tensor) -> Iterator[Tensor]:
    """Yield for each channel the maps' logits without it."""
    whole = decomposed.logits
    for own, mean in zip(decomposed.contributions.unbind(1), means, strict=True):
        yield whole - own + mean


def _values(tensor: Tensor) -> Values:
    values: Values = tensor.double().cpu().numpy()
    return values
