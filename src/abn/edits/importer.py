"""From an export to target maps, and a row for every image and every rejection.

Edits belong to images, not to the selection: one of an image that isn't selected any more is
taken too, in the role that it had in an earlier round or else to learn from, if the image is of the
training split.
"""

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from abn.edits import targets, task_file
from abn.edits.export import Edit, Provenance, Rejection, read_edits
from abn.edits.stale import Outcome, Stale, resolve
from abn.errors import AbnError

COLUMNS = (
    "image_id", "role", "annotator", "updated_at", "lead_time", "origin", "changed",
    "agreement", "stale", "status", "reason",
)  # fmt: skip
"""Of edits.csv: a row for each image that is selected or edited, and one for each rejected edit.

- image_id, role: of the manifest; finetune, choose or report as selection.csv has it or, for an
  image that is not selected any more, as the earlier round had it, else finetune.
- annotator: ids in Label Studio of those whose edits count, joined by +.
- updated_at: when the last of these edits was last changed, ISO 8601.
- lead_time: seconds that they took in sum.
- origin: annotation, or simulated if one of them is.
- changed: share of the map's cells that differ from the present model's map by more than 1/255.
- agreement: mean IoU of the annotators' maps cut at 0.5; empty where there is one annotation.
- stale: empty if all were made on the present model's map, else what became of those that were
  not: kept, rebased, kept+rebased; dropped (rejected for that alone).
- status: accepted (one row of targets.npy each, in this order), rejected, not annotated.
- reason: why it was rejected, with task and field, or why it was kept and not rebased.
"""
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
    model: str | None = None
    """The model's name, as the tasks have it; without it no edit is stale."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """sha256 by image_id, as the manifest has it; an image without one is not compared."""
    earlier: Mapping[str, str] = field(default_factory=dict)
    """Role by image_id in earlier rounds, which an image keeps that is not selected any more."""
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


def import_edits(
    files: Sequence[Path], images: Images, merge: Merge, stale: Stale = "rebase"
) -> Imported:
    """Make the target maps of all edits in Label Studio exports.

    The same annotation exported twice counts once, as it was last; all annotations of an image
    are merged, from however many tasks, stale ones as ``abn.edits.stale`` leaves them.

    Raises:
        AbnError: A file is malformed, or nothing in them can be used; says why.
    """
    grid = images.maps.shape[-1]
    collected = _Collected(images, stale)
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
    rows = list(_rows(merged, collected.rejections, images))
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

    provenance: Provenance
    outcome: Outcome


def _age(one: _OnGrid) -> tuple[datetime, int, int]:
    return one.provenance.instant, one.provenance.annotation, one.provenance.task


class _Collected:
    """Edits by image and annotation, and rejections."""

    def __init__(self, images: Images, stale: Stale) -> None:
        self._images = images
        self._stale = stale
        self.edits: dict[str, dict[tuple[int, int], _OnGrid]] = {}
        self.rejections: list[Rejection] = []
        self.annotators: set[str] = set()

    def add(self, edit: Edit) -> None:
        """Keep an edit, unless it is of an image or a map that none should be learned from."""
        of = edit.provenance
        if unfit := self._unfit(of):
            self.reject(Rejection(str(of.task), of.image_id, *unfit))
            return
        known = self.edits.get(of.image_id, {}).get((of.task, of.annotation))
        if known is not None and known.provenance.instant > of.instant:
            return
        own = self._images.own(of.image_id)
        try:
            outcome = resolve(edit, own, self._images.model, self._stale)
        except AbnError as error:
            self.reject(Rejection(str(of.task), of.image_id, "data.model", str(error), stale=True))
            return
        self.annotators.add(of.annotator)
        of_image = self.edits.setdefault(of.image_id, {})
        of_image[of.task, of.annotation] = _OnGrid(of, outcome)

    def reject(self, rejection: Rejection) -> None:
        """List what can't be used."""
        self.rejections.append(rejection)

    def _unfit(self, of: Provenance) -> tuple[str, str] | None:
        """Give the field that rules an edit out, and why."""
        if of.image_id not in self._images.roles:
            if of.image_id not in self._images.rows:
                return "data.image_id", "unknown image: the prepared set has none of this image_id"
            split = self._images.splits[self._images.rows[of.image_id]]
            if split != "train":
                return "data.image_id", f"image of the {split} split, which is not learned from"
        digest = self._images.digests.get(of.image_id)
        if of.sha256 and digest and of.sha256 != digest:
            return "data.sha256", "the image has changed since it was edited: edit it anew"
        return None


@dataclass(frozen=True)
class _Merged:
    """What an image's annotators made of its map, together."""

    target: NDArray[np.float32]
    fields: dict[str, Any]
    """Of its row in edits.csv."""


def _merged(oldest_first: Sequence[_OnGrid], own: NDArray[np.float32], merge: Merge) -> _Merged:
    every = np.stack([one.outcome.target for one in oldest_first])
    target = targets.merge(every, own, merge)
    counted = oldest_first[-1:] if merge == "latest" else oldest_first
    made = [one.provenance for one in counted]
    times = [one.lead_time for one in made if one.lead_time is not None]
    reasons = [
        f"task {one.provenance.task}: {one.outcome.reason}" for one in counted if one.outcome.reason
    ]
    return _Merged(
        target=target,
        fields={
            "annotator": "+".join(sorted({one.annotator for one in made}, key=int)),
            "updated_at": made[-1].updated_at,
            "lead_time": float(sum(times)) if times else None,
            "origin": "simulated" if any(one.simulated for one in made) else "annotation",
            "changed": targets.changed(target, own),
            "agreement": targets.agreement(every) if len(every) > 1 else None,
            "stale": "+".join(sorted({one.outcome.stale for one in counted} - {""})),
            "status": "accepted",
            "reason": "; ".join(dict.fromkeys(reasons)),
        },
    )


def _rows(
    merged: Mapping[str, _Merged], rejections: Sequence[Rejection], images: Images
) -> Iterator[dict[str, Any]]:
    """Give edits.csv's rows: the selected images, worst first, then the others."""
    rejected: dict[str, list[dict[str, str]]] = {}
    for one in rejections:
        reason = f"task {one.task}, {one.field}: {one.reason}"
        fields = {"stale": "dropped" * one.stale, "status": "rejected", "reason": reason}
        rejected.setdefault(one.image_id, []).append(fields)
    roles = {**images.earlier, **images.roles}
    for image_id in dict.fromkeys([*images.roles, *merged, *rejected]):
        row = {"image_id": image_id, "role": roles.get(image_id, "")}
        if image_id in merged:
            yield {**row, "role": row["role"] or "finetune", **merged[image_id].fields}
        for fields in rejected.get(image_id, []):
            yield {**row, **fields}
        if image_id not in merged and image_id not in rejected:
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
