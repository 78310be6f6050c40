"""A person in a real browser edits maps in a real Label Studio; what they did arrives, no more."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from abn import paths
from abn.edits import brush_rle, importer, targets, task_file
from abn.edits.label_studio import client
from abn.edits.label_studio.project import Project
from abn.edits.label_studio.pull import pull
from abn.edits.label_studio.push import push
from tests.label_studio.server import GRID, Studio, image_id, key, studio, studio_process

__all__ = ["key", "studio", "studio_process"]

SIDE = targets.canvas_side(GRID)
BRUSH = 15.0
ERASER = 10.0
"""Label Studio's own widths of the strokes, pixels of the screen at zoom 1."""
EDGE = 0.75
"""Half a pixel's diagonal: an edge pixel is painted in part."""

Points = list[tuple[float, float]]

PAINTED: Points = [(100, 100), (300, 100), (300, 240)]
ERASED: Points = [(400, 400), (600, 420)]

STATE = """() => {
    const image = window.Htx?.annotationStore?.selected?.names.get('image');
    return image && {side: image.stageWidth, height: image.stageHeight, zoom: image.zoomScale,
        task: window.Htx.task.id, ready: image.imageIsLoaded ?? true,
        regions: window.Htx.annotationStore.selected.regions.map(
            (one) => [one.type, one.origin, (one.touches || []).length])}
}"""


class Editor:
    """Label Studio's editor, as somebody at the screen uses it."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def log_in(self, studio: Studio) -> None:
        self.page.goto(f"{studio.login.url}/user/login")
        self.page.fill("input[name=email]", studio.login.username)
        self.page.fill("input[name=password]", studio.login.password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/user/login" not in url)

    def begin(self, studio: Studio, project: Project) -> None:
        """Go to the project, press "Label All Tasks", read and close the instructions."""
        self.page.goto(f"{studio.login.url}/projects/{project.id}/data")
        self.page.get_by_text("Label All Tasks").click()
        self.page.get_by_text("Labeling Instructions").wait_for()
        self.page.keyboard.press("Escape")

    def wait_for_other_task(self, than: int | None = None) -> dict[str, Any]:
        """Wait until a task is shown with its image and region; give the editor's state."""
        self.page.wait_for_function(
            f"(than) => {{ const state = ({STATE})(); return state && state.task !== than "
            "&& state.side > 0 && state.regions.length > 0 }",
            arg=than,
        )
        self.page.locator(".konvajs-content").first.wait_for()
        state: dict[str, Any] = self.page.evaluate(STATE)
        return state

    def select_region(self) -> None:
        self.page.locator(".lsf-outliner-item").first.click()

    def stroke(self, tool: str, points: Points, touches: int) -> None:
        """Draw a line with a tool, chosen by its key; wait until there are so many strokes."""
        self.page.keyboard.press(tool)
        box = self.page.locator(".konvajs-content").first.bounding_box()
        (x, y), *rest = points
        self.page.mouse.move(box["x"] + x, box["y"] + y)
        self.page.mouse.down()
        for x, y in rest:
            self.page.mouse.move(box["x"] + x, box["y"] + y, steps=10)
        self.page.mouse.up()
        strokes = f"({STATE})().regions.reduce((sum, one) => sum + one[2], 0)"
        self.page.wait_for_function(f"(count) => {strokes} === count", arg=touches)

    def press(self, button: str) -> None:
        with self.page.expect_response(lambda answer: "/annotations" in answer.url):
            self.page.get_by_test_id(f"bottombar-{button}-button").click()


@pytest.fixture
def editor(browser: Any) -> Iterator[Editor]:
    """A page at the size at which the editor's zoom is 1."""
    page = browser.new_page(viewport={"width": 1920, "height": 1080})
    yield Editor(page)
    page.close()


def _distance(points: Points, scale: float) -> NDArray[np.float64]:
    """Give each canvas pixel's distance from a line, drawn on the screen, in canvas pixels."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    nearest = np.full((SIDE, SIDE), np.inf)
    line = np.array(points) * scale
    for (x0, y0), (x1, y1) in pairwise(line):
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length, 0, 1)
        at = x0 + along * (x1 - x0), y0 + along * (y1 - y0)
        nearest = np.minimum(nearest, np.hypot(x - at[0], y - at[1]))
    return nearest


def _canvas(result: list[dict[str, Any]]) -> NDArray[np.uint8]:
    assert len(result) == 1
    return brush_rle.decode(result[0]["value"]["rle"], SIDE, SIDE)


def test_only_what_the_browser_painted_and_erased_differs_from_the_map(
    studio: Studio, key: str, editor: Editor
) -> None:
    """One image painted and erased, one submitted untouched, one skipped: all arrive as done.

    Pixel for pixel at canvas size, the strokes are 255 and 0 and all else is the pre-annotation;
    the untouched submission is the model's own map within 1/255; the skipped one is no edit.
    """
    maps = studio.write_tasks(3)
    with client.connect() as server:
        project = push(server, studio.tasks, None, 1, key).project

    editor.log_in(studio)
    editor.begin(studio, project)
    state = editor.wait_for_other_task()
    assert (state["side"], state["height"], state["zoom"]) == (720, 720, 1)
    assert state["regions"] == [["brushregion", "prediction", 0]]
    editor.select_region()
    editor.stroke("b", PAINTED, touches=1)
    editor.stroke("e", ERASED, touches=2)
    editor.press("submit")
    state = editor.wait_for_other_task(state["task"])
    editor.press("submit")
    editor.wait_for_other_task(state["task"])
    editor.press("skip")

    with client.connect() as server:
        pulled = pull(server, paths.ANNOTATIONS, paths.SELECTED, key)
    assert (pulled.annotated, pulled.skipped) == (2, 1)
    export = paths.ANNOTATIONS / "export.json"
    tasks = list(task_file.read(export))
    assert [task["data"]["image_id"] for task in tasks] == [image_id(n) for n in range(3)]

    before = _canvas(tasks[0]["predictions"][0]["result"])
    after = _canvas(tasks[0]["annotations"][0]["result"])
    scale = SIDE / 720
    painted = _distance(PAINTED, scale) - BRUSH / 2 * scale
    erased = _distance(ERASED, scale) - ERASER / 2 * scale
    assert (after[painted < -EDGE] == 255).all()
    assert (after[erased < -EDGE] == 0).all()
    elsewhere = (painted > EDGE) & (erased > EDGE)
    assert np.array_equal(after[elsewhere], before[elsewhere])
    assert np.array_equal(before, targets.to_canvas(maps[0]))
    assert np.array_equal(_canvas(tasks[1]["annotations"][0]["result"]), targets.to_canvas(maps[1]))

    ids = [image_id(n) for n in range(3)]
    images = importer.Images(ids, ["train"] * 3, dict.fromkeys(ids, "finetune"), maps)
    imported = importer.import_edits([export], images, "latest")
    assert [row["image_id"] for row in imported.rows if row["status"] == "accepted"] == ids[:2]
    touched = targets.from_canvas(np.where(elsewhere, 0, 255).astype(np.uint8), GRID) > 0
    assert np.abs(imported.targets[0] - maps[0])[~touched].max() <= 1 / 255
    assert np.abs(imported.targets[0] - maps[0])[touched].max() > 0.1
    assert np.abs(imported.targets[1] - maps[1]).max() <= 1 / 255


def test_painting_over_the_map_without_choosing_it_first_adds_to_it(
    studio: Studio, key: str, editor: Editor
) -> None:
    """A stroke that made a region of its own joins the map below it: the brighter counts."""
    maps = studio.write_tasks(1)
    with client.connect() as server:
        project = push(server, studio.tasks, None, 1, key).project
    editor.log_in(studio)
    editor.begin(studio, project)
    editor.wait_for_other_task()
    editor.page.keyboard.press("1")
    editor.stroke("b", PAINTED, touches=1)
    editor.press("submit")
    with client.connect() as server:
        pull(server, paths.ANNOTATIONS, paths.SELECTED, key)
    images = importer.Images([image_id(0)], ["train"], {image_id(0): "finetune"}, maps)
    export = paths.ANNOTATIONS / "export.json"
    regions = next(task_file.read(export))["annotations"][0]["result"]
    assert [region["origin"] for region in regions] == ["prediction", "manual"]
    target = importer.import_edits([export], images, "latest").targets[0]
    assert (target >= maps[0] - 1 / 255).all()
    assert (target > maps[0] + 0.1).any()
