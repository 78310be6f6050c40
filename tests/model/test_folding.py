import pytest
import torch

from abn.model.build import Architecture, build
from abn.model.folding import folded


@pytest.mark.parametrize("backbone", ["resnet8", "torchvision/resnet18"])
def test_a_folded_network_predicts_the_same(backbone: str) -> None:
    """To rounding, with batch norms that have seen images; the network itself stays as it was."""
    torch.manual_seed(1)
    network = build(Architecture(backbone, 3, 5, 3))
    images = torch.randn(4, 3, 64, 64)
    network.train()(images)
    network.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.inference_mode():
        expected, found = network(images), folded(network)(images)
    for one, other in zip(expected, found, strict=True):
        assert torch.allclose(one, other, atol=1e-4, rtol=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
