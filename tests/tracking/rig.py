"""Stages that track, and what MLflow and the scratch folder have of them."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import entities

from abn.tracking import owner, record, server
from abn.tracking.record import Record

STAGE = """
import sys
import time
from pathlib import Path
from abn.tracking.run import Run

name = sys.argv[1]
run = Run("abn", name, "0" * 32, {"lr": 0.1, "sizes": [1, 2]}, {"abn.device": "cpu"})
run.log((epoch, {"loss": 1 / epoch}) for epoch in range(1, 4))
Path(f"{name}.txt").write_text("figure")
run.log_artifact(Path(f"{name}.txt"))
if len(sys.argv) > 2:
    time.sleep(float(sys.argv[2]))
run.close("FINISHED")
"""


def start(name: str, *seconds: str) -> subprocess.Popen[str]:
    """Start a stage that tracks; it may stay for some seconds."""
    return start_script(STAGE, name, *seconds)


def start_script(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a script that tracks."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a stage that should succeed, and give what it said on stderr."""
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    return stderr


def tracked() -> dict[str, entities.Run]:
    """Give MLflow's runs by their names, each of which there is once."""
    client = server.connect()
    experiment = client.get_experiment_by_name("abn")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    names = [run.info.run_name for run in runs]
    assert len(names) == len(set(names)), names
    return {run.info.run_name: run for run in runs}


def unsent() -> list[Path]:
    """Give the records that wait."""
    return sorted(Path(".abn/unsent").glob("*.json"))


def a_record(name: str = "train") -> Record:
    """Leave the record of a stage that finished and could not send it."""
    one = record.start("abn", name, "1" * 32, {"lr": 0.1}, owner.process_tags())
    one.log((step, {"loss": 1.0, "val": 2.0}) for step in range(300))
    one.close("FINISHED")
    one.save()
    return one


def a_pipeline(stages: dict[str, str]) -> None:
    """Leave the record of a pipeline's state."""
    one = record.start_pipeline("abn", stages, {}, {})
    one.close("FINISHED")
    one.save()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something happens; fail if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"did not happen within {seconds} seconds")
        time.sleep(0.1)


@contextmanager
def mlflow_server(port: int, folder: Path, database: str = "server.db") -> Iterator[str]:
    """Run a server whose database and artifacts lie in a folder; give its address."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/{database}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(f"{uri}/health"), seconds=180)
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def answers(address: str) -> bool:
    """Whether something there answers with status 200."""
    try:
        with urllib.request.urlopen(address, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """Give a port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
