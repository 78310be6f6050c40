import numpy as np
import pytest
import torch

from abn.channels.contributions import Convolution, convolutions, observe
from abn.channels.table import COLUMNS, bars, compare
from abn.data.loading import batch
from abn.data.prepared import Prepared
from abn.model.network import AttentionBranchNetwork
from abn.training.engine import Engine
from tests.channels.conftest import MakeNetwork

ROWS = np.arange(40)


def _convolutions(
    network: AttentionBranchNetwork, data: Prepared, machine: Engine
) -> dict[str, Convolution]:
    observed = observe(network, data, ROWS, machine)
    return convolutions(network.attention_branch, observed, len(ROWS))


@pytest.mark.parametrize("map_kernel", [1, 3])
def test_contributions_and_bias_add_up_to_the_maps_logit(
    map_kernel: int, machine: Engine, tiny_set: Prepared, make_network: MakeNetwork
) -> None:
    """Cell by cell, image by image, within float32's rounding of the sum's terms."""
    network = make_network(map_kernel)
    found = observe(network, tiny_set, ROWS, machine)
    branch = network.attention_branch
    with torch.no_grad():
        maps = network(batch(tiny_set, ROWS, machine.device)).maps
        logits = branch.bn_map(branch.conv_map(found.evidence)).squeeze(1)
    terms = found.map.contributions.abs().sum(1) + found.map.bias.abs()
    rounding = 16 * torch.finfo(torch.float32).eps * terms
    assert ((found.map.logits - logits).abs() <= rounding).all()
    assert torch.allclose(found.map.logits.sigmoid(), maps, atol=1e-5)


@pytest.mark.parametrize("map_kernel", [1, 3])
def test_mean_contributions_are_those_of_the_first_images(
    map_kernel: int, machine: Engine, tiny_set: Prepared, make_network: MakeNetwork
) -> None:
    """With the bias they add up to the mean logit of those images, and of no other."""
    network = make_network(map_kernel)
    observed = observe(network, tiny_set, ROWS, machine)
    found = convolutions(network.attention_branch, observed, 10)["map"]
    total = (found.contributions.sum() + observed.map.bias).item()
    assert total == pytest.approx(observed.map.logits[:10].mean().item(), abs=1e-4)
    assert total != pytest.approx(observed.map.logits.mean().item(), abs=1e-4)


def test_folded_weights_do_not_depend_on_the_scale_of_the_raw_ones(
    machine: Engine, tiny_set: Prepared, make_network: MakeNetwork
) -> None:
    """Scaled weights, with the statistics that they would have had, are the same network."""
    network = make_network()
    before = _convolutions(network, tiny_set, machine)["map"]
    branch = network.attention_branch
    with torch.no_grad():
        branch.conv_map.weight.mul_(7.3)
        assert branch.bn_map.running_mean is not None
        assert branch.bn_map.running_var is not None
        branch.bn_map.running_mean.mul_(7.3)
        branch.bn_map.running_var.mul_(7.3**2)
    after = _convolutions(network, tiny_set, machine)["map"]
    assert torch.allclose(after.weights, before.weights * 7.3)
    assert torch.allclose(after.folded, before.folded, rtol=1e-3)


def test_the_table_has_a_row_for_each_weight_and_ranks_within_an_output(
    machine: Engine, tiny_set: Prepared, make_network: MakeNetwork
) -> None:
    """1×K of the map, K×D of the classes; rank 1 is the highest folded weight.

    What was measured of the map's channels stands in their rows alone.
    """
    found = _convolutions(make_network(), tiny_set, machine)
    measured = {"verdict": [f"verdict {k}" for k in range(10)]}
    rows = compare(found, found, tiny_set.classes, measured)
    assert [len([r for r in rows if r["conv"] == conv]) for conv in ("map", "classes")] == [10, 640]
    assert all(set(row) - set(measured) == set(COLUMNS) for row in rows)
    assert all(row["change"] == 0 for row in rows)
    of_map = [row for row in rows if row["conv"] == "map"]
    assert [row["name"] for row in of_map] == tiny_set.classes
    assert [row["verdict"] for row in of_map] == measured["verdict"]
    assert not any("verdict" in row for row in rows if row["conv"] == "classes")
    assert min(of_map, key=lambda r: r["rank_after"])["folded_after"] == max(
        row["folded_after"] for row in of_map
    )


def test_the_bars_are_the_columns_of_the_table(
    machine: Engine, tiny_set: Prepared, make_network: MakeNetwork
) -> None:
    """What the weights are compared by is what the page shows of them."""
    before, after = (_convolutions(make_network(seed=seed), tiny_set, machine) for seed in (0, 1))
    rows = compare(before, after, tiny_set.classes, {})[:10]
    shown = bars(before["map"], after["map"])
    assert shown["weight"] == pytest.approx([row["weight_after"] for row in rows])
    for name, column in (("weight", "weight_after"), ("folded", "folded_after"), ("change",) * 2):
        assert shown[f"{name}_size"] == pytest.approx([abs(row[column]) for row in rows])
