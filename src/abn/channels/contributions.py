"""What each channel adds to the attention map and to the class evidence.

In eval mode a convolution without bias and the batch norm after it are one affine map, so its
output is Σ_c w̃_c ∗ A_c + b, w̃ = w·γ/√(σ² + ε): the folded weight. Raw weights say nothing alone:
the batch norm undoes any scale of theirs. A channel's contribution is the mean of w̃_c ∗ A_c.
"""

from collections.abc import Iterator
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


class Convolution(NamedTuple):
    """Of O outputs and C channels."""

    weights: Tensor
    """O×C, each kernel summed: the answer to a channel that is one everywhere."""
    folded: Tensor
    """O×C, the same with the batch norm that follows folded in."""
    contributions: Tensor
    """O×C, mean over images and cells."""


def convolutions(
    network: AttentionBranchNetwork,
    prepared: Prepared,
    rows: NDArray[np.int64],
    engine: Engine,
) -> dict[str, Convolution]:
    """Give the map's convolution (``map``, 1×K) and that to the classes (``classes``, K×D).

    Contributions are means over the images of ``rows``.
    """
    engine.place(network).eval()
    branch = network.attention_branch
    folded_map = fold(branch.conv_map, branch.bn_map)
    folded_classes = fold(branch.conv_classes, branch.bn_classes)
    padding = branch.conv_map.kernel_size[0] // 2
    map_sum = torch.zeros(folded_map.shape[1], dtype=torch.float64)
    channel_sum = torch.zeros(folded_classes.shape[1], dtype=torch.float64)
    for channels, evidence in _activations(network, prepared, rows, engine):
        # One group a channel: the convolution's terms before they are summed.
        kernels = folded_map.transpose(0, 1)
        parts = conv2d(evidence, kernels, padding=padding, groups=len(kernels))
        map_sum += parts.mean((2, 3)).double().sum(0).cpu()
        channel_sum += channels.mean((2, 3)).double().sum(0).cpu()
    classes = folded_classes.sum((2, 3)).cpu()
    return {
        "map": Convolution(
            branch.conv_map.weight.detach().sum((2, 3)).cpu(),
            folded_map.sum((2, 3)).cpu(),
            (map_sum / len(rows)).float().unsqueeze(0),
        ),
        "classes": Convolution(
            branch.conv_classes.weight.detach().sum((2, 3)).cpu(),
            classes,
            classes * (channel_sum / len(rows)).float(),
        ),
    }


def fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Give the weights O×C×k×k of ``convolution`` with the scale of ``norm`` multiplied in."""
    assert norm.running_var is not None  # noqa: S101 (for the type checker: ours all track it)
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return (convolution.weight * scale[:, None, None, None]).detach()


@torch.inference_mode()
def _activations(
    network: AttentionBranchNetwork,
    prepared: Prepared,
    rows: NDArray[np.int64],
    engine: Engine,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the input N×D×h×w of the convolution to classes and the evidence N×K×h×w."""
    branch: AttentionBranch = network.attention_branch
    for piece in chunks(rows, engine.batch_size):
        images = batch(prepared, piece, engine.device)
        with engine.autocast():
            channels = branch.class_features(network.feature_extractor(images))
            evidence = torch.relu(branch.bn_classes(branch.conv_classes(channels)))
        yield channels.float(), evidence.float()
