"""Bring people's annotations from Label Studio to the snapshot data/annotations/export.json.

The snapshot holds what the server gives, in the shape of Label Studio's JSON export, a task a line
in the order of ids; only what is the same whenever it is asked for, so that a pull that brings
nothing new changes no byte. What tells the next pull which tasks changed stands in the scratch
folder, and holds only for the snapshot whose digest it names: without it, everything is fetched.
"""

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from abn import atomic, paths
from abn.edits import interface, task_file
from abn.edits.label_studio import project as projects
from abn.edits.label_studio.client import PAGE_WHOLE, Connection
from abn.edits.label_studio.project import Project
from abn.progress import say, track

SNAPSHOT = "export.json"
OVERLAP = timedelta(minutes=1)
"""How far before the newest known change to look: what was begun earlier may be saved later."""
LARGE = 10_000_000
"""Bytes from which on a snapshot is better kept by DVC than by git."""
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"

TASK_FIELDS = (
    "id", "data", "meta", "annotations", "predictions", "created_at", "inner_id", "project",
    "total_annotations", "cancelled_annotations", "total_predictions",
)  # fmt: skip
"""No updated_at, which moves when nobody has edited anything, and no drafts."""
ANNOTATION_FIELDS = (
    "id", "completed_by", "result", "was_cancelled", "ground_truth", "created_at", "updated_at",
    "lead_time", "last_action", "task", "project", "parent_prediction", "parent_annotation",
    "unique_id",
)  # fmt: skip
PREDICTION_FIELDS = ("id", "model_version", "score", "result", "created_at", "task")

_IDENTITY = ("id", "created_at")

Task = dict[str, Any]
Change = tuple[str, int, int]
"""Of a task: when it last changed, how many annotations it has, how many times it was skipped."""


@dataclass(frozen=True)
class Pulled:
    """What a pull found, in images."""

    project: Project
    annotated: int
    skipped: int
    changed: int
    """Annotated, skipped or changed since the last pull."""
    deleted: int
    """In the last snapshot, and on the server no longer, or without annotations."""
    marked: int
    """To be edited, by people who looked through the images."""

    def summary(self) -> str:
        """Say it in a line or two."""
        text = (
            f"{self.project}: {self.annotated} annotated, {self.skipped} skipped; since the last "
            f"pull {self.changed} changed, {self.deleted} deleted"
        )
        if not self.marked:
            return text
        return f"{text}\n{self.marked} are marked for editing: {paths.SELECTED} lists them"


@dataclass(frozen=True)
class Status:
    """How far people have come, in images."""

    project: Project
    images: int
    annotated: int
    skipped: int
    changed: int
    """Since the last pull, deletions among them."""
    lacking: list[str]
    """What somebody renamed or removed in the labelling interface."""

    def summary(self) -> str:
        """Say it in a line or two."""
        text = (
            f"{self.project}: {self.images} images, {self.annotated} annotated, {self.skipped} "
            f"skipped; {self.changed} changed since the last pull"
        )
        if not self.lacking:
            return text
        return f"{text}\nIts labelling interface lacks {', '.join(self.lacking)}: push puts it back"


def pull(server: Connection, folder: Path, selected: Path, key: str) -> Pulled:
    """Make the snapshot in ``folder`` what the server has; if that fails it stays what it was.

    Where people marked images for editing, ``selected`` lists them afterwards.

    Raises:
        AbnError: there is no such project, or the server fails.
    """
    project = projects.need(server, key)
    snapshot = folder / SNAPSHOT
    before = _State.load(project, snapshot)
    now, changed = _changes(server, project, before)
    gone = {task for task in before.tasks if _worked(before.tasks[task])} - set(_with_work(now))
    fetch = [task for task in _with_work(now) if task in changed]
    if not before.tasks:
        _set_aside(server, project, snapshot)
    marked: list[str] = []
    if fetch or gone or not before.tasks:
        kept = _kept(snapshot if before.tasks else None, gone | set(fetch))
        fetched = track(_fetched(server, project, fetch), "pulling annotations", len(fetch))
        merged = heapq.merge(kept, fetched, key=lambda task: int(task["id"]))
        task_file.write(snapshot, _noting_marks(merged, marked))
    if marked:
        atomic.write_csv(selected, [{"image_id": one} for one in marked], ["image_id"])
    _State(project.id, now).save(project, snapshot)
    annotated, skipped = _tally(now)
    return Pulled(project, annotated, skipped, len(fetch), len(gone), len(marked))


def status(server: Connection, folder: Path, key: str) -> Status:
    """Count what people have done, and what of it the snapshot in ``folder`` lacks."""
    project = projects.need(server, key)
    before = _State.load(project, folder / SNAPSHOT)
    now, changed = _changes(server, project, before)
    gone = {task for task in before.tasks if _worked(before.tasks[task])} - set(_with_work(now))
    annotated, skipped = _tally(now)
    return Status(
        project=project,
        images=len(now),
        annotated=annotated,
        skipped=skipped,
        changed=sum(task in changed for task in _with_work(now)) + len(gone),
        lacking=projects.lacks(project.config),
    )


def _set_aside(server: Connection, project: Project, snapshot: Path) -> None:
    """Keep what the snapshot holds of another project, one since deleted perhaps, beside it."""
    if not snapshot.exists():
        return
    known = {(task.get("id"), task.get("created_at")) for task in task_file.read(snapshot)}
    there = ((task["id"], task["created_at"]) for task in server.tasks(project.id, _IDENTITY))
    if known and known.isdisjoint(there):
        aside = snapshot.with_name(f"export-{_digest(snapshot)[:8]}.json")
        snapshot.replace(aside)
        say(f"{snapshot} held the edits of another project; it is {aside} now, and imported too")


def next_steps(folder: Path) -> str:
    """Give the commands that go on from the snapshot: keep it with git or DVC, run the pipeline."""
    tracked = folder.with_name(folder.name + ".dvc")
    size = (folder / SNAPSHOT).stat().st_size
    if tracked.exists():
        keep = [f"dvc add {folder}", f"git add {tracked}", "dvc push"]
    elif size > LARGE:
        keep = [f"git rm -r --cached --ignore-unmatch {folder}", f"dvc add {folder}",
                f"git add {tracked}", "dvc push"]  # fmt: skip
    else:
        keep = [f"git add {folder}"]
    head = "Next, with edits.source: annotations in params.yaml:"
    return "\n".join([head, *(f"  {line}" for line in [*keep, "dvc repro"])])


@dataclass(frozen=True)
class _State:
    """What the server had at the last pull."""

    project: int
    tasks: dict[int, Change]

    @classmethod
    def load(cls, project: Project, snapshot: Path) -> "_State":
        """Read the state that belongs to this snapshot; an empty one if there is none."""
        try:
            text = json.loads(_state_file(project).read_text(encoding="utf-8"))
            if text["project"] == project.id and text["snapshot"] == _digest(snapshot):
                tasks = {int(task): tuple(change) for task, change in text["tasks"].items()}
                return cls(project.id, tasks)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return cls(project.id, {})

    def save(self, project: Project, snapshot: Path) -> None:
        """Write the state that belongs to this snapshot."""
        text = {"project": self.project, "snapshot": _digest(snapshot), "tasks": self.tasks}
        atomic.write_text(_state_file(project), json.dumps(text))

    @property
    def newest(self) -> str | None:
        """From when on to look for changes."""
        if not self.tasks:
            return None
        newest = max(change[0] for change in self.tasks.values())
        return (datetime.fromisoformat(newest) - OVERLAP).strftime(TIME)


def _state_file(project: Project) -> Path:
    return paths.scratch() / "annotations" / f"{project.key}.json"


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _changes(
    server: Connection, project: Project, before: _State
) -> tuple[dict[int, Change], set[int]]:
    """Give the state of all tasks now, and which differ from ``before``."""
    since = before.newest
    where = [("updated_at", "greater_or_equal", "Datetime", since)] if since else []
    fields = ("id", "updated_at", "total_annotations", "cancelled_annotations")
    recent = {
        task["id"]: (task["updated_at"], task["total_annotations"], task["cancelled_annotations"])
        for task in server.tasks(project.id, fields, where)
    }
    now = before.tasks | recent
    if since and server.count(project.id) != len(now):
        there = {task["id"] for task in server.tasks(project.id, ["id"])}
        now = {task: change for task, change in now.items() if task in there}
    changed = {task for task, change in now.items() if before.tasks.get(task) != change}
    return dict(sorted(now.items())), changed


def _worked(change: Change) -> bool:
    return bool(change[1] or change[2])


def _with_work(tasks: dict[int, Change]) -> Iterator[int]:
    return (task for task, change in tasks.items() if _worked(change))


def _tally(tasks: dict[int, Change]) -> tuple[int, int]:
    """Count the tasks that are annotated, and those that are only skipped."""
    annotated = sum(change[1] > 0 for change in tasks.values())
    return annotated, sum(_worked(change) for change in tasks.values()) - annotated


def _fetched(server: Connection, project: Project, ids: Sequence[int]) -> Iterator[Task]:
    fields = {*TASK_FIELDS, *ANNOTATION_FIELDS}
    for start in range(0, len(ids), PAGE_WHOLE):
        some = list(ids[start : start + PAGE_WHOLE])
        for task in server.tasks(project.id, fields, [("id", "in_list", "List", some)], whole=True):
            yield _lasting(task)


def _lasting(task: Any) -> Task:
    """Keep of a task what is the same whenever it is asked for."""
    annotations = [_only(one, ANNOTATION_FIELDS) for one in task["annotations"]]
    predictions = [_only(one, PREDICTION_FIELDS) for one in task["predictions"]]
    return {**_only(task, TASK_FIELDS), "annotations": annotations, "predictions": predictions}


def _only(values: Any, fields: Iterable[str]) -> dict[str, Any]:
    return {name: values[name] for name in fields if name in values}


def _kept(snapshot: Path | None, without: set[int]) -> Iterator[Task]:
    if snapshot:
        yield from (task for task in task_file.read(snapshot) if task["id"] not in without)


def _noting_marks(tasks: Iterable[Task], marked: list[str]) -> Iterator[Task]:
    """Pass tasks on; note in ``marked`` the images that somebody marked to be edited."""
    for task in tasks:
        if any(_marks(region) for one in task["annotations"] for region in one["result"]):
            marked.append(task["data"]["image_id"])
        yield task


def _marks(region: Any) -> bool:
    """Tell whether a region, of whatever shape people imported, is the mark."""
    value = region.get("value") if isinstance(region, dict) else None
    return isinstance(value, dict) and value.get("choices") == [interface.SELECT]
