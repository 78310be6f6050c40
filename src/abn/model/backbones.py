"""Backbones split at the branch point: feature extractor, last stage, width of the features.

CIFAR ResNets (He et al. 2016, section 4.2, arXiv:1512.03385) leave after their second stage,
torchvision's ResNets after their third, as in the ABN (Fukui et al. 2019, arXiv:1812.10025).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

WIDTHS = (16, 32, 64)


class Backbone(NamedTuple):
    """The parts from which a network with an attention branch is assembled."""

    feature_extractor: nn.Module
    """Images to features N×C×h×w at the branch point."""
    last_stage: Callable[[int], nn.Module]
    """Makes a new last stage of the given stride: N×C×h×w to N×D×h'×w'."""
    width: int
    """D, channels that the last stage gives."""


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map N×C×h×w to N×D×h/stride×w/stride."""
        # In place: nothing needs a batch norm's output again, and memory is what a step waits for.
        residual = torch.relu_(self.bn1(self.conv1(features)))
        added: Tensor = self.bn2(self.conv2(residual)).add_(self.shortcut(features))
        return added.relu_()


def build(name: str, channels: int) -> Backbone:
    """Build the backbone that params.yaml names, for images of ``channels`` channels."""
    family, _, rest = name.partition("/")
    if family == "torchvision":
        return _torchvision_resnet(rest, channels)
    return _cifar_resnet(int(name.removeprefix("resnet")), channels)


def _cifar_resnet(depth: int, channels: int) -> Backbone:
    blocks = (depth - 2) // 6
    first, second, third = WIDTHS
    stem = [
        nn.Conv2d(channels, first, 3, padding=1, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(inplace=True),
    ]
    return Backbone(
        nn.Sequential(*stem, _stage(first, first, 1, blocks), _stage(first, second, 2, blocks)),
        lambda stride: _stage(second, third, stride, blocks),
        third,
    )


def _stage(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


def _torchvision_resnet(name: str, channels: int) -> Backbone:
    from torchvision.models import get_model  # noqa: PLC0415 (1.8 s that CIFAR ResNets need not pay)

    network = get_model(name, weights=None)
    if channels != network.conv1.in_channels:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    stem = [network.conv1, network.bn1, network.relu, network.maxpool]

    def last_stage(stride: int) -> nn.Module:
        stage: nn.Module = get_model(name, weights=None).layer4
        if stride == 1:
            for module in stage[0].modules():  # type: ignore[index]
                if isinstance(module, nn.Conv2d):
                    module.stride = (1, 1)
        return stage

    return Backbone(
        nn.Sequential(*stem, network.layer1, network.layer2, network.layer3),
        last_stage,
        network.fc.in_features,
    )
