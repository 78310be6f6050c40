import numpy as np
import pandas as pd
import pytest

from abn.attention.maps import to_grid
from abn.data.edited import Edited
from abn.data.prepared import Prepared
from abn.training import comparison

GRID = (12, 12)


@pytest.fixture
def edits() -> dict[str, Edited]:
    some = {"finetune": [0, 1, 2], "choose": [3], "report": [4, 5]}
    return {
        role: Edited(np.array(rows), np.zeros((len(rows), *GRID), np.float32))
        for role, rows in some.items()
    }


def _samples(data: Prepared, right_after: float) -> pd.DataFrame:
    labels = data.labels
    after = np.where(np.arange(len(labels)) < right_after * len(labels), labels, (labels + 1) % 10)
    table = data.manifest[["image_id", "split", "label"]].copy()
    for column, values in {"before_predicted": labels, "after_predicted": after}.items():
        table[column] = table[f"branch_{column}"] = values
    return table


def test_maps_that_become_the_masks_score_one(tiny_set: Prepared, edits: dict[str, Edited]) -> None:
    """By split, before and after, beside what is free."""
    assert tiny_set.masks is not None
    perfect = to_grid(tiny_set.masks, GRID).numpy().astype(np.float16)
    maps = {"before": np.full_like(perfect, 0.1), "after": perfect}
    found = comparison.summarise(_samples(tiny_set, 1.0), maps, tiny_set, edits)
    assert found["before"]["test"]["iou"] == 0
    assert found["after"]["test"]["iou"] == 1
    assert found["before"]["test"]["iou_threshold"] < 0.1 < found["before"]["test"]["iou_validated"]
    assert found["after"]["test"]["iou_validated"] == 1
    assert found["after"]["test"]["iou_threshold"] == 0.5
    assert found["after"]["val"]["accuracy"] == 1
    free = found["baselines"]["test"]
    assert 0 < free["constant_map"]["iou"] < 1
    assert 0 < free["class_mean_mask"]["iou"] < 1
    assert found["attention_mse"]["before"]["report"] == pytest.approx(0.01, rel=1e-2)


def test_accuracy_is_counted_by_split(tiny_set: Prepared, edits: dict[str, Edited]) -> None:
    """Rows are the manifest's: train, val, test."""
    maps = dict.fromkeys(("before", "after"), np.zeros((len(tiny_set.manifest), *GRID), np.float16))
    found = comparison.summarise(_samples(tiny_set, 260 / 320), maps, tiny_set, edits)
    assert found["after"]["val"]["accuracy"] == 1
    assert found["after"]["test"]["accuracy"] == 0


def test_without_masks_held_out_edits_speak_alone(
    tiny_set: Prepared, edits: dict[str, Edited]
) -> None:
    """No alignment by split, no baselines; the edited maps held out are the masks there are."""
    bare = Prepared(**(vars(tiny_set) | {"masks": None}))
    for role in ("choose", "report"):
        edits[role].targets[:, :4] = 1
    maps = dict.fromkeys(("before", "after"), np.zeros((len(tiny_set.manifest), *GRID), np.float16))
    maps["after"] = maps["after"].copy()
    maps["after"][:, :4] = 0.4
    found = comparison.summarise(_samples(tiny_set, 1.0), maps, bare, edits)
    assert set(found["after"]["test"]) == {"accuracy", "branch_accuracy"}
    assert found["before"]["held_out"]["iou"] == 0
    assert found["after"]["held_out"]["iou"] == 0
    assert found["after"]["held_out"]["iou_validated"] == 1
    assert found["after"]["held_out"]["iou_threshold"] == 0.39
    assert "baselines" not in found


def test_nothing_held_out_has_no_alignment(tiny_set: Prepared, edits: dict[str, Edited]) -> None:
    """Nor does it break anything: the threshold stays in the middle."""
    bare = Prepared(**(vars(tiny_set) | {"masks": None}))
    nothing = Edited(np.zeros(0, np.int64), np.zeros((0, *GRID), np.float32))
    maps = dict.fromkeys(("before", "after"), np.zeros((len(tiny_set.manifest), *GRID), np.float16))
    some = edits | {"choose": nothing, "report": nothing}
    found = comparison.summarise(_samples(tiny_set, 1.0), maps, bare, some)
    assert found["after"]["held_out"] == {}
