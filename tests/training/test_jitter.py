import pytest
import torch

from abn.training.jitter import jitter

MAPS = torch.full((400, 12, 12), 0.25)


def _random(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_share_of_maps_that_params_name_is_replaced() -> None:
    """The others are left as they are."""
    replaced = (jitter(MAPS, 0.5, _random()) != MAPS).flatten(1).any(1)
    assert replaced.float().mean().item() == pytest.approx(0.5, abs=0.08)


def test_gates_are_smooth_and_within_the_range_of_a_map() -> None:
    """Between neighbouring cells less than between the random numbers that they are made of."""
    gates = jitter(MAPS, 1.0, _random())
    assert gates.min() >= 0
    assert gates.max() <= 1
    assert gates.diff(dim=2).abs().max() < 0.4
    assert gates.flatten(1).std(1).min() > 0.05


def test_without_jitter_the_maps_are_the_networks_own() -> None:
    """The ABN as its authors trained it."""
    assert jitter(MAPS, 0.0, _random()) is MAPS


def test_the_generator_alone_decides() -> None:
    """A resumed training draws what the uninterrupted one would have drawn."""
    assert torch.equal(jitter(MAPS, 0.5, _random(3)), jitter(MAPS, 0.5, _random(3)))
    assert not torch.equal(jitter(MAPS, 0.5, _random(3)), jitter(MAPS, 0.5, _random(4)))


def test_a_replaced_map_gets_no_gradient() -> None:
    """The attention branch is not blamed for a gate that is not its own."""
    maps = MAPS[:4].clone().requires_grad_(True)
    jitter(maps, 1.0, _random()).sum().backward()
    assert maps.grad is not None
    assert not maps.grad.any()
