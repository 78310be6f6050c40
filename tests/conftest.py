"""The rig that tests share: params, and a small prepared set of real images."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from abn import params
from abn.data import prepared
from abn.data.prepared import Prepared
from abn.data.sources.catalogue import open_source
from abn.params import Params

ROOT = Path(__file__).parents[1]
TINY: dict[str, dict[str, Any]] = {
    "runtime": {"threads": 1, "precision": "fp32", "device": "cpu", "batch_size": 64},
    "data": {
        "root": str(ROOT / "data/raw/fashion_mnist"),
        "image_size": 24,
        "splits": {"train": 200, "val": 60, "test": 60},
        "object_size": [12, 18],
        "decoy": {"size": 3, "correlation": 0.0},
    },
    "train": {"epochs": 2, "batch_size": 32},
    "selection": {"budget": 20, "holdout": 0.4},
    "finetune": {
        "unedited": 64,
        "evaluate_every": 4,
        "recipes": {
            name: {"steps": 8, "batch_size": 8} for name in ("paper", "guarded", "mitsuhara")
        },
    },
}


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes under test, also where the tests were started with nohup or &.

    A shell's background job ignores SIGINT, and what it starts inherits that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def merged(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Give ``values`` with some replaced, at any depth."""
    return values | {
        name: merged(values[name], change)
        if isinstance(change, Mapping) and isinstance(values.get(name), dict)
        else change
        for name, change in changes.items()
    }


def changed(base: Params, **sections: Any) -> Params:
    """Give ``base`` with some values of some sections replaced, checked anew."""
    return Params.model_validate(merged(base.model_dump(), sections))


@pytest.fixture(scope="session")
def default_params() -> Params:
    return params.load(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def tiny_params(default_params: Params) -> Params:
    return changed(default_params, **TINY)


@pytest.fixture(scope="session")
def tiny_set(tiny_params: Params, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("tiny") / "prepared"
    data = tiny_params.data
    prepared.write(open_source(data, tiny_params.seed), data.image_size, folder)
    return prepared.load(folder)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables and no run: to copy, since making them takes a second."""
    from mlflow import MlflowClient  # noqa: PLC0415 (1.4 s that most tests need not pay)

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path
