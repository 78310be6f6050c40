"""A real Label Studio for tests: one process a session, in a repository of its own."""

import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from abn import paths
from abn.edits import tasks
from abn.edits.label_studio import client, server

ROOT = Path(__file__).parents[2]
GRID = 24
SEED = 3
_keys = itertools.count()


@dataclass(frozen=True)
class Studio:
    """The server, and a project's worth of images beside it."""

    login: server.Login
    pid: int
    repository: Path

    @property
    def attention(self) -> Path:
        """Where tasks.json and the images lie."""
        return self.repository / paths.ATTENTION

    @property
    def tasks(self) -> Path:
        """What push reads."""
        return self.attention / "tasks.json"

    def write_tasks(self, count: int, model: str = "model-a", first: int = 0) -> np.ndarray:
        """Write images and their maps, worst first; give the maps, float n×24×24."""
        random = np.random.default_rng(SEED + sum(model.encode()))
        maps = random.random((count, GRID, GRID)).astype(np.float16).astype(np.float32)
        images = random.integers(0, 256, (count, 28, 28, 1), np.uint8)
        selected = [
            {"image_id": image_id(n), "class_name": "Bag", "predicted": "Shirt", "rank": n + 1}
            for n in range(first, first + count)
        ]
        self.attention.mkdir(parents=True, exist_ok=True)
        tasks.write_tasks(self.attention, selected, images, maps, model)
        return maps

    def api(self, method: str, path: str, **options: Any) -> Any:
        """Ask the server as somebody else than the code under test would."""
        headers = {"Authorization": f"Token {self.login.token}"}
        answer = httpx.request(
            method, f"{self.login.url}{path}", headers=headers, timeout=60, **options
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def task_list(self, project: int) -> list[dict[str, Any]]:
        """Give a project's tasks with all that is in them."""
        query = {"project": project, "fields": "all", "page_size": 10_000, "resolve_uri": "false"}
        return self.api("GET", "/api/tasks/", params=query)["tasks"]

    def annotate(self, task: int, result: list[Any], **fields: Any) -> int:
        """Submit an annotation as a person would; give its id."""
        body = {"result": result, "lead_time": 1.5, **fields}
        return self.api("POST", f"/api/tasks/{task}/annotations/", json=body)["id"]


def image_id(n: int) -> str:
    """Give the id of the n-th image."""
    return f"train-{n:05d}"


def required(what: str, found: object) -> None:
    """Skip the test for want of ``what``; where CI is set, that is a failure."""
    if not found:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{what} is missing")


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((server.HOST, 0))
        return int(probe.getsockname()[1])


def migrated_data() -> Path:
    """Give a data folder that is migrated and has no user: half a minute the first time."""
    executable = Path(
        os.environ.get(server.EXECUTABLE) or ROOT / ".label-studio/venv/bin/label-studio"
    )
    required("Label Studio (make label-studio)", executable.exists())
    os.environ[server.EXECUTABLE] = str(executable.absolute())
    template = ROOT / ".abn/label-studio-template"
    if not template.exists():
        aside = template.with_name(f"{template.name}.{os.getpid()}")
        command = [str(executable), "version", "--data-dir", str(aside)]
        quiet = {"LABEL_STUDIO_COLLECT_ANALYTICS": "false", "SENTRY_DSN": ""}
        quiet["LABEL_STUDIO_BASE_DATA_DIR"] = str(aside)
        subprocess.run(command, env=os.environ | quiet, check=True, capture_output=True)
        try:
            aside.rename(template)
        except OSError:
            shutil.rmtree(aside)
    return template


@pytest.fixture(scope="session")
def studio_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A server that lives as long as the session."""
    template = migrated_data()
    repository = tmp_path_factory.mktemp("repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(repository))
        shutil.copytree(template, server.home() / "data")
        with server.run(free_port()) as (login, process):
            yield Studio(login, process.pid, repository)


@pytest.fixture
def studio(studio_process: Studio, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """The server, as seen from its repository's root with no server named in the environment."""
    monkeypatch.setenv("DVC_ROOT", str(studio_process.repository))
    monkeypatch.delenv(client.URL, raising=False)
    monkeypatch.delenv(client.API_KEY, raising=False)
    monkeypatch.chdir(studio_process.repository)
    shutil.rmtree(studio_process.repository / "data", ignore_errors=True)
    return studio_process


@pytest.fixture
def key() -> str:
    """A project that no other test has."""
    return f"test-{os.getpid()}-{next(_keys)}"
