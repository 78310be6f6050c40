"""Batch norms folded into the convolutions before them: the same network, twice as fast to ask."""

from torch import nn
from torch.fx.experimental.optimization import fuse

from abn.model.network import AttentionBranchNetwork


def folded(network: AttentionBranchNetwork) -> AttentionBranchNetwork:
    """Give a copy of a network in eval mode that predicts the same to rounding, and cannot learn.

    In eval mode a batch norm is one affine map, so a convolution's weights can hold it.
    """
    parts: list[nn.Module] = [
        fuse(part)
        for part in (network.feature_extractor, network.attention_branch, network.perception_branch)
    ]
    return AttentionBranchNetwork(*parts).eval()  # type: ignore[arg-type]
