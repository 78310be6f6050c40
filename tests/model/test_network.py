import pytest
import torch

from abn.model.build import Architecture, build
from abn.model.network import AttentionBranchNetwork


def _network(
    backbone: str = "resnet8", map_kernel: int = 1, channels: int = 1
) -> AttentionBranchNetwork:
    torch.manual_seed(0)
    return build(Architecture(backbone, map_kernel, 5, channels))


@pytest.mark.parametrize(
    ("backbone", "side", "grid"),
    [("resnet8", 32, 16), ("resnet20", 32, 16), ("torchvision/resnet18", 64, 4)],
)
@pytest.mark.parametrize("map_kernel", [1, 3])
def test_outputs_have_the_shapes_of_the_paper(
    backbone: str, side: int, grid: int, map_kernel: int
) -> None:
    """Two heads of K logits, and a map at the resolution of the branch point in (0, 1)."""
    outputs = _network(backbone, map_kernel, 3)(torch.randn(2, 3, side, side))
    assert outputs.perception_logits.shape == outputs.attention_logits.shape == (2, 5)
    assert outputs.maps.shape == (2, grid, grid)
    assert ((outputs.maps > 0) & (outputs.maps < 1)).all()


@pytest.mark.parametrize(
    ("depth", "convolutions"), [(8, 5), (20, 13), (32, 21), (56, 37), (110, 73)]
)
def test_cifar_resnets_have_the_depth_they_are_named_after(depth: int, convolutions: int) -> None:
    """Of 6n+2 layers the extractor holds the stem and two of three stages."""
    extractor = _network(f"resnet{depth}").feature_extractor
    layers = [
        m for m in extractor.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)
    ]
    assert len(layers) == convolutions


def test_no_convolution_has_a_bias() -> None:
    """As the authors built it: a batch norm follows, or a mean that a bias would only shift."""
    convolutions = [m for m in _network().modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(m.bias is None for m in convolutions)


def test_the_map_reaches_the_perception_branch_as_a_residual_gate() -> None:
    """Features × (1 + map): a map of zeros leaves the features as they are."""
    network = _network().eval()
    features = network.feature_extractor(torch.randn(2, 1, 32, 32))
    zeros, ones = torch.zeros(2, 16, 16), torch.ones(2, 16, 16)
    plain = network.perception_branch.last_stage(features).mean((2, 3))
    expected = network.perception_branch.classifier(plain)
    assert torch.allclose(network.perception_branch(features, zeros), expected)
    assert torch.allclose(
        network.perception_branch(features, ones), network.perception_branch(2 * features, zeros)
    )


def test_scaling_the_map_convolution_changes_nothing_in_training_mode() -> None:
    """The batch norm undoes it: raw weight magnitude means nothing (facts of the method)."""
    network, images = _network(), torch.randn(8, 1, 32, 32)
    before = network(images).maps
    with torch.no_grad():
        network.attention_branch.conv_map.weight.mul_(7.3)
    assert torch.allclose(network(images).maps, before, atol=1e-4)


def test_both_stages_of_torchvision_backbones_start_from_the_same_resolution() -> None:
    """The branch keeps the resolution of the branch point, the perception branch halves it."""
    network = _network("torchvision/resnet50", channels=3).eval()
    features = network.feature_extractor(torch.randn(1, 3, 64, 64))
    assert network.attention_branch.last_stage(features).shape[2:] == features.shape[2:]
    assert network.perception_branch.last_stage(features).shape[2] * 2 == features.shape[2]
