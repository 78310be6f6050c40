"""What a stage's run does, with stages as processes and MLflow as it is."""

import signal
import socket
import time
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from abn.tracking import server
from tests.tracking.rig import (
    finish,
    free_port,
    mlflow_server,
    start,
    tracked,
    unsent,
    wait_until,
)


def test_several_processes_make_the_database_at_once() -> None:
    """Four stages that start together on a fresh repository: one experiment, four finished runs."""
    Path("mlflow.db").unlink()
    processes = [start(f"stage{n}") for n in range(4)]
    assert [finish(process) for process in processes] == ["", "", "", ""]
    runs = tracked()
    assert sorted(runs) == ["stage0", "stage1", "stage2", "stage3"]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["stage0"].data.params == {"lr": "0.1", "sizes": "[1, 2]"}
    history = MlflowClient(server.tracking_uri()).get_metric_history(
        runs["stage0"].info.run_id, "loss"
    )
    assert [(one.step, one.value) for one in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_a_temporary_workspace_tracks_in_the_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Database, artifacts and scratch lie where DVC says that the repository is."""
    workspace = tmp_path / "tmp" / "exps" / "one"
    workspace.mkdir(parents=True)
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("DVC_ROOT", str(repository))
    assert finish(start("train")) == ""
    assert server.tracking_uri() == f"sqlite:///{repository}/mlflow.db"
    run_id = tracked()["train"].info.run_id
    assert (repository / "mlartifacts" / run_id / "artifacts" / "train.txt").exists()
    assert sorted(path.name for path in workspace.iterdir()) == ["train.txt"]


def test_a_run_whose_machine_went_down_is_closed_by_the_next_stage() -> None:
    """Stage and sender both killed leave a run RUNNING; the next stage's start closes it."""
    killed, alive = start("killed", "60"), start("alive", "60")
    wait_until(lambda: [run.info.status for run in tracked().values()] == ["RUNNING", "RUNNING"])
    (sender,) = psutil.Process(killed.pid).children()
    sender.kill()
    killed.kill()
    killed.communicate()
    assert tracked()["killed"].info.status == "RUNNING"
    finish(start("next"))
    runs = tracked()
    assert runs["killed"].info.status == "KILLED"
    assert runs["killed"].data.metrics == {"loss": 1 / 3}
    assert runs["alive"].info.status == "RUNNING"
    assert runs["next"].info.status == "FINISHED"
    alive.send_signal(signal.SIGKILL)
    alive.communicate(timeout=30)
    wait_until(lambda: tracked()["alive"].info.status == "KILLED")
    assert unsent() == []


# A server that is down.


def test_a_server_that_is_down_loses_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage succeeds and says so in one line; a later one sends its own run and the kept."""
    port = free_port()
    uri = f"http://somebody:pass-word@127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "to-ken")
    started = time.monotonic()
    said = finish(start("first"))
    assert time.monotonic() - started < 20
    assert said.count("\n") == 1
    assert said.startswith(f"tracking: MLflow at http://127.0.0.1:{port} does not take everything")
    assert said.endswith("and sent by the next stage or by: abn doctor\n")
    (kept,) = unsent()
    for secret in ("pass-word", "to-ken"):
        assert secret not in said + kept.read_text()
    Path("first.txt").unlink()

    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    with mlflow_server(port, tmp_path):
        assert finish(start("second")) == ""
        runs = tracked()
        assert {name: run.info.status for name, run in runs.items()} == {
            "first": "FINISHED",
            "second": "FINISHED",
        }
        first = runs["first"]
        assert first.data.metrics == {"loss": 1 / 3}
        assert first.data.params == {"lr": "0.1", "sizes": "[1, 2]"}
        assert first.info.end_time < runs["second"].info.start_time
        artifacts = MlflowClient(uri).list_artifacts(first.info.run_id)
        assert [artifact.path for artifact in artifacts] == ["first.txt"]
    assert unsent() == []
    assert [path.name for path in Path(".abn/unsent").iterdir()] == [".lock"]


def test_a_silent_server_does_not_hold_up_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and never answers costs one timeout, not one a request."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert finish(start("train")).count("\n") == 1
        assert time.monotonic() - started < 20
    assert len(unsent()) == 1


def test_a_record_that_cannot_be_written_stops_nothing(repository: Path) -> None:
    """With a file where the scratch folder belongs, the stage says it and succeeds."""
    Path(".abn").write_text("in the way")
    said = finish(start("train")).splitlines()
    assert said[0].startswith("tracking: ")
    assert said[0].endswith("; this run will be incomplete in MLflow")
    assert said[1].endswith("; this file will be missing in MLflow")
    assert len(said) == 2
