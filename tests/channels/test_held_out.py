from dataclasses import replace

import numpy as np
import pytest

from abn.attention.maps import coverage
from abn.channels import held_out
from abn.data.edited import Edited
from abn.data.prepared import Prepared

GRID = (12, 12)


@pytest.fixture
def edits(tiny_set: Prepared) -> dict[str, Edited]:
    train = tiny_set.rows("train")
    targets = np.zeros((6, *GRID), np.float32)
    targets[:, :6] = 1
    roles = {"finetune": train[:6], "choose": train[6:12], "report": train[12:18]}
    return {role: Edited(rows, targets.copy()) for role, rows in roles.items()}


def test_with_masks_test_images_are_judged_by_them(
    tiny_set: Prepared, edits: dict[str, Edited]
) -> None:
    """The first test images, inside where the mask covers over half of a cell."""
    found = held_out.choose(tiny_set, edits, 40)
    tests = tiny_set.rows("test")[:40]
    assert found.by == "masks"
    assert found.rows.tolist() == tests.tolist()
    assert found.labels.tolist() == tiny_set.labels[tests].tolist()
    assert tiny_set.masks is not None
    inside = coverage(tiny_set.masks, found.rows[found.judged], GRID) > 0.5
    assert (found.inside == inside).all()
    assert len(found.judged) > 30


def test_edited_test_images_are_left_out(tiny_set: Prepared, edits: dict[str, Edited]) -> None:
    """Whoever chose images by hand may have taken some of the test split."""
    tests = tiny_set.rows("test")
    edits["finetune"] = edits["finetune"]._replace(rows=tests[[0, 2, 4, 6, 8, 10]])
    found = held_out.choose(tiny_set, edits, 5)
    assert found.rows.tolist() == tests[[1, 3, 5, 7, 9]].tolist()


def test_a_mask_without_inside_or_outside_judges_nothing(
    tiny_set: Prepared, edits: dict[str, Edited]
) -> None:
    """An empty mask and one that covers all give no contrast; accuracy still counts the image."""
    assert tiny_set.masks is not None
    masks = tiny_set.masks.copy()
    tests = tiny_set.rows("test")
    masks[tests[0]], masks[tests[1]] = 0, 1
    found = held_out.choose(replace(tiny_set, masks=masks), edits, 10)
    assert found.judged.tolist() == list(range(2, 10))
    assert len(found.labels) == 10


@pytest.mark.parametrize("masks", ["none", "empty"])
def test_without_masks_edits_held_out_are_judged_by(
    masks: str, tiny_set: Prepared, edits: dict[str, Edited]
) -> None:
    """Those to choose by and to report by, never those learned from; accuracy is the tests'."""
    edits["report"].targets[0] = 0
    nothing = None if masks == "none" else np.zeros_like(tiny_set.masks)
    found = held_out.choose(replace(tiny_set, masks=nothing), edits, 20)
    assert found.by == "edits"
    assert len(found.labels) == 20
    usable = [*edits["choose"].rows, *edits["report"].rows[1:]]
    assert found.rows[found.judged].tolist() == usable
    assert found.inside.shape == (11, *GRID)
    assert found.inside[:, :6].all()
    assert not found.inside[:, 6:].any()
