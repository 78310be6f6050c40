"""Each annotation of an export is an edit, nothing, or a rejection that names the field."""

import sys
from typing import Any

import numpy as np
import pytest

from abn.edits import brush_rle, interface
from abn.edits.export import Edit, Rejection, read_edits
from abn.errors import AbnError
from tests.edits.exports import SIDE, annotation, brush, choice, painted, shape, task

BAND = painted((2, 5, 255))


def only_edit(*regions: Any, **changes: Any) -> Edit:
    (edit,) = read_edits([task(annotation(*regions, **changes))], SIDE)
    assert isinstance(edit, Edit), edit
    return edit


def only_rejection(raw: Any) -> Rejection:
    (rejection,) = read_edits([raw], SIDE)
    assert isinstance(rejection, Rejection), rejection
    return rejection


def test_soft_brush_values_are_kept_exactly() -> None:
    """All 256 levels arrive as they were exported."""
    soft = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)
    np.testing.assert_array_equal(only_edit(brush(soft)).painted, soft)


def test_an_edit_says_whose_it_is() -> None:
    """Task, image, annotation, annotator, time and lead time are the export's."""
    edit = only_edit(brush(BAND))
    of = edit.provenance
    assert (of.task, of.image_id, of.annotation) == (12, "train-00001", 70)
    assert (of.annotator, of.updated_at) == ("3", "2026-01-02T10:00:30.500000Z")
    assert of.lead_time == 12.5
    assert (of.model, of.sha256) == (None, None)


def test_the_annotator_may_be_an_object() -> None:
    """Of a user given as an object the id is taken, not the address."""
    assert only_edit(completed_by={"id": 8, "email": "a@b.c"}).provenance.annotator == "8"


def test_regions_are_joined_by_their_maximum() -> None:
    """Where two regions overlap the stronger one counts."""
    edit = only_edit(brush(painted((0, 7, 100))), brush(painted((4, 11, 60))))
    np.testing.assert_array_equal(edit.painted, painted((0, 7, 100), (8, 11, 60)))


def test_an_empty_result_says_nowhere() -> None:
    """An annotation without regions is an edit that is zero everywhere."""
    np.testing.assert_array_equal(only_edit().painted, painted())


SHOWN = painted((8, 9, 40))
OTHER = {"id": 8, "model_version": "model-b", "result": [brush(BAND)]}
PARENT = {"id": 9, "model_version": "model-a", "result": [brush(SHOWN)]}
ON_A = {"image_id": "train-00001", "model": "model-a"}


@pytest.mark.parametrize(
    ("parent", "predictions"),
    [(9, [OTHER, PARENT]), (None, [OTHER, PARENT]), (7, [8, OTHER, PARENT]), (9, [None, PARENT])],
)
def test_the_map_that_was_shown(parent: int | None, predictions: list[Any]) -> None:
    """It is the annotation's parent prediction, or else the prediction of the task's model."""
    made = annotation(brush(BAND), parent_prediction=parent)
    (edit,) = read_edits([task(made, data=ON_A, predictions=predictions)], SIDE)
    assert isinstance(edit, Edit)
    np.testing.assert_array_equal(edit.shown(), SHOWN)


BROKEN = {**PARENT, "result": [brush(SHOWN, original_width=8)]}


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([], "predictions: the map that was shown is not in the export"),
        ([9, 8], "predictions: the map that was shown is not in the export"),
        ("foo", "predictions: the map that was shown is not in the export"),
        ([OTHER], "predictions: the map that was shown is not in the export"),
        ([OTHER, BROKEN], r"predictions\.1\.result\.0\.original_width: is 8, must be 16"),
        ([{"id": 9, "result": []}], r"predictions\.0\.result: is \[\]"),
    ],
)
def test_a_map_that_was_shown_and_cannot_be_had(predictions: Any, message: str) -> None:
    """The edit can be read all the same; who asks for the map learns what is wrong, and where."""
    (edit,) = read_edits([task(annotation(), data=ON_A, predictions=predictions)], SIDE)
    assert isinstance(edit, Edit)
    with pytest.raises(AbnError, match=message):
        edit.shown()


def test_whether_the_shown_map_was_deleted() -> None:
    """Only if each region says that it was drawn anew, or there is none."""
    assert only_edit().from_nothing
    assert only_edit(brush(BAND, origin="manual")).from_nothing
    assert not only_edit(brush(BAND), brush(BAND, origin="prediction")).from_nothing
    assert not only_edit(brush(BAND, origin="prediction-changed")).from_nothing
    assert not only_edit(lacking(brush(BAND), "origin")).from_nothing


@pytest.mark.parametrize("regions", [[choice()], [brush(BAND), choice()]])
def test_fine_as_it_is(regions: list[Any]) -> None:
    """The choice stands for the model's own map, whatever region lies beside it."""
    assert only_edit(*regions).painted is None


@pytest.mark.parametrize(
    ("region", "share"),
    [
        (shape("rectangle", x=25, y=25, width=50, height=50, rotation=0), 0.25),
        (shape("rectangle", x=100, y=0, width=50, height=100, rotation=90), 0.5),
        (shape("ellipse", x=50, y=50, radiusX=50, radiusY=25, rotation=0), np.pi / 8),
        (shape("polygon", points=[[0, 0], [100, 0], [0, 100]], closed=True), 0.5),
        (shape("keypoint", x=50, y=50, width=2), 2 * np.pi * 0.05**2),
    ],
)
def test_shapes_become_masks(region: Any, share: float) -> None:
    """Every tool's region covers its share of the canvas."""
    edit = only_edit(region)
    assert edit.painted is not None
    assert edit.painted.mean() / 255 == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize(
    "left_out",
    [
        task(),
        task(annotation(brush(BAND), was_cancelled=True)),
        task(annotation(brush(BAND), choice(interface.SELECT))),
    ],
)
def test_what_is_no_edit(left_out: Any) -> None:
    """Predictions, drafts, cancelled annotations and the mark for editing give nothing."""
    assert list(read_edits([left_out], SIDE)) == []


def test_one_bad_annotation_leaves_the_others() -> None:
    """What can't be used is rejected alone; the rest of the task and export is read."""
    good, bad = annotation(brush(BAND)), annotation(brush(BAND, image_rotation=90))
    found = list(read_edits([task(good, bad), "foo", task(good)], SIDE))
    assert [type(one) for one in found] == [Edit, Rejection, Rejection, Edit]
    assert found[2] == Rejection("#2", "", "task", found[2].reason)  # type: ignore[union-attr]


def changed(region: dict[str, Any], **value: Any) -> dict[str, Any]:
    return {**region, "value": {**region["value"], **value}}


def lacking(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


RECTANGLE = shape("rectangle", x=1, y=1, width=9, height=9)
OTHER_SIZE = brush_rle.encode(np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize(
    ("region", "field", "reason"),
    [
        ("foo", "", "is 'foo'"),
        (brush(BAND, original_width=64), ".original_width", "is 64, must be 16"),
        (brush(BAND, original_height=15), ".original_height", "is 15, must be 16"),
        (brush(BAND, original_height="16"), ".original_height", "is '16': "),
        (lacking(brush(BAND), "original_width"), ".original_width", "is missing"),
        (brush(BAND, image_rotation=90), ".image_rotation", "is 90.0, must be 0"),
        (brush(BAND, from_name="brush"), ".from_name", "is 'brush', must be 'attention'"),
        (brush(BAND, to_name="picture"), ".to_name", "is 'picture'"),
        (brush(BAND, type="textarea"), ".type", "is 'textarea', which is no tool"),
        (brush(BAND, type=["brushlabels"]), ".type", "is ['brushlabels']"),
        (brush(BAND, value=None), ".value", "is None"),
        (changed(brush(BAND), brushlabels=["Car"]), ".value.brushlabels", "is ['Car'], must be"),
        (changed(brush(BAND), brushlabels=None), ".value.brushlabels", "is None, must be"),
        (changed(brush(BAND), format="png"), ".value.format", "is 'png'"),
        (changed(brush(BAND), rle="AAAA"), ".value.rle", "is 'AAAA'"),
        (changed(brush(BAND), rle=[1, 2]), ".value.rle", "the brush RLE is truncated"),
        (changed(brush(BAND), rle=OTHER_SIZE), ".value.rle", "the brush RLE is of another size"),
        (changed(RECTANGLE, x=None), ".value.x", "is None"),
        (changed(RECTANGLE, x=float("nan")), ".value.x", "is nan: Input should be a finite"),
        (changed(RECTANGLE, x=1e300), ".value.x", "is 1e+300"),
        (changed(RECTANGLE, x=10**400), ".value.x", "is 1000"),
        (changed(RECTANGLE, width=-5), ".value.width", "is -5"),
        (changed(RECTANGLE, x=150), ".value", "covers nothing of the image"),
        (shape("polygon", points=[[0, 0], [1, 1]]), ".value.points", "at least 3 items"),
        (shape("polygon", points=[[0, 0], [1, 1], [2]]), ".value.points.2", "at least 2 items"),
        (shape("polygon", points=[[0, 0], [1, 1], [2, "3"]]), ".value.points.2.1", "is '3'"),
        (choice("Looks good"), ".value.choices", "is ['Looks good'], must be"),
    ],
)
def test_a_region_that_cannot_be_used(region: Any, field: str, reason: str) -> None:
    """The rejection names task, image, the field's path in the task, what is there and why not."""
    rejection = only_rejection(task(annotation(brush(BAND), region)))
    assert (rejection.task, rejection.image_id) == ("12", "train-00001")
    assert rejection.field == f"annotations.0.result.1{field}"
    assert reason in rejection.reason


GOOD = annotation(brush(BAND))


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        (task(lacking(GOOD, "was_cancelled")), "annotations.0.was_cancelled", "is missing"),
        (task({**GOOD, "was_cancelled": 0}), "annotations.0.was_cancelled", "is 0"),
        (task({**GOOD, "completed_by": None}), "annotations.0.completed_by", "is None"),
        (task({**GOOD, "completed_by": {}}), "annotations.0.completed_by", "is None"),
        (task({**GOOD, "updated_at": "today"}), "annotations.0.updated_at", "must be an ISO 8601"),
        (task({**GOOD, "updated_at": "2026-01-02T10:00:00"}), "annotations.0.updated_at", "zone"),
        (task({**GOOD, "updated_at": 5}), "annotations.0.updated_at", "is 5"),
        (task({**GOOD, "lead_time": -1}), "annotations.0.lead_time", "is -1"),
        (
            task({**GOOD, "parent_prediction": "9"}),
            "annotations.0.parent_prediction",
            "is '9'",
        ),
        (task({**GOOD, "id": True}), "annotations.0.id", "is True"),
        (task({**GOOD, "result": "foo"}), "annotations.0.result", "is 'foo'"),
        (task(None), "annotations.0", "is None"),
        (task(GOOD, annotations=5), "annotations", "is 5"),
        (lacking(task(GOOD), "annotations"), "annotations", "is missing"),
    ],
)
def test_an_annotation_that_cannot_be_used(raw: Any, field: str, reason: str) -> None:
    """Every field of an annotation is checked before it is used."""
    rejection = only_rejection(raw)
    assert (rejection.task, rejection.image_id, rejection.field) == ("12", "train-00001", field)
    assert reason in rejection.reason


@pytest.mark.parametrize(
    ("raw", "names", "field"),
    [
        ([], ("#1", ""), "task"),
        ({}, ("#1", ""), "id"),
        (task(GOOD, id="12"), ("#1", "train-00001"), "id"),
        (task(GOOD, id=2**70), ("#1", "train-00001"), "id"),
        (task(GOOD, data="train-00001.png"), ("12", ""), "data"),
        (task(GOOD, data={}), ("12", ""), "data.image_id"),
        (task(GOOD, image_id="../../x"), ("12", ""), "data.image_id"),
        (task(GOOD, data={"image_id": "a", "model": 5}), ("12", ""), "data.model"),
        (task(GOOD, data={"image_id": "a", "sha256": "abc"}), ("12", ""), "data.sha256"),
        (task(GOOD, image_id="a\n"), ("12", ""), "data.image_id"),
        (task(GOOD, image_id="\ud800"), ("12", ""), "data.image_id"),
    ],
)
def test_a_task_that_cannot_be_used(raw: Any, names: tuple[str, str], field: str) -> None:
    """A task without id is named by its place; an image_id that can't be one is not repeated."""
    rejection = only_rejection(raw)
    assert (rejection.task, rejection.image_id, rejection.field) == (*names, field)


def test_reasons_are_short_plain_lines() -> None:
    """However large, deep or strange the value, the reason is one short line of ASCII."""
    deep: Any = []
    for _ in range(sys.getrecursionlimit() * 2):
        deep = [deep]
    for value in (deep, "\ud800\n\x00" * 9, "x" * 10**6, list(range(10**6)), 10**4000):
        rejection = only_rejection(task(annotation(brush(BAND, type=value))))
        assert rejection.reason.isascii()
        assert rejection.reason.isprintable()
        assert len(rejection.reason) < 200
