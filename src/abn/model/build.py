"""Assembly of the network from its description."""

import math
from typing import Any, NamedTuple

from torch import nn

from abn.model import backbones
from abn.model.network import AttentionBranch, AttentionBranchNetwork, PerceptionBranch


class Architecture(NamedTuple):
    """All that the shape of the network follows from."""

    backbone: str
    map_kernel: int
    classes: int
    channels: int
    """Of the images: 1 grey, 3 colour."""


def build(architecture: Architecture) -> AttentionBranchNetwork:
    """Build a network with random weights drawn from torch's global generator."""
    backbone = backbones.build(architecture.backbone, architecture.channels)
    classes, width = architecture.classes, backbone.width
    network = AttentionBranchNetwork(
        backbone.feature_extractor,
        AttentionBranch(backbone.last_stage(1), width, classes, architecture.map_kernel),
        PerceptionBranch(backbone.last_stage(2), width, classes),
    )
    network.apply(_initialise)
    return network


def _initialise(module: Any) -> None:
    """Draw convolutions as the authors do: normal, variance 2 / (kernel area × outputs)."""
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels
        nn.init.normal_(module.weight, 0.0, math.sqrt(2 / fan_out))
