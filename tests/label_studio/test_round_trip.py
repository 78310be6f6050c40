"""`abn annotate` as people type it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from abn import atomic, paths
from abn.data import prepared
from abn.edits.label_studio import client
from tests.label_studio.server import Studio, image_id


def _abn(*command: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "abn.cli", "annotate", *command]
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)


def _prepare(key: str) -> None:
    """Write what of a prepared set the commands look at: the digest of its images."""
    paths.PREPARED.mkdir(parents=True, exist_ok=True)
    dataset = {
        "classes": ["Bag"],
        "mean": [0.0],
        "std": [1.0],
        "image_size": 8,
        "alpha_is_mask": False,
        "digest": key,
    }
    atomic.write_json(paths.PREPARED / "dataset.json", dataset)
    atomic.write_csv(paths.PREPARED / "manifest.csv", [], prepared.COLUMNS)
    np.save(paths.PREPARED / "images.npy", np.zeros((0, 28, 28, 1), np.uint8))


def test_push_status_and_pull_tell_what_they_did_and_what_is_next(studio: Studio, key: str) -> None:
    """Each command exits with 0, says its news, and leaves the token in no file and no output."""
    _prepare(key)
    studio.write_tasks(3)
    pushed = _abn("push")
    assert pushed.returncode == 0, pushed.stderr
    assert "3 images new" in pushed.stdout
    assert f"{studio.login.url}/projects/" in pushed.stdout
    project = int(pushed.stdout.split("/projects/")[1].split("/")[0])
    studio.annotate(studio.task_list(project)[0]["id"], [])
    told = _abn("status")
    assert "3 images, 1 annotated, 0 skipped; 1 changed" in told.stdout
    pulled = _abn("pull")
    assert pulled.returncode == 0, pulled.stderr
    assert "1 annotated" in pulled.stdout
    assert pulled.stdout.endswith("git add data/annotations\n  dvc repro\n")
    exported = json.loads((paths.ANNOTATIONS / "export.json").read_text())
    assert [task["data"]["image_id"] for task in exported] == [image_id(0)]
    for done in (pushed, told, pulled):
        assert studio.login.token not in done.stdout + done.stderr
    kept = [*paths.ANNOTATIONS.parent.rglob("*"), *paths.scratch().rglob("*")]
    for file in filter(lambda path: path.is_file(), kept):
        assert studio.login.token.encode() not in file.read_bytes()


def test_what_a_user_can_mend_is_one_line_and_status_1(studio: Studio, key: str) -> None:
    """No traceback: before the data is prepared, before the first push, without a task file."""
    for command, said in (("pull", "dvc repro prepare"), ("pull", "abn annotate push")):
        done = _abn(command)
        assert done.returncode == 1
        assert done.stderr.startswith("abn: ")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
        _prepare(key)
    done = _abn("push")
    assert done.returncode == 1
    assert "tasks.json" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_environment_names_the_server(
    studio: Studio, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY outweigh the local server."""
    _prepare(key)
    monkeypatch.setenv(client.URL, "http://127.0.0.1:9")
    monkeypatch.setenv(client.API_KEY, "0" * 40)
    done = _abn("status")
    assert done.returncode == 1
    assert "http://127.0.0.1:9" in done.stderr
