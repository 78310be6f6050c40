from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from abn.attention import metrics
from abn.channels import interventions
from abn.channels.contributions import Decomposition, Observed, contribute, observe
from abn.data.loading import batch
from abn.data.prepared import Prepared
from abn.model.network import AttentionBranchNetwork, Outputs
from abn.training.engine import Engine
from tests.channels.conftest import MakeNetwork

ROWS = np.arange(30)


@pytest.fixture
def inside(tiny_set: Prepared) -> Tensor:
    assert tiny_set.masks is not None
    return torch.from_numpy(tiny_set.masks[ROWS][:, ::2, ::2]).bool()


class _Changed(nn.Module):
    """A map's convolution whose terms pass through ``change`` before they are summed."""

    def __init__(self, convolution: nn.Conv2d, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._weight, self._padding = convolution.weight, convolution.padding
        self._change = change

    def forward(self, evidence: Tensor) -> Tensor:
        """Sum what each channel adds, one by one."""
        terms = [
            nn.functional.conv2d(
                evidence[:, k : k + 1], self._weight[:, k : k + 1], padding=self._padding
            )
            for k in range(evidence.shape[1])
        ]
        return self._change(torch.cat(terms, 1)).sum(1, keepdim=True)


def _run(
    network: AttentionBranchNetwork, data: Prepared, change: Callable[[Tensor], Tensor]
) -> Outputs:
    """Run the whole network with its map's convolution changed."""
    branch = network.attention_branch
    original = branch.conv_map
    branch.conv_map = _Changed(original, change)  # type: ignore[assignment]
    with torch.no_grad():
        outputs: Outputs = network(batch(data, ROWS, torch.device("cpu")))
    branch.conv_map = original
    return outputs


@pytest.mark.parametrize("map_kernel", [1, 3])
def test_necessity_is_what_the_whole_network_loses(
    map_kernel: int,
    machine: Engine,
    tiny_set: Prepared,
    inside: Tensor,
    make_network: MakeNetwork,
) -> None:
    """Against the network itself, run once more with the channel's term replaced by its mean."""
    network = make_network(map_kernel)
    seen = observe(network, tiny_set, ROWS, machine)
    means = seen.map.contributions.mean(0)
    labels = torch.from_numpy(tiny_set.labels[ROWS])
    found = interventions.necessity(seen.map, means, inside)
    lost = interventions.necessity_for_accuracy(
        network.perception_branch, seen.features, seen.map, means, labels, machine
    )
    whole = _run(network, tiny_set, lambda terms: terms)
    right = whole.perception_logits.argmax(1) == labels

    def ablated(terms: Tensor, channel: int) -> Tensor:
        terms[:, channel] = terms[:, channel].mean(0)
        return terms

    for channel in (0, 7):
        outputs = _run(network, tiny_set, lambda terms, k=channel: ablated(terms, k))
        for name in ("contrast", "iou"):
            metric = metrics.METRICS[name]
            fall = metric(whole.maps, inside.float()) - metric(outputs.maps, inside.float())
            assert getattr(found, name)[:, channel] == pytest.approx(fall.numpy(), abs=2e-3)
        still = outputs.perception_logits.argmax(1) == labels
        assert lost[:, channel].tolist() == (right.float() - still.float()).tolist()
    assert np.abs(found.contrast).max() > 0.01


def test_a_channel_that_is_the_same_everywhere_is_not_missed(
    machine: Engine, tiny_set: Prepared, inside: Tensor, make_network: MakeNetwork
) -> None:
    """However large its weight: its mean is what it adds to every image."""
    seen = observe(make_network(), tiny_set, ROWS, machine)
    seen.map.contributions[:, 4] = 50.0
    found = interventions.necessity(seen.map, seen.map.contributions.mean(0), inside)
    assert found.contrast[:, 4] == pytest.approx(0)
    assert found.iou[:, 4] == pytest.approx(0)


def test_sufficiency_is_the_gain_of_one_channel_alone(inside: Tensor) -> None:
    """A refined channel that holds the object lifts a blank base model to it; others do nothing."""
    blank = torch.zeros(len(ROWS), 3, *inside.shape[1:])
    refined = blank.clone()
    refined[:, 1] = 20.0 * inside - 10
    base = Decomposition(blank, torch.tensor(-1.0))
    found = interventions.sufficiency(base, Decomposition(refined, torch.tensor(5.0)), inside)
    assert found.contrast[:, 1] == pytest.approx(1, abs=1e-3)
    assert found.iou[:, 1] == pytest.approx(1)
    assert (found.contrast[:, [0, 2]] == 0).all()


def test_inside_and_outside_are_means_over_cells(inside: Tensor) -> None:
    """Cell by cell, in plain numpy."""
    maps = torch.randn(len(ROWS), 2, *inside.shape[1:], generator=torch.Generator().manual_seed(1))
    within, without = interventions.inside_and_outside(maps, inside)
    for image in (0, 11):
        for channel in (0, 1):
            cells, known = maps[image, channel].numpy(), inside[image].numpy()
            assert within[image, channel] == pytest.approx(cells[known].mean(), abs=1e-5)
            assert without[image, channel] == pytest.approx(cells[~known].mean(), abs=1e-5)


@pytest.mark.parametrize("map_kernel", [1, 3])
def test_causes_add_up_to_the_change(
    map_kernel: int,
    machine: Engine,
    tiny_set: Prepared,
    inside: Tensor,
    make_network: MakeNetwork,
) -> None:
    """Weight's and activation's part together are w̃'∗A' − w̃∗A, inside minus outside."""
    base, refined = (
        observe(make_network(map_kernel, seed), tiny_set, ROWS, machine) for seed in (0, 1)
    )
    found = _causes(base, refined, inside)
    change = _contrast(refined.map.contributions, inside) - _contrast(
        base.map.contributions, inside
    )
    assert found.weight + found.activation == pytest.approx(change, abs=1e-4)
    # Nothing is favoured: the other way round, all signs turn.
    back = _causes(refined, base, inside)
    assert back.weight == pytest.approx(-found.weight, abs=1e-5)
    assert back.activation == pytest.approx(-found.activation, abs=1e-5)


def test_a_change_has_the_cause_that_it_has(
    machine: Engine, tiny_set: Prepared, inside: Tensor, make_network: MakeNetwork
) -> None:
    """Where only the weight moved nothing is the activation's, and the other way round."""
    seen = observe(make_network(), tiny_set, ROWS, machine)
    heavier = seen._replace(folded=2 * seen.folded)
    brighter = seen._replace(evidence=2 * seen.evidence)
    own = _contrast(contribute(seen.evidence, seen.folded), inside)
    by_weight, by_activation = _causes(seen, heavier, inside), _causes(seen, brighter, inside)
    assert (by_weight.activation == 0).all()
    assert (by_activation.weight == 0).all()
    assert by_weight.weight == pytest.approx(own, abs=1e-5)
    assert by_activation.activation == pytest.approx(own, abs=1e-5)


def _causes(base: Observed, refined: Observed, inside: Tensor) -> interventions.Parts:
    return interventions.causes(
        (base.evidence, refined.evidence), (base.folded, refined.folded), inside
    )


def _contrast(maps: Tensor, inside: Tensor) -> interventions.Values:
    within, without = interventions.inside_and_outside(maps, inside)
    return within - without
