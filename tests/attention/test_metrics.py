"""Each metric against the same thing written slowly and literally, and its edge cases."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from abn.attention import metrics

Oracle = Callable[[list[float], list[float]], float]
NAN = math.nan

drawn = settings(deadline=None, max_examples=60)


def _hits(cells: Iterator[int] | list[int], k: list[float]) -> int:
    return sum(k[i] > 0.5 for i in cells)


def _iou(m: list[float], k: list[float], threshold: float = 0.5) -> float:
    predicted = {i for i, value in enumerate(m) if value > threshold}
    inside = {i for i, value in enumerate(k) if value > 0.5}
    return len(predicted & inside) / len(predicted | inside)


def _average_precision(m: list[float], k: list[float]) -> float:
    area = recall = 0.0
    for level in sorted(set(m), reverse=True):
        chosen = [i for i, value in enumerate(m) if value >= level]
        found = _hits(chosen, k)
        gained = found / _hits(range(len(k)), k) - recall
        area += gained * found / len(chosen)
        recall += gained
    return area


def _relevance_rank_accuracy(m: list[float], k: list[float]) -> float:
    """Draw cells from the highest on; one of a tie counts as much as it hits on average."""
    wanted = _hits(range(len(k)), k)
    left, found = wanted, 0.0
    for level in sorted(set(m), reverse=True):
        tied = [i for i, value in enumerate(m) if value == level]
        drawn = min(left, len(tied))
        found += drawn * _hits(tied, k) / len(tied)
        left -= drawn
    return found / wanted


def _pointing_game(m: list[float], k: list[float]) -> float:
    maxima = [i for i, value in enumerate(m) if value == max(m)]
    return _hits(maxima, k) / len(maxima)


def _energy_inside(m: list[float], k: list[float]) -> float:
    mass = math.fsum(m)
    return math.fsum(a * b for a, b in zip(m, k, strict=True)) / mass if mass else 0.0


def _energy_inside_above_floor(m: list[float], k: list[float]) -> float:
    return _energy_inside([value - min(m) for value in m], k)


def _energy_over_chance(m: list[float], k: list[float]) -> float:
    return _energy_inside(m, k) / (math.fsum(k) / len(k))


def _contrast(m: list[float], k: list[float]) -> float:
    inside = [a for a, b in zip(m, k, strict=True) if b > 0.5]
    outside = [a for a, b in zip(m, k, strict=True) if not b > 0.5]
    if not outside:
        return NAN
    return math.fsum(inside) / len(inside) - math.fsum(outside) / len(outside)


ORACLES: dict[str, Oracle] = {
    "iou": _iou,
    "average_precision": _average_precision,
    "relevance_rank_accuracy": _relevance_rank_accuracy,
    "pointing_game": _pointing_game,
    "energy_inside": _energy_inside,
    "energy_inside_above_floor": _energy_inside_above_floor,
    "energy_over_chance": _energy_over_chance,
    "contrast": _contrast,
}
OF_AREA = (
    *("iou", "average_precision", "relevance_rank_accuracy", "pointing_game", "energy_inside"),
)
"""A constant map scores the mask's area."""


def _literal(name: str, maps: Tensor, masks: Tensor) -> list[float]:
    pairs = zip(maps.flatten(1).tolist(), masks.flatten(1).tolist(), strict=True)
    return [ORACLES[name](m, k) if max(k) > 0.5 else NAN for m, k in pairs]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Draw maps as float16 keeps them and masks: ties, constant maps, empty and full masks."""
    shape = tuple(draw(st.integers(1, most)) for most in (4, 6, 5))
    few = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
    any_ = st.floats(0, 1, width=16)
    maps = draw(arrays(np.float32, shape, elements=draw(st.sampled_from([few, any_]))))
    masks = draw(arrays(np.float32, shape, elements=draw(st.sampled_from([few, any_]))))
    masks[0] = draw(st.sampled_from([0, 0.5, 1])) if draw(st.booleans()) else masks[0]
    maps[0] = draw(any_) if draw(st.booleans()) else maps[0]
    return torch.from_numpy(maps), torch.from_numpy(masks)


@pytest.fixture
def some() -> tuple[Tensor, Tensor]:
    """Maps with ties, and masks that cover cells in part."""
    random = torch.Generator().manual_seed(3)
    maps = (torch.rand(60, 7, 5, generator=random) * 8).round() / 8
    return maps, torch.rand(60, 7, 5, generator=random)


def test_every_metric_has_an_oracle() -> None:
    """A new metric does not go unchecked."""
    assert set(ORACLES) == set(metrics.METRICS)


@drawn
@given(pair=pairs())
def test_a_metric_is_what_its_definition_says(pair: tuple[Tensor, Tensor]) -> None:
    """Image by image as an independent implementation says, NaN where that has no value."""
    for name in ORACLES:
        found, expected = metrics.METRICS[name](*pair), _literal(name, *pair)
        assert found.dtype == torch.float32
        assert found.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6, nan_ok=True), name


@pytest.mark.parametrize("name", ORACLES)
def test_it_also_is_on_maps_of_real_size(name: str) -> None:
    """576 cells, most of them different: sums of many cells stay exact enough."""
    random = torch.Generator().manual_seed(5)
    maps = torch.rand(20, 24, 24, generator=random).half().float()
    masks = torch.rand(20, 24, 24, generator=random) * torch.rand(20, 1, 1, generator=random)
    found = metrics.METRICS[name](maps, masks)
    assert found.tolist() == pytest.approx(_literal(name, maps, masks), abs=2e-6, nan_ok=True)


@drawn
@given(pair=pairs(), threshold=st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.99]))
def test_all_at_once_is_each_by_itself(pair: tuple[Tensor, Tensor], threshold: float) -> None:
    """What is measured with one sorting is what the single metrics give."""
    alone = {name: metric(*pair) for name, metric in metrics.METRICS.items()}
    assert metrics.measure(*pair).keys() == alone.keys()
    alone["iou_validated"] = metrics.iou(*pair, threshold)
    together = metrics.measure(*pair, threshold)
    assert together.keys() == alone.keys()
    for name, values in alone.items():
        np.testing.assert_array_equal(together[name], values, name)


@drawn
@given(pair=pairs())
def test_nothing_is_nan_but_what_is_said_to_be(pair: tuple[Tensor, Tensor]) -> None:
    """No object: NaN. No outside: the contrast alone is NaN. Nothing is infinite."""
    masks = pair[1].flatten(1) > 0.5
    for name, values in metrics.measure(*pair, 0.3).items():
        unknown = ~masks.any(1) | (masks.all(1) if name == "contrast" else False)
        assert torch.equal(values.isnan(), unknown), name
        assert not values.isinf().any(), name


@pytest.mark.parametrize("name", metrics.METRICS)
def test_an_image_without_object_counts_for_nothing(name: str, some: tuple[Tensor, Tensor]) -> None:
    """An empty mask is neither a hit nor a miss."""
    maps, masks = some
    masks = masks.clone()
    masks[0] = 0
    values = metrics.METRICS[name](maps, masks)
    assert metrics.summary(maps, masks)[name] == pytest.approx(values[1:].mean().item())


def test_a_summary_of_no_object_at_all_is_empty(some: tuple[Tensor, Tensor]) -> None:
    """Nothing to say is not zero."""
    maps, masks = some
    assert metrics.summary(maps, torch.zeros_like(masks), 0.3) == {}
    assert metrics.summary(maps[:0], masks[:0]) == {}


@drawn
@given(value=st.floats(0, 1, width=16), pair=pairs())
def test_a_constant_map_is_at_chance(value: float, pair: tuple[Tensor, Tensor]) -> None:
    """Ties count by chance: a constant map wins no pointing game."""
    masks = (pair[1] > 0.5).float()
    masks = masks[masks.flatten(1).any(1)]
    maps = torch.full_like(masks, value)
    area = masks.mean((1, 2))
    for name in OF_AREA:
        nothing = (name == "iou" and value <= 0.5) or (name == "energy_inside" and value == 0)
        expected = torch.zeros_like(area) if nothing else area
        torch.testing.assert_close(metrics.METRICS[name](maps, masks), expected)
    over = metrics.energy_over_chance(maps, masks)
    torch.testing.assert_close(over, torch.full_like(area, float(value > 0)))
    assert (metrics.energy_inside_above_floor(maps, masks) == 0).all()
    contrast = metrics.contrast(maps, masks)
    assert (contrast[area < 1].abs() < 1e-6).all()


@pytest.mark.parametrize("name", [name for name in metrics.METRICS if name != "iou"])
def test_order_of_cells_without_order_of_values_is_chance(name: str) -> None:
    """Maps of independent cells score on average what the docstring calls chance."""
    random = torch.Generator().manual_seed(9)
    maps = torch.rand(4000, 6, 6, generator=random)
    masks = torch.zeros(4000, 6, 6)
    masks[:, :3, :3] = 1
    harmonic = sum(1 / rank for rank in range(1, 37))
    chance = {
        "energy_over_chance": 1.0,
        "contrast": 0.0,
        "average_precision": 8 / 35 + 27 / 35 * harmonic / 36,  # Bestgen 2015
    }
    found = metrics.METRICS[name](maps, masks).mean().item()
    assert found == pytest.approx(chance.get(name, 0.25), abs=0.02)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_the_mask_itself_is_the_best_map(name: str, some: tuple[Tensor, Tensor]) -> None:
    """One, or the inverse of the area where the metric is over chance."""
    masks = (some[1] > 0.5).float()
    best = 1 / masks.mean((1, 2)) if name == "energy_over_chance" else torch.ones(len(masks))
    torch.testing.assert_close(metrics.METRICS[name](masks, masks), best)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_where_all_is_object_there_is_nothing_to_miss(
    name: str, some: tuple[Tensor, Tensor]
) -> None:
    """A full mask: 1, but for the share above a threshold, and no contrast."""
    maps = some[0]
    values = metrics.METRICS[name](maps, torch.ones_like(maps))
    if name == "iou":
        torch.testing.assert_close(values, (maps > 0.5).float().mean((1, 2)))
    elif name == "contrast":
        assert values.isnan().all()
    else:
        torch.testing.assert_close(values, torch.ones(len(maps)))


def test_minus_zero_is_zero() -> None:
    """Ranked by their bits, the two would be furthest apart."""
    maps = torch.tensor([[[-0.0, 0.0, 0.5]]])
    masks = torch.tensor([[[1.0, 0.0, 0.0]]])
    assert metrics.average_precision(maps, masks).item() == pytest.approx(1 / 3)


@drawn
@given(pair=pairs())
def test_iou_by_threshold_is_iou_at_each(pair: tuple[Tensor, Tensor]) -> None:
    """Also where a cell's value is a threshold."""
    alone = torch.stack([metrics.iou(*pair, threshold) for threshold in metrics.THRESHOLDS], 1)
    np.testing.assert_array_equal(metrics.iou_by_threshold(*pair), alone)


def test_the_validated_threshold_has_the_highest_mean_iou(some: tuple[Tensor, Tensor]) -> None:
    """Found by trying each, one by one."""
    maps, masks = some[0] * 0.4, some[1]
    means = [metrics.iou(maps, masks, t).nanmean().item() for t in metrics.THRESHOLDS]
    found = metrics.best_threshold(metrics.iou_by_threshold(maps, masks).nanmean(0))
    assert max(means) == pytest.approx(metrics.iou(maps, masks, found).nanmean().item())
    assert max(means) > means[49]


def test_of_equal_thresholds_the_one_next_to_the_middle_is_taken() -> None:
    """No reason to leave 0.5, none to say more than it: a map of 0 and 1, a set without objects."""
    masks = torch.zeros(2, 3, 3)
    masks[:, 0] = 1
    assert metrics.best_threshold(metrics.iou_by_threshold(masks, masks).mean(0)) == 0.5
    low = metrics.iou_by_threshold(masks * 0.2, masks).mean(0)
    assert metrics.best_threshold(low) == 0.19
    empty = metrics.iou_by_threshold(masks, torch.zeros_like(masks)).nanmean(0)
    assert metrics.best_threshold(empty) == 0.5


def test_on_another_device_nothing_comes_back_to_the_processor(some: tuple[Tensor, Tensor]) -> None:
    """Asked of a device without memory, where anything else would fail."""
    maps, masks = (one.to("meta") for one in some)
    found = metrics.measure(maps, masks, 0.3)
    found |= {name: metric(maps, masks) for name, metric in metrics.METRICS.items()}
    assert {(v.device.type, v.shape) for v in found.values()} == {("meta", maps.shape[:1])}
    assert metrics.iou_by_threshold(maps, masks).is_meta
