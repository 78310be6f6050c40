"""What is asked of MLflow."""

import subprocess
import sys
import time

import psutil
import pytest

from abn.tracking import owner, server
from tests.tracking.rig import tracked


def test_the_users_own_server_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLFLOW_TRACKING_URI wins over the default database."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert server.tracking_uri() == "https://mlflow.example.org"


def test_only_runs_known_to_be_dead_are_closed() -> None:
    """Dead: no such process, another one with its id, an earlier boot; all others are left."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        gone = str(process.pid)
    mine = owner.process_tags()
    before_boot = int((psutil.boot_time() - 3600) * 1000)
    now = int(time.time() * 1000)
    cases = {
        "this very process": (mine, now, False),
        "no such process": ({**mine, "abn.pid": gone}, now, True),
        "its id went to another": ({**mine, "abn.process_start": "1.0"}, now, True),
        "an earlier boot": ({**mine, "abn.boot": "other"}, before_boot, True),
        "another machine of this name": ({**mine, "abn.boot": "other"}, now, False),
        "another host": ({**mine, "abn.host": "other", "abn.pid": gone}, now, False),
        "another container": (
            {**mine, "abn.pid_namespace": "pid:[1]", "abn.pid": gone},
            now,
            False,
        ),
        "somebody's own run": ({}, now, False),
        "mutilated tags": ({**mine, "abn.pid": "x"}, now, False),
    }
    client = server.connect()
    experiment = server.experiment(client, "abn")
    for name, (tags, started, _) in cases.items():
        client.create_run(experiment, started, tags, name)
    server.close_orphans(client, experiment)
    closed = {name: run.info.status == "KILLED" for name, run in tracked().items()}
    assert closed == {name: dead for name, (_, _, dead) in cases.items()}
