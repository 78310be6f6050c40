"""The attention branch network (Fukui et al., CVPR 2019, arXiv:1812.10025).

Shapes: N images, K classes, C channels of the features, D of the last stage, h×w the map's grid.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Attention(NamedTuple):
    """What the attention branch gives."""

    logits: Tensor
    """N×K, of its own class head."""
    maps: Tensor
    """N×h×w in (0, 1)."""
    evidence: Tensor
    """N×K×h×w ≥ 0, the input of the map's convolution: A in the paper."""


class Outputs(NamedTuple):
    """What the whole network gives."""

    perception_logits: Tensor
    """N×K."""
    attention_logits: Tensor
    """N×K, of the attention branch's class head."""
    maps: Tensor
    """N×h×w in (0, 1)."""


class AttentionBranch(nn.Module):
    """Last stage at stride 1, class evidence A, and from it a class head and the attention map."""

    def __init__(self, last_stage: nn.Module, width: int, classes: int, map_kernel: int) -> None:
        super().__init__()
        self.last_stage = last_stage
        self.bn_features = nn.BatchNorm2d(width)
        self.conv_classes = nn.Conv2d(width, classes, 1, bias=False)
        self.bn_classes = nn.BatchNorm2d(classes)
        self.conv_map = nn.Conv2d(classes, 1, map_kernel, padding=map_kernel // 2, bias=False)
        self.bn_map = nn.BatchNorm2d(1)
        self.class_head = nn.Conv2d(classes, classes, 1, bias=False)

    def class_features(self, features: Tensor) -> Tensor:
        """Map features N×C×h×w to the input N×D×h×w of the convolution to classes."""
        branch: Tensor = self.bn_features(self.last_stage(features))
        return branch

    def forward(self, features: Tensor) -> Attention:
        """Map features N×C×h×w to class logits, attention maps and the evidence A."""
        evidence = torch.relu(self.bn_classes(self.conv_classes(self.class_features(features))))
        maps = torch.sigmoid(self.bn_map(self.conv_map(evidence))).squeeze(1)
        # A mean over h and w: adaptive pooling's backward is not deterministic on a GPU.
        return Attention(self.class_head(evidence).mean((2, 3)), maps, evidence)


class PerceptionBranch(nn.Module):
    """Last stage, global average pooling, linear classifier."""

    def __init__(self, last_stage: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.last_stage = last_stage
        self.classifier = nn.Linear(width, classes)

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        """Map features N×C×h×w, weighted by 1 + maps N×h×w, to logits N×K."""
        attended = features * maps.unsqueeze(1) + features
        logits: Tensor = self.classifier(self.last_stage(attended).mean((2, 3)))
        return logits


class AttentionBranchNetwork(nn.Module):
    """Feature extractor, attention branch and perception branch."""

    def __init__(
        self,
        feature_extractor: nn.Module,
        attention_branch: AttentionBranch,
        perception_branch: PerceptionBranch,
    ) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        self.attention_branch = attention_branch
        self.perception_branch = perception_branch

    def forward(self, images: Tensor) -> Outputs:
        """Classify normalised images N×C×H×W."""
        return self.from_features(self.feature_extractor(images))

    def from_features(self, features: Tensor) -> Outputs:
        """Classify from the feature extractor's output N×C×h×w."""
        attention = self.attention_branch(features)
        logits = self.perception_branch(features, attention.maps)
        return Outputs(logits, attention.logits, attention.maps)
