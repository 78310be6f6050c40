"""What the refinement of the attention branch minimises.

Shapes: n images, h×w the map's grid, K classes. Maps and targets are float in [0, 1].
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import binary_cross_entropy, kl_div, log_softmax, mse_loss, relu

from abn.params import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]

EDGE = 1e-4
"""Maps and targets are kept this far from 0 and 1 where a logarithm is taken of them."""


def attention_loss(recipe: Recipe) -> Loss:
    """Give the loss that a recipe names: of maps and targets n×h×w, a mean over cells."""
    if recipe.loss == "hinge":
        low, high = recipe.margin
        return lambda maps, targets: hinge(maps, targets, low, high)
    return LOSSES[recipe.loss]


def l2(maps: Tensor, targets: Tensor) -> Tensor:
    """Euclidean distance of each image's maps (Mitsuhara et al. 2019, arXiv:1905.03540)."""
    distances: Tensor = (maps - targets).flatten(1).norm(dim=1)
    return distances.mean()


def logit_mse(maps: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of the maps' logits; those of the targets are bounded by ``EDGE``."""
    return mse_loss(maps.logit(EDGE), targets.logit(EDGE))


def cross_entropy(maps: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each cell."""
    return binary_cross_entropy(maps.clamp(EDGE, 1 - EDGE), targets)


def dice(maps: Tensor, targets: Tensor) -> Tensor:
    """One minus the soft Dice coefficient of each image (Milletari et al. 2016, arXiv:1606.04797).

    2 Σ M·T / (Σ M² + Σ T²); 0 at best, 1 where nothing overlaps.
    """
    overlap = (maps * targets).flatten(1).sum(1)
    total = (maps.square() + targets.square()).flatten(1).sum(1)
    return (1 - 2 * overlap / total.clamp_min(EDGE)).mean()


def hinge(maps: Tensor, targets: Tensor, low: float, high: float) -> Tensor:
    """Squared distance by which a map stays below ``high`` inside, or above ``low`` outside.

    A cell that the target covers in part counts for both, by its share. Inside the margins there
    is no force: the map keeps what the classification needs of it.
    """
    inside, outside = relu(high - maps).square(), relu(maps - low).square()
    return (targets * inside + (1 - targets) * outside).mean()


def retention(logits: Tensor, base: Tensor) -> Tensor:
    """Kullback–Leibler divergence of the refined model's prediction from the base model's.

    KL(base ‖ refined) of logits n×K, mean over images (Hinton et al. 2015, arXiv:1503.02531).
    """
    return kl_div(
        log_softmax(logits, 1), log_softmax(base, 1), reduction="batchmean", log_target=True
    )


LOSSES: dict[str, Loss] = {
    "mse": mse_loss,
    "l2": l2,
    "logit_mse": logit_mse,
    "bce": cross_entropy,
    "dice": dice,
}
