"""Networks with random weights and the batch norm statistics of real images."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from abn.data.loading import batch
from abn.data.prepared import Prepared
from abn.model.build import Architecture, build
from abn.model.network import AttentionBranchNetwork
from abn.params import Params
from abn.training import engine
from abn.training.engine import Engine

MakeNetwork = Callable[..., AttentionBranchNetwork]


@pytest.fixture
def machine(tiny_params: Params) -> Engine:
    return engine.start(tiny_params.runtime, 1)


@pytest.fixture
def make_network(tiny_set: Prepared) -> MakeNetwork:
    def made(map_kernel: int = 1, seed: int = 0) -> AttentionBranchNetwork:
        torch.manual_seed(seed)
        network = build(Architecture("resnet8", map_kernel, 10, 1))
        network(batch(tiny_set, np.arange(64), torch.device("cpu")))
        torch.nn.init.normal_(network.attention_branch.bn_map.weight)
        torch.nn.init.normal_(network.attention_branch.bn_map.bias)
        return network.eval()

    return made
