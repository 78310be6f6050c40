"""Every test of tracking runs in a repository of its own."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """A repository with nothing but a database, with the tests' process standing in it."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, "mlflow.db")
    return tmp_path
