"""Does the network go by its map? Insertion and deletion (Petsiuk et al. 2018, arXiv:1806.07421).

Cells are inserted from the map's highest on into an image that is the training mean everywhere, or
deleted, that is set to the training mean, in equal steps; what counts is the area under the
perception branch's probability, at each share of cells, of the class that it predicts on the whole
image. Insertion shows what suffices (higher is better), deletion what is needed (lower is better);
both lie in [0, 1]. Only the order of a map's values counts; a constant map's is random.

Petsiuk et al. insert into a blurred image. Here that is the mean as well: blurred as much as there,
three in four objects were still recognised. With one background, deletion by an order is insertion
by its reverse, and cells in random order are one control for both. It is a harsh one for deletion:
scattered cells spoil an image sooner than a patch of as many, whatever it covers. The map of
another image, as smooth and as centred, is the control that shows what this image's map adds.

Shapes: N images of C×H×W, R orders of the n = h·w cells of a map, S steps, V views of an image.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from abn.data.loading import batch, chunks
from abn.data.prepared import Prepared
from abn.model.network import AttentionBranchNetwork
from abn.training.engine import Engine

ORDERS = (
    *("insertion", "deletion", "insertion_other_map", "deletion_other_map", "insertion_random"),
)
IMAGES = 80
"""Of a split: for as many two models take two to three seconds on two cores. The standard error of
a mean, and of the difference of two means, is then about 0.02."""
STEPS = 8
"""Of a curve; with three times as many the areas move by less than 0.005."""
SEED = 0
"""Of the random orders, and of the order of cells that have one value in the map."""


def faithfulness(
    network: AttentionBranchNetwork,
    prepared: Prepared,
    maps: NDArray[np.floating],
    rows: NDArray[np.int64],
    engine: Engine,
) -> dict[str, float]:
    """Give mean insertion and deletion over images evenly spaced among ``rows``; none: empty.

    Args:
        network: Is asked in eval mode.
        prepared: The images.
        maps: N×h×w, the rows of ``prepared``: what the cells are ordered by.
        rows: Of a split.
        engine: Where to compute.

    Returns:
        insertion and deletion by the image's own map, by the map of the sample's next image
        (``_other_map``), and insertion_random: cells in random order, for both.
    """
    if not len(rows):
        return {}
    rows = rows[np.linspace(0, len(rows) - 1, min(IMAGES, len(rows))).astype(np.int64)]
    network = engine.place(network).eval()
    ranks = _ranks(torch.from_numpy(maps[rows].astype(np.float32)))
    cuts = torch.linspace(0, ranks.shape[2] * ranks.shape[3], STEPS + 1).round()
    at_once = max(1, engine.batch_size // (ranks.shape[1] * (STEPS - 1) + 2))
    curves = []
    for places in chunks(np.arange(len(rows)), at_once):
        images = batch(prepared, rows[places], engine.device)
        some = ranks[places].to(engine.device)
        curves.append(insertion_curves(network, images, some, cuts.to(engine.device), engine).cpu())
    areas = torch.trapezoid(torch.cat(curves), cuts / cuts[-1]).mean(0)
    return dict(zip(ORDERS, areas.tolist(), strict=True))


@torch.inference_mode()
def insertion_curves(
    network: AttentionBranchNetwork, images: Tensor, ranks: Tensor, cuts: Tensor, engine: Engine
) -> Tensor:
    """Give the probability of each image's predicted class with its first cells in place.

    Args:
        network: In eval mode.
        images: N×C×H×W, normalised, so that 0 is the training mean.
        ranks: N×R×h×w, place of each cell in each order.
        cuts: S+1, how many cells are in place: from 0 to all of them.
        engine: Where to compute.

    Returns:
        N×R×(S+1).
    """
    shown = ranks.unsqueeze(2) < cuts[1:-1, None, None]
    nothing = torch.zeros_like(shown[:, 0, :1])
    views = torch.cat([nothing, ~nothing, shown.flatten(1, 2)], 1).float()
    views = interpolate(views, images.shape[2:], mode="nearest-exact")
    seen = (images.unsqueeze(1) * views.unsqueeze(2)).flatten(0, 1)
    with engine.autocast():
        outputs = network(seen.contiguous(memory_format=torch.channels_last))
    found = outputs.perception_logits.float().softmax(1).unflatten(0, views.shape[:2])
    predicted = found[:, 1].argmax(1)
    of_class = found.take_along_dim(predicted[:, None, None], 2).squeeze(2)
    none, whole = (of_class[:, None, i : i + 1].expand(-1, ranks.shape[1], -1) for i in (0, 1))
    return torch.cat([none, of_class[:, 2:].unflatten(1, shown.shape[1:3]), whole], 2)


def _ranks(maps: Tensor) -> Tensor:
    """Give each cell's place in each of ``ORDERS``: maps N×h×w → N×R×h×w.

    What is deleted first is in place last. A random order decides among cells of one value.
    """
    random = torch.rand(maps.flatten(1).shape, generator=torch.Generator().manual_seed(SEED))
    shuffled = random.argsort(1)
    order = maps.flatten(1).gather(1, shuffled).argsort(dim=1, descending=True, stable=True)
    own = shuffled.gather(1, order).argsort(1)
    last = own.shape[1] - 1
    other = own.roll(-1, 0)
    ranks = torch.stack([own, last - own, other, last - other, shuffled.argsort(1)], 1)
    return ranks.view(*ranks.shape[:2], *maps.shape[1:])
