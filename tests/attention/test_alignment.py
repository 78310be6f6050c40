"""Alignment over chunks of rows, and beside what costs nothing."""

import numpy as np
import pytest
import torch

from abn.attention import alignment, metrics
from abn.attention.baselines import best_constant_map
from abn.attention.maps import to_grid
from abn.data.prepared import Prepared

GRID = (12, 12)


@pytest.fixture
def masks(tiny_set: Prepared) -> np.ndarray:
    assert tiny_set.masks is not None
    return tiny_set.masks


@pytest.fixture
def maps(masks: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(2)
    return (random.random((len(masks), *GRID)) * 0.4).astype(np.float16)


def test_chunks_are_one_after_the_other(
    maps: np.ndarray, masks: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any rows in any order, whatever the chunk."""
    rows = np.array([5, 3, 200, 7, 7, 41, 0])
    monkeypatch.setattr(alignment, "CHUNK", 3)
    found = alignment.by_image(maps, masks, rows, 0.2)
    at_once = metrics.measure(
        torch.from_numpy(maps[rows].astype(np.float32)), to_grid(masks[rows], GRID), 0.2
    )
    assert found.keys() == at_once.keys() >= {"iou_validated"}
    for name, values in at_once.items():
        np.testing.assert_array_equal(found[name], values.numpy())
    assert alignment.by_image(maps, masks, rows[:0]) == {}


def test_the_threshold_is_that_of_all_chunks_together(
    maps: np.ndarray, masks: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The highest mean IoU over the rows; images without object have no say."""
    masks = masks.copy()
    masks[50:60] = 0
    monkeypatch.setattr(alignment, "CHUNK", 40)
    rows = np.arange(100)
    found = alignment.validated_threshold(maps, masks, rows)
    pairs = torch.from_numpy(maps[rows].astype(np.float32)), to_grid(masks[rows], GRID)
    means = [metrics.iou(*pairs, t).nanmean().item() for t in metrics.THRESHOLDS]
    assert means[metrics.THRESHOLDS.index(found)] == pytest.approx(max(means))
    assert found < 0.4


def test_means_leave_out_what_has_no_value() -> None:
    """Of some images, or of all."""
    values = {"iou": np.float32([0.5, np.nan, 1]), "contrast": np.float32([np.nan] * 3)}
    assert alignment.means(values) == {"iou": 0.75}


def test_every_metric_has_its_chance_level_and_what_is_free(
    tiny_set: Prepared, masks: np.ndarray
) -> None:
    """For a map that is the same everywhere, one for all images and one for each class."""
    rows = {split: tiny_set.rows(split) for split in tiny_set.splits}
    found = alignment.baselines(masks, tiny_set.labels, rows["train"], rows, GRID)
    assert set(found) == set(rows)
    for of_split in found.values():
        assert set(of_split) == {"uniform_map", "constant_map", "class_mean_mask"}
        for values in of_split.values():
            assert set(values) == {*metrics.METRICS, "iou_validated"}
            assert values["iou_validated"] == values["iou"]
        for metric, reached in of_split["constant_map"].items():
            assert reached > of_split["uniform_map"][metric], metric
    uniform = found["test"]["uniform_map"]
    area = (to_grid(masks[rows["test"]], GRID) > 0.5).float().mean().item()
    for name in ("iou", "average_precision", "relevance_rank_accuracy", "pointing_game"):
        assert uniform[name] == pytest.approx(area)
    assert uniform["energy_over_chance"] == pytest.approx(1)
    assert uniform["contrast"] == pytest.approx(0, abs=1e-6)


def test_the_cheap_maps_are_the_better_of_mean_and_cut(
    tiny_set: Prepared, masks: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cut has the higher IoU, the mean the higher average precision; each has its say."""
    train, test = tiny_set.rows("train"), tiny_set.rows("test")
    monkeypatch.setattr(alignment, "CHUNK", 7)
    found = alignment.baselines(masks, tiny_set.labels, train, {"test": test}, GRID)["test"]
    drawn, cover = to_grid(masks[train], GRID), to_grid(masks[test], GRID)
    cut, mean = best_constant_map(drawn).expand_as(cover), drawn.mean(0).expand_as(cover)
    constant = found["constant_map"]
    assert constant["iou"] == pytest.approx(metrics.iou(cut, cover).mean().item())
    precision = metrics.average_precision(mean, cover).mean().item()
    assert precision > metrics.average_precision(cut, cover).mean().item()
    assert constant["average_precision"] == pytest.approx(precision)
    labels = torch.tensor(tiny_set.labels)
    of_class = torch.stack([drawn[labels[train] == k].mean(0) for k in range(10)])[labels[test]]
    precision = metrics.average_precision(of_class, cover).mean().item()
    assert found["class_mean_mask"]["average_precision"] == pytest.approx(precision)
