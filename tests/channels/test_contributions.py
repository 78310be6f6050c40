import numpy as np
import pytest
import torch

from abn.channels.contributions import convolutions
from abn.channels.table import COLUMNS, compare
from abn.data.loading import batch
from abn.data.prepared import Prepared
from abn.model.build import Architecture, build
from abn.model.network import AttentionBranchNetwork
from abn.params import Params
from abn.training import engine
from abn.training.engine import Engine


@pytest.fixture
def machine(tiny_params: Params) -> Engine:
    return engine.start(tiny_params.runtime, 1)


def _network(map_kernel: int, data: Prepared) -> AttentionBranchNetwork:
    torch.manual_seed(0)
    network = build(Architecture("resnet8", map_kernel, 10, 1))
    network(batch(data, np.arange(64), torch.device("cpu")))  # running statistics of real images
    torch.nn.init.normal_(network.attention_branch.bn_map.weight)
    return network.eval()


@pytest.mark.parametrize("map_kernel", [1, 3])
def test_contributions_and_bias_add_up_to_the_maps_logit(
    map_kernel: int, machine: Engine, tiny_set: Prepared
) -> None:
    """The decomposition is exact: the map is the sigmoid of the sum of its channels."""
    network = _network(map_kernel, tiny_set)
    rows = np.arange(40)
    found = convolutions(network, tiny_set, rows, machine)["map"]
    with torch.no_grad():
        maps = network(batch(tiny_set, rows, machine.device)).maps
    norm = network.attention_branch.bn_map
    assert norm.running_mean is not None
    assert norm.running_var is not None
    bias = norm.bias - norm.running_mean * norm.weight / torch.sqrt(norm.running_var + norm.eps)
    total = (found.contributions.sum() + bias).item()
    assert total == pytest.approx(maps.logit().mean().item(), abs=1e-4)


def test_folded_weights_do_not_depend_on_the_scale_of_the_raw_ones(
    machine: Engine, tiny_set: Prepared
) -> None:
    """Scaled weights, with the statistics that they would have had, are the same network."""
    network = _network(1, tiny_set)
    rows = np.arange(8)
    before = convolutions(network, tiny_set, rows, machine)["map"]
    branch = network.attention_branch
    with torch.no_grad():
        branch.conv_map.weight.mul_(7.3)
        assert branch.bn_map.running_mean is not None
        assert branch.bn_map.running_var is not None
        branch.bn_map.running_mean.mul_(7.3)
        branch.bn_map.running_var.mul_(7.3**2)
    after = convolutions(network, tiny_set, rows, machine)["map"]
    assert torch.allclose(after.weights, before.weights * 7.3)
    assert torch.allclose(after.folded, before.folded, rtol=1e-3)


def test_the_table_has_a_row_for_each_weight_and_ranks_within_an_output(
    machine: Engine, tiny_set: Prepared
) -> None:
    """1×K of the map, K×D of the classes; rank 1 is the highest folded weight."""
    found = convolutions(_network(1, tiny_set), tiny_set, np.arange(8), machine)
    rows = compare(found, found, tiny_set.classes)
    assert [len([r for r in rows if r["conv"] == conv]) for conv in ("map", "classes")] == [10, 640]
    assert all(set(row) == set(COLUMNS) for row in rows)
    assert all(row["change"] == 0 for row in rows)
    of_map = [row for row in rows if row["conv"] == "map"]
    assert [row["name"] for row in of_map] == tiny_set.classes
    assert min(of_map, key=lambda r: r["rank_after"])["folded_after"] == max(
        row["folded_after"] for row in of_map
    )
