"""What goes wrong between here and the server is one line that says what to do."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from abn import paths
from abn.edits.label_studio import client
from abn.edits.label_studio.project import need
from abn.edits.label_studio.pull import status
from abn.edits.label_studio.push import push
from abn.errors import AbnError
from tests.label_studio.server import Studio, free_port

WRONG_TOKENS = ["0" * 40, "not a token", "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjEwfQ.e30", "ü"]


def _one_line(error: pytest.ExceptionInfo[AbnError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("token", WRONG_TOKENS)
def test_a_wrong_token_is_said_and_not_shown(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """The variable that holds it is named, the token itself is not; whatever it looks like."""
    monkeypatch.setenv(client.URL, studio.login.url)
    monkeypatch.setenv(client.API_KEY, token)
    with pytest.raises(AbnError, match=client.API_KEY) as error, client.connect():
        pass
    assert token not in _one_line(error)


def test_a_personal_access_token_works(
    studio: Studio, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token made under Account & Settings is as good as a legacy one."""
    studio.api("POST", "/api/jwt/settings", json={"api_tokens_enabled": True})
    monkeypatch.setenv(client.URL, f"{studio.login.url}/")
    monkeypatch.setenv(client.API_KEY, studio.api("POST", "/api/token/")["token"])
    studio.write_tasks(1)
    with client.connect() as server:
        assert push(server, studio.tasks, None, 1, key).new == 1


def test_an_address_without_a_token_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token of the local server is not sent elsewhere."""
    monkeypatch.setenv(client.URL, "https://studio.example.org")
    monkeypatch.delenv(client.API_KEY, raising=False)
    with pytest.raises(AbnError, match=client.API_KEY), client.connect():
        pass


def test_without_any_server_the_way_to_one_is_said(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was ever started and nothing is named: both ways out are named."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv(client.URL, raising=False)
    with pytest.raises(AbnError, match=r"abn annotate serve.*LABEL_STUDIO_URL"), client.connect():
        pass


def test_a_server_that_is_down_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server at the address: the address is named, at once."""
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv(client.URL, url)
    monkeypatch.setenv(client.API_KEY, "0" * 40)
    with pytest.raises(AbnError, match=url) as error, client.connect():
        pass
    _one_line(error)


@pytest.mark.parametrize("url", ["localhost:8080", "file:///etc/passwd", "ftp://x"])
def test_an_address_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The variable and what it holds are named."""
    monkeypatch.setenv(client.URL, url)
    monkeypatch.setenv(client.API_KEY, "0" * 40)
    with pytest.raises(AbnError, match=client.URL), client.connect():
        pass


def test_a_project_that_is_missing_is_said(studio: Studio, key: str) -> None:
    """Before the first push, or after somebody deleted it, push is named."""
    with client.connect() as server, pytest.raises(AbnError, match="abn annotate push"):
        need(server, key)


def test_a_task_that_was_deleted_is_named(studio: Studio, key: str) -> None:
    """Asking for a task that is gone says which."""
    studio.write_tasks(1)
    with client.connect() as server:
        project = push(server, studio.tasks, None, 1, key).project.id
        task = studio.task_list(project)[0]["id"]
        studio.api("DELETE", f"/api/tasks/{task}/")
        with pytest.raises(AbnError, match=f"no task {task} ") as error:
            server.get(f"api/tasks/{task}/", f"task {task}")
    _one_line(error)


def test_what_the_server_refuses_names_project_and_field(studio: Studio, key: str) -> None:
    """A refusal carries the server's own words, in one line."""
    studio.write_tasks(1)
    with client.connect() as server:
        project = push(server, studio.tasks, None, 1, key).project
        path = f"api/projects/{project.id}/"
        with pytest.raises(AbnError, match=rf"project {project.id} .*title: ") as error:
            server.patch(path, str(project), {"title": "x"})
    _one_line(error)


class _Strange(BaseHTTPRequestHandler):
    """A server that isn't Label Studio, and answers everything alike."""

    status = 200
    body = b""
    requests = 0

    def _answer(self) -> None:
        type(self).requests += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.send_header("Location", "https://elsewhere.example.org/")
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST = _answer  # noqa: N815 (their names)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def strange(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Strange]]:
    """A server that isn't Label Studio, named in the environment."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Strange) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(client.URL, f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv(client.API_KEY, "0" * 40)
        monkeypatch.setattr(_Strange, "requests", 0)
        yield _Strange
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>", "isn't JSON"),
        (302, b"", "https://elsewhere.example.org/"),
        (401, b"<html>", client.API_KEY),
        (403, b"{}", "right role"),
        (404, b"<html>", "has no"),
        (
            400,
            json.dumps({"validation_errors": {"title": ["too\nlong"]}}).encode(),
            "title: too long",
        ),
        (500, b"<html>", "status 500"),
    ],
)
def test_any_answer_that_is_no_success_is_one_line(
    strange: type[_Strange], monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, said: str
) -> None:
    """Redirects, refusals, pages of HTML and broken servers each say what was met."""
    monkeypatch.setattr(strange, "status", status)
    monkeypatch.setattr(strange, "body", body)
    with pytest.raises(AbnError, match=said) as error, client.connect():
        pass
    _one_line(error)


def test_what_creates_is_never_repeated(
    strange: type[_Strange], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A POST is sent once even if the server breaks; it may have been carried out."""
    monkeypatch.setattr(strange, "body", b"{}")
    with client.connect() as server:
        monkeypatch.setattr(strange, "requests", 0)
        monkeypatch.setattr(strange, "status", 503)
        with pytest.raises(AbnError, match="status 503"):
            server.post("api/projects/1/import", "images", [])
    assert strange.requests == 1


def test_status_counts_what_people_did(studio: Studio, key: str) -> None:
    """Images, annotated and skipped ones, and what the snapshot lacks."""
    studio.write_tasks(4)
    with client.connect() as server:
        project = push(server, studio.tasks, None, 1, key).project.id
        tasks = studio.task_list(project)
        studio.annotate(tasks[0]["id"], [])
        studio.annotate(tasks[1]["id"], [], was_cancelled=True)
        found = status(server, paths.ANNOTATIONS, key)
    assert (found.images, found.annotated, found.skipped, found.changed) == (4, 1, 1, 2)
    assert found.lacking == []
    assert "4 images, 1 annotated, 1 skipped; 2 changed" in found.summary()
