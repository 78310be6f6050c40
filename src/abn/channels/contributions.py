"""What each channel adds to the attention map and to the class evidence.

In eval mode a convolution without bias and the batch norm after it are one affine map, so its
output is Σ_c w̃_c ∗ A_c + b, w̃ = w·γ/√(σ² + ε): the folded weight. Raw weights say nothing alone:
the batch norm undoes any scale of theirs. A channel's contribution is w̃_c ∗ A_c.

Shapes: N images, K classes (the channels of the evidence A), C channels of the features, D of the
input of the convolution to classes, h×w the map's grid, k the side of a kernel.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d

from abn.data.loading import batch, chunks
from abn.data.prepared import Prepared
from abn.model.network import AttentionBranch, AttentionBranchNetwork
from abn.training.engine import Engine


class Decomposition(NamedTuple):
    """The logit of the maps of N images, in parts."""

    contributions: Tensor
    """N×K×h×w."""
    bias: Tensor
    """One number."""

    @property
    def logits(self) -> Tensor:
        """The maps' logits N×h×w: the sum of the parts."""
        return self.contributions.sum(1) + self.bias

    def at(self, places: Tensor | slice) -> "Decomposition":
        """Give the same of some of the images."""
        return Decomposition(self.contributions[places], self.bias)


class Observed(NamedTuple):
    """What a network gives for N images, on the engine's device."""

    features: Tensor
    """N×C×h×w of the feature extractor, in the engine's precision."""
    evidence: Tensor
    """N×K×h×w ≥ 0, float32."""
    pooled: Tensor
    """N×D float32, the input of the convolution to classes averaged over the grid."""
    folded: Tensor
    """1×K×k×k, of the map's convolution."""
    map: Decomposition
    """Of the logit of the N maps."""


class Convolution(NamedTuple):
    """Of O outputs and C channels."""

    weights: Tensor
    """O×C, each kernel summed: the answer to a channel that is one everywhere."""
    folded: Tensor
    """O×C, the same with the batch norm that follows folded in."""
    contributions: Tensor
    """O×C, mean over images and cells."""


@torch.no_grad()
def observe(
    network: AttentionBranchNetwork,
    prepared: Prepared,
    rows: NDArray[np.int64],
    engine: Engine,
) -> Observed:
    """Run ``network`` in eval mode over ``rows``, once, up to the map's convolution."""
    branch: AttentionBranch = engine.place(network).eval().attention_branch
    pieces = []
    for piece in chunks(rows, engine.batch_size):
        images = batch(prepared, piece, engine.device)
        with engine.autocast():
            features = network.feature_extractor(images)
            channels = branch.class_features(features)
            evidence = torch.relu(branch.bn_classes(branch.conv_classes(channels)))
        pieces.append((features, evidence.float(), channels.float().mean((2, 3))))
    features, evidence, pooled = (torch.cat(some) for some in zip(*pieces, strict=True))
    folded = fold(branch.conv_map, branch.bn_map)
    return Observed(features, evidence, pooled, folded, decompose(branch, evidence))


def decompose(branch: AttentionBranch, evidence: Tensor) -> Decomposition:
    """Give the parts of the map's logit that ``branch`` makes of evidence N×K×h×w."""
    norm = branch.bn_map
    assert norm.running_mean is not None  # noqa: S101 (for the type checker: ours all track it)
    bias = norm.bias - norm.running_mean * _scale(norm)
    return Decomposition(contribute(evidence, fold(branch.conv_map, norm)), bias.detach().squeeze())


def contribute(evidence: Tensor, folded: Tensor) -> Tensor:
    """Give w̃_c ∗ A_c, N×K×h×w, of evidence N×K×h×w and folded weights 1×K×k×k."""
    if folded.shape[-1] == 1:  # a product on every device, where a convolution may round to TF32
        return evidence * folded
    # One group a channel: the convolution's terms before they are summed.
    kernels = folded.transpose(0, 1)
    return conv2d(evidence, kernels, padding=kernels.shape[-1] // 2, groups=len(kernels))


def fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Give the weights O×C×k×k of ``convolution`` with the scale of ``norm`` multiplied in."""
    return (convolution.weight * _scale(norm)[:, None, None, None]).detach()


def convolutions(
    branch: AttentionBranch, observed: Observed, images: int
) -> dict[str, Convolution]:
    """Give the map's convolution (``map``, 1×K) and that to the classes (``classes``, K×D).

    Mean contributions are those over the first ``images`` that were observed.
    """
    contributions = observed.map.contributions[:images]
    classes = fold(branch.conv_classes, branch.bn_classes).sum((2, 3)).cpu()
    return {
        "map": Convolution(
            branch.conv_map.weight.detach().sum((2, 3)).cpu(),
            observed.folded.sum((2, 3)).cpu(),
            contributions.mean((2, 3)).double().mean(0).float().cpu().unsqueeze(0),
        ),
        "classes": Convolution(
            branch.conv_classes.weight.detach().sum((2, 3)).cpu(),
            classes,
            classes * observed.pooled[:images].double().mean(0).float().cpu(),
        ),
    }


def _scale(norm: nn.BatchNorm2d) -> Tensor:
    assert norm.running_var is not None  # noqa: S101 (for the type checker: ours all track it)
    return norm.weight / torch.sqrt(norm.running_var + norm.eps)
