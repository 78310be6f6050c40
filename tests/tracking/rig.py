"""Stages that track, and what MLflow and the scratch folder have of them."""

import subprocess
import sys
import time
from collections.abc import Callable
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
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, name, *seconds],
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


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something happens; fail if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"did not happen within {seconds} seconds")
        time.sleep(0.1)
