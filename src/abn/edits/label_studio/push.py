"""Bring the selected images and their maps to Label Studio; doing it twice changes nothing.

What is there is looked up first, by the image's id in the task's data. A push that died while the
server was at work may leave an image twice, so that too is looked up, and the second task removed,
as long as nobody has touched it.
"""

import json
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from abn.edits import interface, task_file
from abn.edits.label_studio import project as projects
from abn.edits.label_studio.client import Connection
from abn.edits.label_studio.project import Project
from abn.errors import AbnError
from abn.progress import say, track

TASKS_A_BATCH = 250
BYTES_A_BATCH = 16_000_000
"""The server takes up to 200 MB; less keeps its memory and ours small."""
IMAGES_A_BATCH = 50

STATE = ("id", "data", "total_annotations", "cancelled_annotations")
TASK_PATH = "api/tasks/{}/"

Task = dict[str, Any]


@dataclass(frozen=True)
class Known:
    """A task on the server."""

    id: int
    image_id: str
    model: str
    touched: bool
    """Whether anybody annotated, skipped or began it."""


@dataclass(frozen=True)
class Pushed:
    """What a push did, in images."""

    project: Project
    url: str
    new: int
    updated: int
    kept: int
    """Touched, with the map of an earlier model."""
    unselected: int
    """On the server, but not in the present selection."""

    def summary(self) -> str:
        """Say it in a line or two."""
        lines = [f"{self.project}: {self.new} images new, {self.updated} maps updated"]
        if self.kept:
            lines.append(f"{self.kept} keep an earlier model's map: somebody has begun them")
        if self.unselected:
            lines.append(f"{self.unselected} of earlier selections stay")
        return "\n".join([*lines, f"Edit them at {self.url}"])


def push(server: Connection, tasks: Path, images: str | None, annotators: int, key: str) -> Pushed:
    """Make the project what tasks.json says, but for what people have touched.

    Args:
        server: where to.
        tasks: tasks.json, worst image first.
        images: how the server gets the images: ``local`` (it reads the repository's files),
            ``upload``, or an address that ``/<image_id>.png`` is appended to (object storage, a
            web server). None: local if the server runs on this machine, else upload.
        annotators: how many people are to edit each image.
        key: of the project.

    Raises:
        AbnError: tasks.json is malformed, the server fails or refuses; names project and field.
    """
    first = next(task_file.read(tasks), None)
    if first is None:
        raise AbnError(f"{tasks}: no tasks in it; run `dvc repro export_attention`")
    model = _model(first, tasks)
    project = _ready(server, key, annotators)
    images = images or ("local" if server.local else "upload")
    if images == "local":
        _let_read(server, project, tasks.parent)
    known = _without_doubles(server, project)
    before = server.count(project.id)
    selection: dict[str, str] = {}
    missing = _missing(tasks, known, selection)
    new = _import(server, project, _with_images(server, project, missing, images, tasks.parent))
    if server.count(project.id) != before + new:
        _check_arrived(_without_doubles(server, project), selection, project)
    outdated = {
        image_id: task
        for image_id, task in known.items()
        if image_id in selection and task.model != selection[image_id]
    }
    untouched = {image_id: task for image_id, task in outdated.items() if not task.touched}
    updated = _update(server, task_file.read(tasks), untouched) if untouched else 0
    if project.model != model and len(outdated) - updated < len(selection):
        projects.change(server, project, model_version=model)
    return Pushed(
        project=project,
        url=f"{server.url}/projects/{project.id}/data",
        new=new,
        updated=updated,
        kept=len(outdated) - updated,
        unselected=len(known.keys() - selection.keys()),
    )


def known_tasks(server: Connection, project: Project) -> Iterator[Known]:
    """Yield the project's tasks that show an image of ours, and whether they are touched."""
    drafts = {
        task["id"]
        for task in server.tasks(project.id, ["id"], [("draft_exists", "equal", "Boolean", True)])
    }
    for task in server.tasks(project.id, STATE):
        image_id = task["data"].get("image_id")
        if isinstance(image_id, str):
            annotated = task["total_annotations"] or task["cancelled_annotations"]
            yield Known(
                id=task["id"],
                image_id=image_id,
                model=str(task["data"].get("model")),
                touched=bool(annotated) or task["id"] in drafts,
            )


def _ready(server: Connection, key: str, annotators: int) -> Project:
    """Find the project or make it; put back what somebody renamed in its interface."""
    project = projects.find(server, key)
    if project is None:
        return projects.make(server, key, f"Attention maps {key[:6]}", annotators)
    if missing := projects.lacks(project.config):
        say(f"{project}: its labelling interface lacks {', '.join(missing)}; putting it back")
        return projects.change(server, project, label_config=interface.CONFIG)
    return project


def _let_read(server: Connection, project: Project, folder: Path) -> None:
    """Allow the server on this machine to show the images of ``folder``."""
    path = str(folder.resolve())
    storages = server.get("api/storages/localfiles/", str(project), project=project.id)
    if all(storage["path"] != path for storage in storages):
        storage = {"project": project.id, "title": "images", "path": path, "use_blob_urls": True}
        try:
            server.post("api/storages/localfiles/", f"local files for {project}", storage)
        except AbnError as error:
            way_out = "`abn annotate push --images upload` does without"
            raise AbnError(f"{error}; {way_out}") from None


def _without_doubles(server: Connection, project: Project) -> dict[str, Known]:
    """List the tasks by image; of two untouched ones, or beside a touched one, remove the later."""
    known: dict[str, Known] = {}
    for task in sorted(known_tasks(server, project), key=lambda task: not task.touched):
        if task.image_id not in known:
            known[task.image_id] = task
        elif not task.touched and not _is_touched(_whole(server, task.id)):
            server.delete(TASK_PATH.format(task.id), f"task {task.id} ({task.image_id})")
    return known


def _missing(tasks: Path, known: Container[str], selection: dict[str, str]) -> Iterator[Task]:
    """Yield the tasks that the server lacks; note the model of each image in ``selection``."""
    with tasks.open("rb") as stream:
        lines = sum(1 for _ in stream)
    for task in track(task_file.read(tasks), "pushing images", lines - 2):
        image_id = _image_id(task, tasks)
        if image_id in selection:
            raise AbnError(f"{tasks}: {image_id} stands there twice")
        selection[image_id] = _model(task, tasks)
        if image_id not in known:
            yield task


def _check_arrived(known: Container[str], selection: Iterable[str], project: Project) -> None:
    if lost := [image_id for image_id in selection if image_id not in known]:
        raise AbnError(
            f"{project}: {len(lost)} images did not arrive, {lost[0]} among them; push again"
        )


def _import(server: Connection, project: Project, tasks: Iterable[Task]) -> int:
    """Import in batches, each sent once; give how many tasks."""
    imported = 0
    for batch in _batches(tasks):
        text = f"[{','.join(batch)}]"
        answer = server.post(f"api/projects/{project.id}/import", f"images for {project}", text)
        if answer.get("task_count") != len(batch):
            raise AbnError(
                f"{project}: of {len(batch)} images the server took {answer.get('task_count')}; "
                "push again"
            )
        imported += len(batch)
    return imported


def _batches(tasks: Iterable[Task]) -> Iterator[list[str]]:
    """Yield tasks as JSON texts, as many at once as the server takes with ease."""
    batch: list[str] = []
    size = 0
    for task in tasks:
        text = json.dumps(task, separators=(",", ":"))
        if batch and (len(batch) == TASKS_A_BATCH or size + len(text) > BYTES_A_BATCH):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def _with_images(
    server: Connection, project: Project, tasks: Iterable[Task], images: str, folder: Path
) -> Iterator[Task]:
    """Say in each task where the server finds its image, having brought it there if need be."""
    if images == "upload":
        yield from _uploaded(server, project, tasks, folder)
    elif images == "local":
        yield from tasks
    else:
        for task in tasks:
            yield _showing(task, f"{images.rstrip('/')}/{task['data']['image_id']}.png")


def _uploaded(
    server: Connection, project: Project, tasks: Iterable[Task], folder: Path
) -> Iterator[Task]:
    """Upload the images that no earlier push did; the server puts a prefix before their names."""
    path = f"api/projects/{project.id}/file-uploads"

    def there() -> dict[str, str]:
        files = [one["file"] for one in server.get(path, str(project), all="true")]
        return {file.rsplit("/", 1)[-1].split("-", 1)[-1]: f"/data/{file}" for file in files}

    known = there()
    for batch in _in_groups(tasks, IMAGES_A_BATCH):
        names = [f"{task['data']['image_id']}.png" for task in batch]
        if missing := [name for name in names if name not in known]:
            server.upload(
                f"api/projects/{project.id}/import",
                f"images for {project}",
                [(name, _image(folder / "images" / name)) for name in missing],
                commit_to_project="false",
            )
            known = there()
        yield from (_showing(task, known[name]) for task, name in zip(batch, names, strict=True))


def _image(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise AbnError(f"{file}: not found; run `dvc repro export_attention`") from None


def _showing(task: Task, image: str) -> Task:
    return {**task, "data": {**task["data"], interface.IMAGE: image}}


def _in_groups(tasks: Iterable[Task], size: int) -> Iterator[list[Task]]:
    iterator = iter(tasks)
    while group := list(islice(iterator, size)):
        yield group


def _update(server: Connection, tasks: Iterable[Task], outdated: dict[str, Known]) -> int:
    """Show the present model's maps in tasks that nobody has touched; give how many.

    Each is read again just before it is changed, and what says which model it shows is changed
    last: a push that died in between begins that task anew.
    """
    updated = 0
    stale = (task for task in tasks if task["data"]["image_id"] in outdated)
    for task in track(stale, "updating maps", len(outdated)):
        known = outdated[task["data"]["image_id"]]
        there = _whole(server, known.id)
        if _is_touched(there):
            continue
        what = f"task {known.id} ({known.image_id})"
        prediction = {**task["predictions"][0], "task": known.id}
        ours = [one["id"] for one in there["predictions"] if one["model_version"] in
                (known.model, prediction["model_version"])]  # fmt: skip
        if ours:
            server.patch(f"api/predictions/{ours[0]}/", what, prediction)
        else:
            server.post("api/predictions/", what, prediction)
        data = {**task["data"], interface.IMAGE: there["data"][interface.IMAGE]}
        server.patch(TASK_PATH.format(known.id), what, {"data": data})
        updated += 1
    return updated


def _whole(server: Connection, task: int) -> Any:
    return server.get(TASK_PATH.format(task), f"task {task}", resolve_uri="false")


def _is_touched(task: Any) -> bool:
    return bool(task["annotations"] or task["drafts"])


def _image_id(task: Any, file: Path) -> str:
    try:
        return str(task["data"]["image_id"])
    except (KeyError, TypeError):
        raise AbnError(
            f"{file}: a task without data.image_id; run `dvc repro export_attention`"
        ) from None


def _model(task: Any, file: Path) -> str:
    try:
        return str(task["predictions"][0]["model_version"])
    except (KeyError, TypeError, IndexError):
        raise AbnError(
            f"{file}: the task of {_image_id(task, file)} has no predictions.0.model_version; "
            "run `dvc repro export_attention`"
        ) from None
