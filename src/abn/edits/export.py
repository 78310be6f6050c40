"""One reader of Label Studio's JSON exports: each annotation is an edit or a listed rejection.

Every field is checked before it is used. Images are matched by ``data.image_id`` alone.
Cancelled annotations, drafts and predictions are no edits and left out; a prediction is read only
to know the map on which an edit was made.
"""

import reprlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from abn.edits import brush_rle, interface, shapes
from abn.errors import AbnError


@dataclass(frozen=True)
class Provenance:
    """Whose edit it is, of which image and of which model's map."""

    task: int
    image_id: str
    annotation: int
    annotator: str
    updated_at: str
    """ISO 8601 with time zone, as the export has it."""
    lead_time: float | None
    """Seconds."""
    simulated: bool
    """Not made by a person."""
    model: str | None
    """Name of the model whose map was edited; None where the task doesn't say."""
    sha256: str | None
    """Digest of the prepared image that was shown; None where the task has none."""

    @property
    def instant(self) -> datetime:
        """When the annotation was last changed."""
        return datetime.fromisoformat(self.updated_at)


@dataclass(frozen=True)
class Edit:
    """What one annotator made of one image's map."""

    provenance: Provenance
    painted: NDArray[np.uint8] | None
    """uint8 side×side, 0 to 255; None where the annotator says that the map is fine as it is."""
    from_nothing: bool
    """Whether the map that was shown was deleted: then all of ``painted`` is the annotator's."""
    shown: Callable[[], NDArray[np.uint8]]
    """Decode the map that the annotator was shown, uint8 side×side: the annotation's parent
    prediction, or that of the task's model. Raises ``AbnError`` where the export lacks it."""


@dataclass(frozen=True)
class Rejection:
    """What can't be used, and why."""

    task: str
    """The task's id, or its place in the export where it has none."""
    image_id: str
    """Empty where the task has none."""
    field: str
    """Path to what is wrong, within the task."""
    reason: str
    stale: bool = False
    """Usable but for being made on another model's map."""


def read_edits(tasks: Iterable[Any], side: int) -> Iterator[Edit | Rejection]:
    """Read the tasks of an export, drawn on canvases of ``side``×``side``, one at a time.

    An annotation with a region that can't be used is rejected whole: the rest of it is not what
    its annotator meant. Regions are joined by their maximum; none at all says "nowhere". The
    choice that the map is fine as it is outweighs any region beside it.
    """
    for place, raw in enumerate(tasks, start=1):
        try:
            task = _validated(_Task, raw, "")
        except _Unusable as unusable:
            yield Rejection(*_names(raw, place), unusable.field, unusable.reason)
            continue
        for n, annotation in enumerate(task.annotations):
            try:
                edit = _edit(task, annotation, f"annotations.{n}", side)
            except _Unusable as unusable:
                yield Rejection(str(task.id), task.data.image_id, unusable.field, unusable.reason)
            else:
                if edit is not None:
                    yield edit


class _Unusable(Exception):  # noqa: N818 (no error: it becomes a rejection)
    """A field that can't be used."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class _Fields(BaseModel):
    """The fields that are read; exports hold many more."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


Fields = TypeVar("Fields", bound=_Fields)


def _with_time_zone(text: str) -> str:
    try:
        known = datetime.fromisoformat(text).tzinfo is not None
    except (ValueError, OverflowError):
        known = False
    if not known:
        raise ValueError("must be an ISO 8601 time with its zone")
    return text


def _id_of_user(user: Any) -> Any:
    return user.get("id") if isinstance(user, dict) else user


MANUAL = "manual"
"""Origin of a region that was drawn; one that was shown keeps a word of the prediction."""
Id = Annotated[int, Field(ge=0, lt=1 << 63)]
Percent = Annotated[float, Field(ge=-100, le=200)]
"""A rotated shape's corner may lie outside the image."""
Extent = Annotated[float, Field(gt=0, le=300)]
Degrees = Annotated[float, Field(ge=-360, le=360)]


class _Data(_Fields):
    simulated: bool = False
    image_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class _WithId(_Fields):
    id: Id


class _WithData(_Fields):
    data: _Data


class _Task(_WithData, _WithId):
    annotations: list[Any]
    predictions: Any = None
    """Not checked before it is needed: few edits need it."""


class _Annotation(_Fields):
    id: Id
    completed_by: Annotated[Id, BeforeValidator(_id_of_user)]
    updated_at: Annotated[str, AfterValidator(_with_time_zone)]
    lead_time: Annotated[float, Field(ge=0)] | None = None
    was_cancelled: bool
    result: list[Any]
    parent_prediction: Id | None = None


class _Prediction(_Fields):
    result: Annotated[list[Any], Field(min_length=1)]


class _Region(_Fields):
    type: str
    from_name: str
    to_name: Literal["image"]
    origin: Any = None
    value: dict[str, Any]


class _Canvas(_Fields):
    original_width: int
    original_height: int
    image_rotation: float = 0


class _Brush(_Fields):
    format: Literal["rle"]
    rle: list[Any]

    def mask(self, side: int) -> NDArray[np.uint8]:
        return brush_rle.decode(self.rle, side, side)


class _Polygon(_Fields):
    points: Annotated[
        list[Annotated[list[Percent], Field(min_length=2, max_length=2)]],
        Field(min_length=3, max_length=10_000),
    ]

    def mask(self, side: int) -> NDArray[np.uint8]:
        return shapes.polygon(self.points, side)


class _Rectangle(_Fields):
    x: Percent
    y: Percent
    width: Extent
    height: Extent
    rotation: Degrees = 0

    def mask(self, side: int) -> NDArray[np.uint8]:
        return shapes.rectangle((self.x, self.y), (self.width, self.height), self.rotation, side)


class _Ellipse(_Fields):
    x: Percent
    y: Percent
    radiusX: Extent  # noqa: N815 (Label Studio's name)
    radiusY: Extent  # noqa: N815
    rotation: Degrees = 0

    def mask(self, side: int) -> NDArray[np.uint8]:
        return shapes.ellipse((self.x, self.y), (self.radiusX, self.radiusY), self.rotation, side)


class _Keypoint(_Fields):
    x: Annotated[float, Field(ge=0, le=100)]
    y: Annotated[float, Field(ge=0, le=100)]
    width: Annotated[float, Field(ge=0, le=100)]

    def mask(self, side: int) -> NDArray[np.uint8]:
        return shapes.keypoint((self.x, self.y), self.width, side)


_Drawn = _Brush | _Polygon | _Rectangle | _Ellipse | _Keypoint
_TOOLS: dict[str, tuple[str, type[_Drawn]]] = {
    "brushlabels": (interface.BRUSH, _Brush),
    "polygonlabels": (interface.POLYGON, _Polygon),
    "rectanglelabels": (interface.RECTANGLE, _Rectangle),
    "ellipselabels": (interface.ELLIPSE, _Ellipse),
    "keypointlabels": (interface.KEYPOINT, _Keypoint),
}
"""By a region's type, its control in the labelling interface and its fields."""


def _edit(task: _Task, raw: Any, path: str, side: int) -> Edit | None:
    """Read an annotation; None if it was cancelled or only marks the image for editing."""
    annotation = _validated(_Annotation, raw, path)
    if annotation.was_cancelled:
        return None
    drawing = _drawing(annotation.result, f"{path}.result", side)
    if drawing.selects:
        return None
    return Edit(
        provenance=Provenance(
            task=task.id,
            image_id=task.data.image_id,
            annotation=annotation.id,
            annotator=str(annotation.completed_by),
            updated_at=annotation.updated_at,
            lead_time=annotation.lead_time,
            simulated=task.data.simulated,
            model=task.data.model,
            sha256=task.data.sha256,
        ),
        painted=None if drawing.fine else drawing.painted,
        from_nothing=drawing.manual,
        shown=partial(_shown_map, task, annotation.parent_prediction, side),
    )


@dataclass
class _Drawing:
    """What the regions of a result say together."""

    painted: NDArray[np.uint8]
    manual: bool = True
    """No region came from a prediction."""
    fine: bool = False
    selects: bool = False


def _drawing(result: list[Any], path: str, side: int) -> _Drawing:
    drawing = _Drawing(np.zeros((side, side), np.uint8))
    for n, raw in enumerate(result):
        place = f"{path}.{n}"
        region = _validated(_Region, raw, place)
        if region.type == "choices":
            if region.value.get("choices") == [interface.SELECT]:
                drawing.selects = True
                return drawing
            _check_names(region, interface.VERDICT, interface.FINE, place)
            drawing.fine = True
        else:
            np.maximum(drawing.painted, _mask(region, raw, place, side), out=drawing.painted)
            drawing.manual &= region.origin == MANUAL
    return drawing


def _shown_map(task: _Task, parent: int | None, side: int) -> NDArray[np.uint8]:
    """Decode the map that an annotation of ``task`` began with."""
    try:
        place, prediction = _shown_prediction(task, parent)
        return _drawing(prediction.result, f"predictions.{place}.result", side).painted
    except _Unusable as unusable:
        raise AbnError(f"{unusable.field}: {unusable.reason}") from None


def _shown_prediction(task: _Task, parent: int | None) -> tuple[int, _Prediction]:
    """Give the prediction that ``parent`` names, or else that of the task's model, and its place.

    Exports without predictions hold none, or only their ids.
    """
    raw = task.predictions if isinstance(task.predictions, list) else []
    wholes = [(n, one) for n, one in enumerate(raw) if isinstance(one, dict)]
    for field, wanted in (("id", parent), ("model_version", task.data.model)):
        for n, one in wholes:
            if wanted is not None and one.get(field) == wanted:
                return n, _validated(_Prediction, one, f"predictions.{n}")
    raise _Unusable("predictions", "the map that was shown is not in the export")


def _mask(region: _Region, raw: Any, path: str, side: int) -> NDArray[np.uint8]:
    if region.type not in _TOOLS:
        raise _Unusable(f"{path}.type", f"is {_shown(region.type)}, which is no tool of ours")
    control, kind = _TOOLS[region.type]
    _check_names(region, control, interface.LABEL, path)
    canvas = _validated(_Canvas, raw, path)
    for name, found, expected in (
        ("original_width", canvas.original_width, side),
        ("original_height", canvas.original_height, side),
        ("image_rotation", canvas.image_rotation, 0),
    ):
        if found != expected:
            raise _Unusable(f"{path}.{name}", f"is {_shown(found)}, must be {expected}")
    drawn = _validated(kind, region.value, f"{path}.value")
    try:
        return drawn.mask(side)
    except AbnError as error:
        raise _Unusable(f"{path}.value{'.rle' * (kind is _Brush)}", str(error)) from None


def _check_names(region: _Region, control: str, label: str, path: str) -> None:
    """Check that the region's control and label are those of our labelling interface."""
    labels = region.value.get(region.type)
    for field, found, expected in (
        (f"{path}.from_name", region.from_name, control),
        (f"{path}.value.{region.type}", labels, [label]),
    ):
        if found != expected:
            raise _Unusable(
                field, f"is {_shown(found)}, must be {expected!r}: renamed in Label Studio?"
            )


def _validated(kind: type[Fields], raw: Any, path: str) -> Fields:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
    field = ".".join(filter(None, [path, *map(str, mistake["loc"])])) or "task"
    if mistake["type"] == "missing":
        raise _Unusable(field, "is missing")
    raise _Unusable(
        field, f"is {_shown(mistake['input'])}: {mistake['msg'].removeprefix('Value error, ')}"
    )


def _shown(value: Any) -> str:
    """Show any value, however large or deep, in one short line of plain characters."""
    return reprlib.repr(value).encode("ascii", "backslashreplace").decode()[:80]


def _names(task: Any, place: int) -> tuple[str, str]:
    """Give what can be told of a malformed task: id or place in the export, and image_id."""
    try:
        task_id = str(_validated(_WithId, task, "").id)
    except _Unusable:
        task_id = f"#{place}"
    try:
        return task_id, _validated(_WithData, task, "").data.image_id
    except _Unusable:
        return task_id, ""
