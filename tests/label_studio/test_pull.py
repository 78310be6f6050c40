"""Pulling from a real server."""

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from abn import paths
from abn.edits import brush_rle, importer, interface, targets
from abn.edits.label_studio import client
from abn.edits.label_studio import pull as pulling
from abn.edits.label_studio.pull import Pulled, Status, next_steps, pull, status
from abn.edits.label_studio.push import push
from abn.errors import AbnError
from tests.label_studio.server import GRID, Studio, free_port, image_id

SNAPSHOT = paths.ANNOTATIONS / "export.json"
SIDE = targets.canvas_side(GRID)


def _pull(key: str) -> Pulled:
    with client.connect() as server:
        return pull(server, paths.ANNOTATIONS, paths.SELECTED, key)


def _status(key: str) -> Status:
    with client.connect() as server:
        return status(server, paths.ANNOTATIONS, key)


def _pushed(studio: Studio, key: str, count: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    maps = studio.write_tasks(count)
    with client.connect() as server:
        project = push(server, studio.tasks, None, 1, key).project.id
    return studio.task_list(project), maps


def _own(task: dict[str, Any]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = task["predictions"][0]["result"]
    return result


def _exported() -> list[dict[str, Any]]:
    exported: list[dict[str, Any]] = json.loads(SNAPSHOT.read_text())
    return exported


def test_an_untouched_submission_is_the_models_own_map(studio: Studio, key: str) -> None:
    """Pushed, submitted as it is, pulled and imported, each cell is within 1/255 of the map."""
    tasks, maps = _pushed(studio, key, 3)
    for task in tasks:
        studio.annotate(task["id"], _own(task), parent_prediction=task["predictions"][0]["id"])
    assert _pull(key).annotated == 3
    ids = [image_id(n) for n in range(3)]
    images = importer.Images(ids, ["train"] * 3, dict.fromkeys(ids, "finetune"), maps)
    imported = importer.import_edits([SNAPSHOT], images, "latest")
    assert np.abs(imported.targets - maps).max() <= 1 / 255
    assert [row["status"] for row in imported.rows] == ["accepted"] * 3


def test_a_pull_brings_whoever_annotated_and_skipped_and_nothing_else(
    studio: Studio, key: str
) -> None:
    """Tasks that nobody answered are not in the snapshot; an empty answer is."""
    tasks, _ = _pushed(studio, key, 4)
    studio.annotate(tasks[0]["id"], [])
    studio.annotate(tasks[2]["id"], [], was_cancelled=True)
    pulled = _pull(key)
    assert (pulled.annotated, pulled.skipped, pulled.changed, pulled.deleted) == (1, 1, 2, 0)
    exported = _exported()
    assert [task["id"] for task in exported] == [tasks[0]["id"], tasks[2]["id"]]
    assert exported[0]["annotations"][0]["result"] == []
    assert exported[1]["annotations"][0]["was_cancelled"]
    assert exported[0]["predictions"][0]["result"] == _own(tasks[0])


def test_a_pull_that_brings_nothing_new_changes_no_byte(studio: Studio, key: str) -> None:
    """Neither at once, nor after a new model's push, nor when all is fetched anew."""
    tasks, _ = _pushed(studio, key, 3)
    studio.annotate(tasks[0]["id"], _own(tasks[0]))
    _pull(key)
    before = SNAPSHOT.read_bytes()
    again = _pull(key)
    assert (again.changed, again.deleted) == (0, 0)
    assert SNAPSHOT.read_bytes() == before
    studio.write_tasks(3, model="model-b")
    with client.connect() as server:
        push(server, studio.tasks, None, 1, key)
    assert _pull(key).changed == 0
    assert SNAPSHOT.read_bytes() == before
    (paths.scratch() / "annotations" / f"{key}.json").unlink()
    _pull(key)
    assert SNAPSHOT.read_bytes() == before


def test_the_second_pull_fetches_only_what_changed(
    studio: Studio, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edited annotation and a new one are fetched whole, the others not asked for."""
    tasks, _ = _pushed(studio, key, 5)
    first = studio.annotate(tasks[0]["id"], _own(tasks[0]))
    studio.annotate(tasks[1]["id"], _own(tasks[1]))
    _pull(key)
    studio.api("PATCH", f"/api/annotations/{first}/", json={"result": []})
    studio.annotate(tasks[4]["id"], [])
    fetched: list[int] = []
    lasting = pulling._lasting
    monkeypatch.setattr(
        pulling, "_lasting", lambda task: fetched.append(task["id"]) or lasting(task)
    )
    assert _status(key).changed == 2
    assert _pull(key).changed == 2
    assert fetched == [tasks[0]["id"], tasks[4]["id"]]
    exported = {task["id"]: task["annotations"][0]["result"] for task in _exported()}
    assert exported == {
        tasks[0]["id"]: [], tasks[1]["id"]: _own(tasks[1]), tasks[4]["id"]: []
    }  # fmt: skip
    assert _status(key).changed == 0


def test_deletions_are_noticed(studio: Studio, key: str) -> None:
    """A deleted task and a deleted annotation leave the snapshot."""
    tasks, _ = _pushed(studio, key, 4)
    annotations = [studio.annotate(task["id"], []) for task in tasks]
    _pull(key)
    studio.api("DELETE", f"/api/tasks/{tasks[0]['id']}/")
    studio.api("DELETE", f"/api/annotations/{annotations[1]}/")
    assert _status(key).changed == 2
    pulled = _pull(key)
    assert (pulled.annotated, pulled.deleted) == (2, 2)
    assert [task["id"] for task in _exported()] == [tasks[2]["id"], tasks[3]["id"]]


def test_several_annotators_of_an_image_all_come(studio: Studio, key: str) -> None:
    """All annotations of a task are in the snapshot."""
    tasks, _ = _pushed(studio, key, 1)
    studio.annotate(tasks[0]["id"], _own(tasks[0]))
    studio.annotate(tasks[0]["id"], [])
    _pull(key)
    assert len(_exported()[0]["annotations"]) == 2


def test_the_edits_of_a_deleted_project_are_kept(studio: Studio, key: str) -> None:
    """What was pulled from a project since deleted and made anew stays beside the new snapshot."""
    tasks, _ = _pushed(studio, key, 2)
    studio.annotate(tasks[0]["id"], _own(tasks[0]))
    _pull(key)
    before = SNAPSHOT.read_bytes()
    studio.api("DELETE", f"/api/projects/{tasks[0]['project']}/")
    with pytest.raises(AbnError, match="abn annotate push"):
        _pull(key)
    assert SNAPSHOT.read_bytes() == before
    _pushed(studio, key, 2)
    _pull(key)
    kept = [file for file in importer.exports(paths.ANNOTATIONS) if file.name != "export.json"]
    assert [file.read_bytes() for file in kept] == [before]
    assert _exported() == []


def test_images_that_people_mark_are_listed_for_selection(studio: Studio, key: str) -> None:
    """The choice that marks an image puts it into data/selected.csv."""
    tasks, _ = _pushed(studio, key, 3)
    mark = {
        "id": "m", "type": "choices", "from_name": interface.VERDICT, "to_name": interface.IMAGE,
        "value": {"choices": [interface.SELECT]},
    }  # fmt: skip
    studio.annotate(tasks[1]["id"], [*_own(tasks[1]), mark])
    assert _pull(key).marked == 1
    assert paths.SELECTED.read_text() == f"image_id\n{image_id(1)}\n"


def test_renamed_labels_are_told_by_status(studio: Studio, key: str) -> None:
    """Status names what the interface lacks and what mends it."""
    tasks, _ = _pushed(studio, key, 1)
    renamed = interface.CONFIG.replace(interface.FINE, "Good")
    path = f"/api/projects/{tasks[0]['project']}/"
    studio.api("PATCH", path, json={"label_config": renamed})
    text = _status(key).summary()
    assert f"verdict/{interface.FINE}" in text
    assert "push" in text


class _Relay(BaseHTTPRequestHandler):
    """Passes requests on to the real server and hangs up after the first page of whole tasks."""

    upstream = ""
    whole_pages = 0

    def do_GET(self) -> None:
        """Answer as the server does, until it is stopped."""
        if "fields=all" in self.path:
            type(self).whole_pages += 1
        if self.whole_pages > 1:
            self.close_connection = True
            return
        headers = {"Authorization": self.headers["Authorization"]}
        answer = httpx.get(self.upstream + self.path, headers=headers, timeout=60)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_server_that_stops_during_a_pull_leaves_the_snapshot_untouched(
    studio: Studio, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is one line, and the snapshot is byte by byte what it was."""
    tasks, _ = _pushed(studio, key, 4)
    studio.annotate(tasks[0]["id"], _own(tasks[0]))
    _pull(key)
    before = SNAPSHOT.read_bytes()
    for task in tasks[1:]:
        studio.annotate(task["id"], _own(task))
    monkeypatch.setattr("abn.edits.label_studio.pull.PAGE_WHOLE", 1)
    monkeypatch.setattr(_Relay, "upstream", studio.login.url)
    with ThreadingHTTPServer(("127.0.0.1", free_port()), _Relay) as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        monkeypatch.setenv(client.URL, f"http://127.0.0.1:{relay.server_port}")
        monkeypatch.setenv(client.API_KEY, studio.login.token)
        with pytest.raises(AbnError, match="broke") as error:
            _pull(key)
        relay.shutdown()
    assert "\n" not in str(error.value)
    assert SNAPSHOT.read_bytes() == before
    assert list(paths.ANNOTATIONS.iterdir()) == [SNAPSHOT]
    monkeypatch.delenv(client.URL)
    assert _pull(key).annotated == 4


def test_a_frozen_server_is_given_up(
    studio: Studio, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs during a pull is an error after the time allowed, not a wait for ever."""
    tasks, _ = _pushed(studio, key, 1)
    studio.annotate(tasks[0]["id"], [])
    _pull(key)
    before = SNAPSHOT.read_bytes()
    monkeypatch.setattr(client, "SECONDS_TO_ANSWER", 0.5)
    monkeypatch.setattr(client, "RETRIES_OF_READS", 0)
    os.killpg(studio.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(AbnError, match="did not answer in time"):
            _pull(key)
        assert time.monotonic() - began < 10
    finally:
        os.killpg(studio.pid, signal.SIGCONT)
    assert SNAPSHOT.read_bytes() == before


def test_the_next_steps_keep_a_large_snapshot_out_of_git(tmp_path: Path) -> None:
    """Small snapshots go to git, large ones and those that DVC has already go to DVC."""
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "export.json").write_text("[]")
    assert f"git add {folder}" in next_steps(folder)
    assert "dvc add" not in next_steps(folder)
    (folder / "export.json").write_bytes(b" " * 10_000_001)
    assert f"dvc add {folder}" in next_steps(folder)
    assert next_steps(folder).endswith("dvc repro")


def test_a_painted_map_arrives_pixel_for_pixel(studio: Studio, key: str) -> None:
    """What the server gives back of a soft brush region is what was drawn, on the whole canvas."""
    tasks, _ = _pushed(studio, key, 1)
    painted = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), np.uint8)
    studio.annotate(tasks[0]["id"], [interface.brush_region("r", brush_rle.encode(painted), SIDE)])
    _pull(key)
    rle = _exported()[0]["annotations"][0]["result"][0]["value"]["rle"]
    assert np.array_equal(brush_rle.decode(rle, SIDE, SIDE), painted)
