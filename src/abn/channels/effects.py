"""All that is measured of the channels, image by image, from one pass of each model."""

from typing import NamedTuple

import torch

from abn.channels import interventions, shapley
from abn.channels.contributions import Observed
from abn.channels.held_out import HeldOut
from abn.channels.interventions import Alignment, Parts, Values
from abn.channels.shapley import Shares
from abn.model.network import PerceptionBranch
from abn.params import Channels
from abn.training.engine import Engine


class Effects(NamedTuple):
    """Of K channels on T test images and J images whose inside is known."""

    necessity: Alignment
    """J×K: by how much it falls when the refined model's channel is mean-ablated."""
    necessity_accuracy: Values
    """T×K: by how much accuracy falls then."""
    sufficiency: Alignment
    """J×K: by how much it rises when the base model gets the refined channel alone."""
    shapley: Shares
    """Of the contrast gained, on the first n of the J images."""
    gain: Alignment
    """J: by how much it rises from the base to the refined model."""
    before: tuple[Values, Values]
    """J×K each: mean contribution inside and outside, base model."""
    after: tuple[Values, Values]
    causes: Parts
    """J×K each: of the change of inside − outside."""


def measure(
    observed: tuple[Observed, Observed],
    perception: PerceptionBranch,
    images: HeldOut,
    params: Channels,
    seed: int,
    engine: Engine,
) -> Effects:
    """Measure every channel's effects.

    Args:
        observed: The base and the refined model on the rows of ``images``.
        perception: The refined model's.
        images: Held out.
        params: From how many images and orders Shapley values are drawn.
        seed: Of the orders.
        engine: Where to compute.
    """
    base, refined = observed
    inside, judged = images.inside.to(engine.device), torch.from_numpy(images.judged)
    before, after = base.map.at(judged), refined.map.at(judged)
    start, end = (interventions.align(one.logits, inside) for one in (before, after))
    tests, first = len(images.labels), judged[: params.shapley_images]
    means = refined.map.contributions[:tests].mean(0)
    return Effects(
        necessity=interventions.necessity(after, means, inside),
        necessity_accuracy=interventions.necessity_for_accuracy(
            perception,
            refined.features[:tests],
            refined.map.at(slice(tests)),
            means,
            torch.from_numpy(images.labels).to(engine.device),
            engine,
        ),
        sufficiency=interventions.sufficiency(before, after, inside),
        shapley=shapley.shares(
            base.map.at(first), refined.map.at(first), inside[: len(first)],
            params.shapley_pairs, seed,
        ),
        gain=Alignment(*(new - old for old, new in zip(start, end, strict=True))),
        before=interventions.inside_and_outside(before.contributions, inside),
        after=interventions.inside_and_outside(after.contributions, inside),
        causes=interventions.causes(
            (base.evidence[judged], refined.evidence[judged]),
            (base.folded, refined.folded),
            inside,
        ),
    )  # fmt: skip
