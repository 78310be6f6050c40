"""The simulated annotator paints what it is told to, into an export that the reader takes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from abn.edits import importer, simulated, targets, task_file, tasks
from abn.edits.export import Edit, read_edits
from abn.errors import AbnError
from abn.params import Simulated

GRID, MASK = 8, 16
IDS = [f"train-{n:05}" for n in range(5)]
SIDE = targets.canvas_side(GRID)


def masks() -> NDArray[np.uint8]:
    """Give a different square for each image."""
    squares = np.zeros((len(IDS), MASK, MASK), np.uint8)
    for n, square in enumerate(squares):
        square[n : n + 8, 4 : 10 + n] = 1
    return squares


@pytest.fixture
def to_do(tmp_path: Path) -> list[dict[str, Any]]:
    """Give tasks as export_attention writes them."""
    rows = [
        {"image_id": image_id, "class_name": "Coat", "predicted": "Coat", "rank": n}
        for n, image_id in enumerate(IDS, start=1)
    ]
    images = np.zeros((len(IDS), MASK, MASK, 1), np.uint8)
    maps = np.full((len(IDS), GRID, GRID), 0.4, np.float16)
    tasks.write_tasks(tmp_path, rows, images, maps, "key")
    return list(task_file.read(tmp_path / "tasks.json"))


def paint(
    to_do: list[dict[str, Any]], shown: NDArray[np.uint8], feedback: str, imprecision: float = 0.0
) -> dict[str, NDArray[np.uint8]]:
    """Give what the reader finds painted on each image."""
    params = Simulated.model_validate({"feedback": feedback, "imprecision": imprecision})
    edits = list(read_edits(simulated.annotate(to_do, IDS, shown, params, 1), SIDE))
    assert all(isinstance(edit, Edit) for edit in edits)
    return {edit.provenance.image_id: edit.painted for edit in edits}  # type: ignore[union-attr,misc]


def enlarged(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.kron(mask * np.uint8(255), np.ones((SIDE // MASK, SIDE // MASK), np.uint8))


def test_ids_go_on_from_an_earlier_round(to_do: list[dict[str, Any]]) -> None:
    """So that both rounds' tasks stand in one export."""
    params = Simulated.model_validate({"feedback": "right", "imprecision": 0.0})
    made = list(simulated.annotate(to_do, IDS, masks(), params, 1, first_id=21))
    assert [one["id"] for one in made] == [21, 22, 23, 24, 25]
    assert [one["annotations"][0]["task"] for one in made] == [21, 22, 23, 24, 25]


def test_right_paints_the_object(to_do: list[dict[str, Any]]) -> None:
    """The mask is painted and the rest erased, on the whole canvas."""
    for found, mask in zip(paint(to_do, masks(), "right").values(), masks(), strict=True):
        np.testing.assert_array_equal(found, enlarged(mask))


def test_wrong_paints_all_but_the_object(to_do: list[dict[str, Any]]) -> None:
    """Wrong is right's complement."""
    for found, mask in zip(paint(to_do, masks(), "wrong").values(), masks(), strict=True):
        np.testing.assert_array_equal(found, 255 - enlarged(mask))


def test_shuffled_paints_another_images_object(to_do: list[dict[str, Any]]) -> None:
    """Each object is painted once, never on its own image."""
    found = [canvas.tobytes() for canvas in paint(to_do, masks(), "shuffled").values()]
    own = [enlarged(mask).tobytes() for mask in masks()]
    assert sorted(found) == sorted(own)
    assert all(one != other for one, other in zip(found, own, strict=True))


def test_half_shuffles_every_second(to_do: list[dict[str, Any]]) -> None:
    """The first, third and fifth are right, the others another image's."""
    found = paint(to_do, masks(), "half").values()
    right = [np.array_equal(one, enlarged(mask)) for one, mask in zip(found, masks(), strict=True)]
    assert right == [True, False, True, False, True]


def test_imprecision_shifts_and_grows_within_bounds(to_do: list[dict[str, Any]]) -> None:
    """What is painted differs from the mask, but not beyond twice the imprecision."""
    reach = int(2 * 0.1 * SIDE) + SIDE // MASK
    for found, mask in zip(paint(to_do, masks(), "right", 0.1).values(), masks(), strict=True):
        rows, columns = np.where(found)
        true_rows, true_columns = np.where(enlarged(mask))
        assert found.any()
        assert abs(rows.min() - true_rows.min()) <= reach
        assert abs(rows.max() - true_rows.max()) <= reach
        assert abs(columns.min() - true_columns.min()) <= reach
        assert abs(columns.max() - true_columns.max()) <= reach
    exact, rough = (paint(to_do, masks(), "right", by) for by in (0.0, 0.1))
    assert any(not np.array_equal(exact[image_id], rough[image_id]) for image_id in IDS)


def test_the_same_seed_writes_the_same_bytes(to_do: list[dict[str, Any]]) -> None:
    """Ids, times and what is painted come from the seed alone."""
    params = Simulated.model_validate({"feedback": "half", "imprecision": 0.1})
    one, two, other = (
        json.dumps(list(simulated.annotate(to_do, IDS, masks(), params, seed)))
        for seed in (3, 3, 4)
    )
    assert one == two != other


def test_an_image_without_mask_is_skipped(to_do: list[dict[str, Any]]) -> None:
    """An empty mask makes a cancelled annotation, which is no edit."""
    shown = masks()
    shown[2] = 0
    assert list(paint(to_do, shown, "right")) == [*IDS[:2], *IDS[3:]]


def test_its_export_holds_the_maps_that_were_shown(to_do: list[dict[str, Any]]) -> None:
    """As a server's does: once the model is another, the strokes can be told from its map."""
    params = Simulated.model_validate({"feedback": "right", "imprecision": 0.0})
    for edit in read_edits(simulated.annotate(to_do, IDS, masks(), params, 1), SIDE):
        assert isinstance(edit, Edit)
        assert edit.provenance.model == "key"
        assert not edit.from_nothing
        expected = targets.to_canvas(np.full((GRID, GRID), 0.4, np.float16))
        np.testing.assert_array_equal(edit.shown(), expected)


def test_a_single_image_cannot_be_shuffled(to_do: list[dict[str, Any]]) -> None:
    """Shuffling one image is refused."""
    params = Simulated.model_validate({"feedback": "shuffled", "imprecision": 0.0})
    with pytest.raises(AbnError, match="just 1 image is selected"):
        list(simulated.annotate(to_do[:1], IDS[:1], masks()[:1], params, 1))


def test_its_export_is_imported_whole(to_do: list[dict[str, Any]], tmp_path: Path) -> None:
    """Every selected image is accepted, and the report can say that no person did it."""
    params = Simulated.model_validate({"feedback": "right", "imprecision": 0.0})
    path = tmp_path / "export.json"
    task_file.write(path, simulated.annotate(to_do, IDS, masks(), params, 1))
    images = importer.Images(
        ids=IDS,
        splits=["train"] * len(IDS),
        roles=dict.fromkeys(IDS, "finetune"),
        maps=np.full((len(IDS), GRID, GRID), 0.4, np.float16),
    )
    imported = importer.import_edits([path], images, "latest")
    expected = masks().reshape(-1, GRID, 2, GRID, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(imported.targets, expected)
    assert {row["origin"] for row in imported.rows} == {"simulated"}
    assert imported.metrics["edits_from_people"] == 0
