"""Tasks, written and read with label-studio-sdk 2.1.2: what Label Studio gets is valid."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image

from abn.edits import brush_rle, interface, targets, task_file, tasks

GRID = 6
SIDE = targets.canvas_side(GRID)
ROWS = [
    {
        "image_id": f"train-{n:05}",
        "class_name": "Coat",
        "predicted": "Bag",
        "rank": n + 1,
        "sha256": f"{n:064}",
    }
    for n in range(3)
]
MAPS = np.linspace(0, 1, 3 * GRID * GRID).reshape(3, GRID, GRID).astype(np.float16)


@pytest.fixture(params=[1, 3])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Give a folder with tasks of grey or of coloured images."""
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, request.param), np.uint8)
    tasks.write_tasks(tmp_path, ROWS, images, MAPS, "model-1")
    return tmp_path


def read(folder: Path) -> list[dict[str, Any]]:
    return list(task_file.read(folder / "tasks.json"))


def test_the_labelling_interface_is_valid() -> None:
    """The SDK finds every tool of ours in the configuration, each with its one label."""
    labels = LabelInterface(interface.CONFIG)
    labels.validate()
    assert [list(of_control) for of_control in labels.labels] == [
        *[[interface.LABEL]] * 5,
        [interface.FINE, interface.SELECT],
    ]
    assert {(control.name, control.tag) for control in labels.controls} == {
        ("attention", "BrushLabels"),
        ("polygon", "PolygonLabels"),
        ("ellipse", "EllipseLabels"),
        ("rectangle", "RectangleLabels"),
        ("keypoint", "KeyPointLabels"),
        ("verdict", "Choices"),
    }


def test_tasks_and_predictions_are_valid(folder: Path) -> None:
    """The SDK accepts each task and its pre-annotation under our labelling interface."""
    labels = LabelInterface(interface.CONFIG)
    for task in read(folder):
        assert labels.validate_prediction(task["predictions"][0], return_errors=True) == []


def test_the_pre_annotation_is_the_map(folder: Path) -> None:
    """The brush region, averaged back to the map's grid, is the model's map within 1/255."""
    for task, attention in zip(read(folder), MAPS, strict=True):
        region = task["predictions"][0]["result"][0]
        assert (region["original_width"], region["original_height"]) == (SIDE, SIDE)
        canvas = brush_rle.decode(region["value"]["rle"], SIDE, SIDE)
        back = targets.from_canvas(canvas, GRID)
        np.testing.assert_allclose(back, attention.astype(np.float32), atol=1 / 255)


def test_tasks_name_image_model_and_place(folder: Path) -> None:
    """Worst first: the lowest score, which Label Studio's uncertainty sampling shows first."""
    read_back = read(folder)
    assert read_back[0]["data"] == {
        "image": "/data/local-files/?d=attention/images/train-00000.png",
        "image_id": "train-00000",
        "class_name": "Coat",
        "predicted": "Bag",
        "model": "model-1",
        "rank": 1,
        "sha256": "0" * 64,
    }
    predictions = [task["predictions"][0] for task in read_back]
    assert [one["model_version"] for one in predictions] == ["model-1"] * 3
    assert [one["score"] for one in predictions] == pytest.approx([0, 1 / 3, 2 / 3], abs=1e-6)


def test_images_fill_the_canvas(folder: Path) -> None:
    """Each task's image lies where the task says, as large as its brush region."""
    for task in read(folder):
        name = task["data"]["image"].removeprefix("/data/local-files/?d=attention/")
        with Image.open(folder / name) as image:
            assert image.size == (SIDE, SIDE)


def test_the_same_map_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """Nothing in tasks and images changes from run to run."""
    images = np.random.default_rng(1).integers(0, 256, (3, 12, 12, 1), np.uint8)
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tasks.write_tasks(tmp_path / name, ROWS, images, MAPS, "model-1")
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]
