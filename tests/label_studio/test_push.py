"""Pushing to a real server."""

import json
import random
import signal
import subprocess
import sys
import time

import httpx
import pytest

from abn.edits import interface
from abn.edits.label_studio import client
from abn.edits.label_studio.project import find
from abn.edits.label_studio.push import Pushed, push
from abn.errors import AbnError
from tests.label_studio.server import Studio, image_id

MALFORMED = ["", "[]", "{}", '[{"data": {}}]', '[{"data": {"image_id": "a"}}]', "[1]"]


def _push(studio: Studio, key: str, images: str | None = None) -> Pushed:
    with client.connect() as server:
        return push(server, studio.tasks, images, 1, key)


def test_a_push_makes_the_project_with_every_image_and_its_map(studio: Studio, key: str) -> None:
    """After a push each image is there once, its map editable, with instructions, worst first."""
    studio.write_tasks(5)
    pushed = _push(studio, key)
    assert (pushed.new, pushed.updated, pushed.kept) == (5, 0, 0)
    tasks = studio.task_list(pushed.project.id)
    assert [task["data"]["image_id"] for task in tasks] == [image_id(n) for n in range(5)]
    assert [task["predictions"][0]["score"] for task in tasks] == [0, 0.2, 0.4, 0.6, 0.8]
    assert tasks[0]["predictions"][0]["result"][0]["from_name"] == interface.BRUSH
    project = studio.api("GET", f"/api/projects/{pushed.project.id}/")
    assert project["model_version"] == "model-a"
    assert project["sampling"] == "Uncertainty sampling"
    assert project["show_instruction"]
    assert "Ctrl+Enter" in project["expert_instruction"]


def test_the_server_shows_the_images_of_the_repository(studio: Studio, key: str) -> None:
    """What a task names as its image comes from the server, byte by byte."""
    studio.write_tasks(1)
    task = studio.task_list(_push(studio, key).project.id)[0]
    headers = {"Authorization": f"Token {studio.login.token}"}
    shown = client_get(f"{studio.login.url}{task['data']['image']}", headers)
    assert shown == (studio.attention / f"images/{image_id(0)}.png").read_bytes()


def client_get(url: str, headers: dict[str, str]) -> bytes:
    return httpx.get(url, headers=headers).raise_for_status().content


def test_pushing_twice_changes_nothing(studio: Studio, key: str) -> None:
    """The second push leaves tasks, predictions and project as they are."""
    studio.write_tasks(4)
    first = _push(studio, key)
    before = studio.task_list(first.project.id)
    again = _push(studio, key)
    assert (again.new, again.updated, again.kept) == (0, 0, 0)
    assert again.project.id == first.project.id
    after = studio.task_list(first.project.id)
    assert [task["updated_at"] for task in after] == [task["updated_at"] for task in before]


def test_a_larger_selection_adds_what_is_missing(studio: Studio, key: str) -> None:
    """Images that are there already are not sent again."""
    studio.write_tasks(2)
    _push(studio, key)
    studio.write_tasks(5)
    assert _push(studio, key).new == 3


def test_a_new_model_updates_the_maps_that_nobody_has_touched(studio: Studio, key: str) -> None:
    """Annotated, skipped and begun tasks keep their map; others get the new model's, in place."""
    studio.write_tasks(5)
    project = _push(studio, key).project.id
    tasks = studio.task_list(project)
    studio.annotate(tasks[0]["id"], tasks[0]["predictions"][0]["result"])
    studio.annotate(tasks[1]["id"], [], was_cancelled=True)
    studio.api("POST", f"/api/tasks/{tasks[2]['id']}/drafts", json={"result": []})
    studio.write_tasks(5, model="model-b")
    pushed = _push(studio, key)
    assert (pushed.new, pushed.updated, pushed.kept) == (0, 2, 3)
    after = studio.task_list(project)
    assert [task["id"] for task in after] == [task["id"] for task in tasks]
    models = ["model-a"] * 3 + ["model-b"] * 2
    assert [task["data"]["model"] for task in after] == models
    assert [[one["model_version"] for one in task["predictions"]] for task in after] == [
        [model] for model in models
    ]
    for old, new in zip(tasks, after, strict=True):
        same = old["predictions"][0]["result"] == new["predictions"][0]["result"]
        assert same == (new["data"]["model"] == "model-a")
    assert studio.api("GET", f"/api/projects/{project}/")["model_version"] == "model-b"
    assert _push(studio, key).updated == 0


def test_uploaded_images_are_shown_and_sent_once(studio: Studio, key: str) -> None:
    """A server elsewhere gets the images; what an earlier push uploaded isn't sent again."""
    studio.write_tasks(3)
    project = _push(studio, key, images="upload").project.id
    task = studio.task_list(project)[1]
    headers = {"Authorization": f"Token {studio.login.token}"}
    shown = client_get(f"{studio.login.url}{task['data']['image']}", headers)
    assert shown == (studio.attention / f"images/{image_id(1)}.png").read_bytes()
    for one in studio.task_list(project):
        studio.api("DELETE", f"/api/tasks/{one['id']}/")
    assert _push(studio, key, images="upload").new == 3
    uploads = studio.api("GET", f"/api/projects/{project}/file-uploads", params={"all": "true"})
    assert len(uploads) == 3


def test_images_in_object_storage_are_named_by_their_address(studio: Studio, key: str) -> None:
    """With an address, tasks name the image below it."""
    studio.write_tasks(1)
    pushed = _push(studio, key, images="s3://bucket/folder/")
    task = studio.task_list(pushed.project.id)[0]
    assert task["data"]["image"] == f"s3://bucket/folder/{image_id(0)}.png"


def test_of_two_tasks_of_an_image_the_touched_one_stays(studio: Studio, key: str) -> None:
    """What a dead push left twice is mended, and no annotation is lost by it."""
    studio.write_tasks(2)
    project = _push(studio, key).project.id
    twice = json.loads(studio.tasks.read_text())
    studio.api("POST", f"/api/projects/{project}/import", json=twice)
    later = studio.task_list(project)[3]
    studio.annotate(later["id"], [])
    _push(studio, key)
    left = studio.task_list(project)
    assert [task["data"]["image_id"] for task in left] == [image_id(0), image_id(1)]
    assert left[1]["id"] == later["id"]
    assert left[1]["annotations"]


def test_a_push_killed_at_any_moment_and_repeated_leaves_each_image_once(
    studio: Studio, key: str
) -> None:
    """Ten kills at random moments, then a push to the end: no image twice, none lost."""
    studio.write_tasks(60)
    code = (
        "import sys; from pathlib import Path; from abn.edits.label_studio import client, push;"
        "push.TASKS_A_BATCH = 10; context = client.connect(); server = context.__enter__();"
        "print('ready', flush=True); push.push(server, Path(sys.argv[1]), None, 1, sys.argv[2])"
    )
    randomly = random.Random(4)
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(studio.tasks), key], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(randomly.uniform(0.1, 1.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    project = _push(studio, key).project.id
    there = sorted(task["data"]["image_id"] for task in studio.task_list(project))
    assert there == [image_id(n) for n in range(60)]


def test_a_renamed_label_is_put_back(
    studio: Studio, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A push mends the interface, says so, and keeps what people drew meanwhile."""
    studio.write_tasks(1)
    project = _push(studio, key).project.id
    renamed = interface.CONFIG.replace(f'"{interface.LABEL}"', '"Look"')
    studio.api("PATCH", f"/api/projects/{project}/", json={"label_config": renamed})
    task = studio.task_list(project)[0]
    region = task["predictions"][0]["result"][0]
    drawn = [{**region, "value": {**region["value"], "brushlabels": ["Look"]}}]
    studio.annotate(task["id"], drawn)
    _push(studio, key)
    config = studio.api("GET", f"/api/projects/{project}/")["label_config"]
    assert config == interface.CONFIG.strip()
    assert f"project {project} " in capsys.readouterr().err
    assert studio.task_list(project)[0]["annotations"][0]["result"] == drawn


def test_a_deleted_project_is_made_anew(studio: Studio, key: str) -> None:
    """Push does not need what somebody deleted in Label Studio."""
    studio.write_tasks(2)
    studio.api("DELETE", f"/api/projects/{_push(studio, key).project.id}/")
    assert _push(studio, key).new == 2


def test_two_projects_with_one_key_are_named(studio: Studio, key: str) -> None:
    """A copied project is an error that names both."""
    studio.write_tasks(1)
    project = _push(studio, key).project.id
    description = studio.api("GET", f"/api/projects/{project}/")["description"]
    copy = {"title": "copy", "description": description}
    other = studio.api("POST", "/api/projects/", json=copy)["id"]
    with (
        client.connect() as server,
        pytest.raises(AbnError, match=rf"{other}, {project}|{project}, {other}"),
    ):
        find(server, key)


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_task_file_is_one_line_that_names_it(
    studio: Studio, key: str, text: str
) -> None:
    """Nothing is pushed from a file that export_attention did not write."""
    studio.attention.mkdir(parents=True)
    studio.tasks.write_text(text)
    with pytest.raises(AbnError, match=r"tasks\.json") as error:
        _push(studio, key)
    assert "\n" not in str(error.value)
    with client.connect() as server:
        assert find(server, key) is None
