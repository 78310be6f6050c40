"""From an export to target maps, and a row for every image and every rejection.

Edits belong to images, not to the selection: one of an image that isn't selected any more is
taken too, to learn from, if the image is of the training split.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from abn.edits import targets, task_file
from abn.edits.export import Edit, Rejection, read_edits
from abn.errors import AbnError

COLUMNS = (
    "image_id", "role", "annotator", "updated_at", "lead_time", "origin", "changed",
    "agreement", "status", "reason",
)  # fmt: skip
REASONS_SHOWN = 5

Merge = Literal["latest", "mean", "agreement"]


@dataclass(frozen=True)
class Images:
    """The images that can be edited: all of the prepared set, and which are selected."""

    ids: Sequence[str]
    """Of each row of ``maps``."""
    splits: Sequence[str]
    """Of each row of ``maps``."""
    roles: Mapping[str, str]
    """Role (finetune, choose, report) by image_id of the selected ones, worst first."""
    maps: NDArray[np.floating]
    """The model's own maps, N×h×h in [0, 1]."""
    rows: dict[str, int] = field(init=False)
    """Row of ``maps`` by image_id."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", {image_id: row for row, image_id in enumerate(self.ids)})

    def own(self, image_id: str) -> NDArray[np.float32]:
        """Give the model's own map of an image."""
        own: NDArray[np.floating] = self.maps[self.rows[image_id]]
        return own.astype(np.float32)


@dataclass(frozen=True)
class Imported:
    """Target maps, and what became of every image and every edit."""

    targets: NDArray[np.float32]
    """n×h×h in [0, 1], a row for each accepted row of ``rows``."""
    rows: list[dict[str, Any]]
    """Of edits.csv."""
    metrics: dict[str, float | None]


def exports(folder: Path) -> list[Path]:
    """Give the exports in a folder: all its JSON files but hidden ones.

    Raises:
        AbnError: There are none.
    """
    files = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    if not files:
        raise AbnError(f"{folder}: no export (*.json); {_HOW_TO_GET_EDITS}")
    return files


def combine(files: Sequence[Path], path: Path) -> None:
    """Write exports as one: a single one byte by byte, several as one list of tasks."""
    if len(files) == 1:
        shutil.copyfile(files[0], path)
    else:
        task_file.write(path, _tasks(files))


def import_edits(files: Sequence[Path], images: Images, merge: Merge) -> Imported:
    """Make the target maps of all edits in Label Studio exports.

    The same annotation exported twice counts once, as it was last; all annotations of an image
    are merged, from however many tasks.

    Raises:
        AbnError: A file is malformed, or nothing in them can be used; says why.
    """
    grid = images.maps.shape[-1]
    collected = _Collected(images)
    for one in read_edits(_tasks(files), targets.canvas_side(grid)):
        if isinstance(one, Edit):
            collected.add(one)
        else:
            collected.reject(one)
    if not collected.edits:
        raise AbnError(_nothing_usable(files, collected.rejections))
    merged = {
        image_id: _merged(sorted(edits.values(), key=_age), images.own(image_id), merge)
        for image_id, edits in collected.edits.items()
    }
    rows = list(_rows(merged, collected.rejections, images.roles))
    accepted = [row["image_id"] for row in rows if row["status"] == "accepted"]
    return Imported(
        targets=np.stack([merged[image_id].target for image_id in accepted]),
        rows=rows,
        metrics=_metrics(merged, rows, collected.annotators, len(images.roles)),
    )


def _tasks(files: Sequence[Path]) -> Iterator[Any]:
    return chain.from_iterable(map(task_file.read, files))


@dataclass(frozen=True)
class _OnGrid:
    """An edit on the map's grid: the canvas isn't kept."""

    edit: Edit
    target: NDArray[np.float32]


def _age(one: _OnGrid) -> tuple[datetime, int, int]:
    return one.edit.instant, one.edit.annotation, one.edit.task


class _Collected:
    """Edits by image and annotation, and rejections."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self.edits: dict[str, dict[tuple[int, int], _OnGrid]] = {}
        self.rejections: list[Rejection] = []
        self.annotators: set[str] = set()

    def add(self, edit: Edit) -> None:
        """Keep an edit, unless it is of an image that none should be learned from."""
        unfit = self._unfit(edit.image_id)
        if unfit:
            self.reject(Rejection(str(edit.task), edit.image_id, "data.image_id", unfit))
            return
        self.annotators.add(edit.annotator)
        of_image = self.edits.setdefault(edit.image_id, {})
        known = of_image.get((edit.task, edit.annotation))
        if known is None or known.edit.instant <= edit.instant:
            target = self._target(edit)
            of_image[edit.task, edit.annotation] = _OnGrid(replace(edit, painted=None), target)

    def reject(self, rejection: Rejection) -> None:
        """List what can't be used."""
        self.rejections.append(rejection)

    def _unfit(self, image_id: str) -> str:
        if image_id in self._images.roles:
            return ""
        if image_id not in self._images.rows:
            return "unknown image: the prepared set has none of this image_id"
        split = self._images.splits[self._images.rows[image_id]]
        return "" if split == "train" else f"image of the {split} split, which is not learned from"

    def _target(self, edit: Edit) -> NDArray[np.float32]:
        own = self._images.own(edit.image_id)
        return own if edit.painted is None else targets.from_canvas(edit.painted, len(own))


@dataclass(frozen=True)
class _Merged:
    """What an image's annotators made of its map, together."""

    target: NDArray[np.float32]
    fields: dict[str, Any]
    """Of its row in edits.csv."""


def _merged(oldest_first: Sequence[_OnGrid], own: NDArray[np.float32], merge: Merge) -> _Merged:
    every = np.stack([one.target for one in oldest_first])
    target = targets.merge(every, own, merge)
    counted = oldest_first[-1:] if merge == "latest" else oldest_first
    times = [one.edit.lead_time for one in counted if one.edit.lead_time is not None]
    return _Merged(
        target=target,
        fields={
            "annotator": "+".join(sorted({one.edit.annotator for one in counted}, key=int)),
            "updated_at": oldest_first[-1].edit.updated_at,
            "lead_time": float(sum(times)) if times else None,
            "origin": "simulated" if any(one.edit.simulated for one in counted) else "annotation",
            "changed": targets.changed(target, own),
            "agreement": targets.agreement(every) if len(every) > 1 else None,
            "status": "accepted",
        },
    )


def _rows(
    merged: Mapping[str, _Merged], rejections: Sequence[Rejection], roles: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Give edits.csv's rows: the selected images, worst first, then the others."""
    reasons: dict[str, list[str]] = {}
    for one in rejections:
        reason = f"task {one.task}, {one.field}: {one.reason}"
        reasons.setdefault(one.image_id, []).append(reason)
    for image_id in dict.fromkeys([*roles, *merged, *reasons]):
        row = {"image_id": image_id, "role": roles.get(image_id, "")}
        if image_id in merged:
            yield {**row, "role": row["role"] or "finetune", **merged[image_id].fields}
        for reason in reasons.get(image_id, []):
            yield {**row, "status": "rejected", "reason": reason}
        if image_id not in merged and image_id not in reasons:
            yield {**row, "status": "not annotated"}


def _metrics(
    merged: Mapping[str, _Merged],
    rows: Sequence[Mapping[str, Any]],
    annotators: set[str],
    selected: int,
) -> dict[str, float | None]:
    statuses = Counter(row["status"] for row in rows)
    agreed = [
        one.fields["agreement"] for one in merged.values() if one.fields["agreement"] is not None
    ]
    return {
        "selected": selected,
        "accepted": statuses["accepted"],
        "rejected": statuses["rejected"],
        "not_annotated": statuses["not annotated"],
        "annotators": len(annotators),
        "agreement": float(np.mean(agreed)) if agreed else None,
        "mean_changed": float(np.mean([one.fields["changed"] for one in merged.values()])),
        "edits_from_people": int(
            all(one.fields["origin"] == "annotation" for one in merged.values())
        ),
    }


def _nothing_usable(files: Sequence[Path], rejections: Sequence[Rejection]) -> str:
    where = ", ".join(map(str, files))
    if not rejections:
        return f"{where}: no annotation in it (cancelled ones do not count); {_HOW_TO_GET_EDITS}"
    reasons = Counter(f"{_any_number(one.field)}: {one.reason}" for one in rejections)
    lines = [f"  {count} × {reason}" for reason, count in reasons.most_common(REASONS_SHOWN)]
    if len(reasons) > REASONS_SHOWN:
        lines.append(f"  and {len(reasons) - REASONS_SHOWN} other reasons")
    return f"{where}: none of the edits in it can be used\n" + "\n".join(lines)


def _any_number(field: str) -> str:
    """Give a field's path without the places in lists, so that like mistakes are counted as one."""
    return re.sub(r"\.\d+", "", field)


_HOW_TO_GET_EDITS = (
    "edit data/attention/tasks.json in Label Studio and put its export (as JSON) there, "
    "or set edits.source: simulated"
)
