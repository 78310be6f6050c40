import numpy as np
import pytest
import torch

from abn.data.loading import batch
from abn.data.prepared import Prepared
from abn.model.build import Architecture, build
from abn.params import Params
from abn.training import engine
from abn.training.evaluation import predict
from abn.training.saliency import disagreement


def test_disagreement_is_one_minus_the_cosine_of_map_and_gradient_times_features(
    tiny_params: Params, tiny_set: Prepared
) -> None:
    """Image by image the same as written literally."""
    machine = engine.start(tiny_params.runtime, 1)
    network = build(Architecture("resnet8", 1, 10, 1)).eval()
    rows = np.array([0, 7, 100])
    found = disagreement(network, tiny_set, rows, machine)
    for row, value in zip(rows, found, strict=True):
        features = network.feature_extractor(batch(tiny_set, np.array([row]), machine.device))
        features = features.detach().requires_grad_(True)
        maps = network.attention_branch(features).maps.detach()
        logits = network.perception_branch(features, maps)[0]
        logits[logits.argmax()].backward()
        assert features.grad is not None
        saliency = (features.grad * features).sum(1).clamp_min(0).flatten()
        cosine = (saliency @ maps.flatten()) / (saliency.norm() * maps.norm())
        assert value == pytest.approx(1 - cosine.item(), abs=1e-5)


def test_no_rows_give_no_values(tiny_params: Params, tiny_set: Prepared) -> None:
    """An empty split is no error."""
    machine = engine.start(tiny_params.runtime, 1)
    network = build(Architecture("resnet8", 1, 10, 1))
    assert disagreement(network, tiny_set, np.zeros(0, np.int64), machine).shape == (0,)
    assert torch.is_grad_enabled()


def test_a_network_that_has_predicted_can_still_be_asked_for_gradients(
    tiny_params: Params, tiny_set: Prepared
) -> None:
    """As the export does it: first the maps of all images, then the gradients of some."""
    machine = engine.start(tiny_params.runtime, 1)
    network = build(Architecture("resnet8", 1, 10, 1))
    assert len(list(predict(network, tiny_set, np.arange(5), machine))) == 1
    assert disagreement(network, tiny_set, np.arange(5), machine).shape == (5,)
