"""The project on the server in which this data set's images are edited."""

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from abn import paths
from abn.data import prepared
from abn.edits import interface
from abn.edits.label_studio.client import Connection
from abn.edits.label_studio.instructions import INSTRUCTIONS
from abn.errors import AbnError

MARK = "abn-project: "
"""Stands before the key in the project's description, by which it is found again."""


@dataclass(frozen=True)
class Project:
    """A project and what makes it ours."""

    id: int
    title: str
    key: str
    config: str
    """The labelling interface, as it is on the server."""
    model: str
    """Key of the model whose maps it shows to annotators."""

    def __str__(self) -> str:
        return f"project {self.id} ({self.title})"


def key_of_data() -> str:
    """Give the key of the prepared images: image ids mean the same only within one set."""
    return prepared.load(paths.PREPARED).digest


def find(server: Connection, key: str) -> Project | None:
    """Find the project with this key; raise ``AbnError`` if there are several."""
    found = [
        one["id"]
        for one in server.pages("api/projects/", "project", include="id,description")
        if MARK + key in (one["description"] or "").split("\n")
    ]
    if len(found) > 1:
        raise AbnError(
            f"{server.url}: projects {', '.join(map(str, found))} all carry {MARK}{key} in their "
            "description; delete that line in all but one"
        )
    return (
        _project(server.get(f"api/projects/{found[0]}/", f"project {found[0]}"), key)
        if found
        else None
    )


def need(server: Connection, key: str) -> Project:
    """Find the project with this key; raise ``AbnError`` if there is none."""
    project = find(server, key)
    if project is None:
        raise AbnError(
            f"{server.url} has no project for these images ({MARK}{key}); "
            "`abn annotate push` makes it"
        )
    return project


def make(server: Connection, key: str, title: str, annotators: int) -> Project:
    """Make the project: interface, instructions, worst images first."""
    settings = {
        "title": title,
        "description": f"Corrections of attention maps.\n{MARK}{key}",
        "label_config": interface.CONFIG,
        "expert_instruction": INSTRUCTIONS,
        "show_instruction": True,
        "sampling": "Uncertainty sampling",
        "maximum_annotations": annotators,
    }
    return _project(server.post("api/projects/", f"project {title!r}", settings), key)


def change(server: Connection, project: Project, **settings: Any) -> Project:
    """Change settings of the project."""
    answer = server.patch(f"api/projects/{project.id}/", str(project), settings)
    return _project(answer, project.key)


def lacks(config: str) -> list[str]:
    """Name the controls and labels of our interface that this one lacks or has renamed."""
    there = _names(config)
    return sorted(_names(interface.CONFIG) - there)


def _project(answer: Any, key: str) -> Project:
    return Project(
        id=answer["id"],
        title=answer["title"],
        key=key,
        config=answer["label_config"],
        model=answer["model_version"] or "",
    )


def _names(config: str) -> set[str]:
    """List controls as `name`, what they offer as `name/value`."""
    try:
        root = ET.fromstring(config)  # noqa: S314 (the server has parsed it)
    except ET.ParseError:
        return set()
    names = set()
    for control in root.iter():
        name = control.get("toName") and control.get("name")
        if name:
            names.add(name)
            names |= {f"{name}/{one.get('value')}" for one in control if one.get("value")}
    return names
