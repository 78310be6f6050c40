"""What there is to tell MLflow about a run: one JSON file under ``.abn/unsent`` until it is told.

So a slow or dead server costs the stage nothing, and what could not be sent is not lost.
"""

import hashlib
import json
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from abn import atomic, paths
from abn.tracking import kept_model

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

LONGEST_NAME = 250
RESTORED_TAG = "abn.restored"
"""Of a run that was made of committed results, not by the stage."""


class Point(NamedTuple):
    """A metric's value at a step (epoch; 0 where there are none) and a time (ms since 1970)."""

    name: str
    value: float
    step: int
    time: int


class Dataset(BaseModel):
    """A data set that a run read."""

    name: str
    digest: str
    images: dict[str, int]
    """By split."""


class Record(BaseModel):
    """All there is to tell MLflow about one run; times in ms since 1970."""

    id: str
    experiment: str
    name: str
    key: str
    status: Status = "RUNNING"
    started: int
    ended: int | None = None
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    points: list[Point] = []
    stages: dict[str, str] = {}
    """Of a pipeline's run: each stage's key."""
    dataset: Dataset | None = None
    model: str | None = None
    """Name of the model that lies in ``model_folder``, if the run made one."""
    registered: bool = False
    """Whether the model goes into the registry, if the run finishes."""

    @property
    def file(self) -> Path:
        """Where the record lies until it is sent; names sort by start."""
        return unsent() / f"{self.started}-{self.id}.json"

    @property
    def artifacts(self) -> Path:
        """Folder of the copies that are to be sent with it."""
        return unsent() / self.id

    @property
    def model_folder(self) -> Path:
        """Folder of the model that is to be sent with it."""
        return unsent() / f"{self.id}.model"

    def save(self) -> None:
        """Write the record."""
        atomic.write_text(self.file, self.model_dump_json())

    def log(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Add metrics by step, as of now."""
        now = _now()
        self.points += [
            Point(_name(name), value, step, now)
            for step, row in rows
            for name, value in row.items()
        ]

    def keep(self, path: Path) -> None:
        """Copy a file or folder, as it is now, to be sent with the record."""
        target = self.artifacts / path.name
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    def keep_model(self, weights: Path, example: NDArray[np.uint8], registered: bool) -> None:
        """Copy a model, as it is now, to be sent with the record."""
        kept_model.keep(weights, example, self.model_folder)
        self.model, self.registered = weights.stem, registered

    def close(self, status: Status) -> None:
        """Set how and when the run ended."""
        self.status, self.ended = status, _now()

    def forget(self) -> None:
        """Delete record and copies; the record last, so that no copy stays behind unnoticed."""
        for copies in (self.artifacts, self.model_folder):
            shutil.rmtree(copies, ignore_errors=True)
        self.file.unlink(missing_ok=True)


def start(
    experiment: str, name: str, key: str, params: Mapping[str, Any], tags: Mapping[str, str]
) -> Record:
    """Give a new record, which is not written yet."""
    return Record(
        id=uuid.uuid4().hex,
        experiment=experiment,
        name=name,
        key=key,
        started=_now(),
        params={
            one: value if isinstance(value, str) else json.dumps(value)
            for one, value in params.items()
        },
        tags={**tags, "abn.stage": name, "abn.key": key},
    )


def start_pipeline(
    experiment: str, stages: Mapping[str, str], params: Mapping[str, Any], tags: Mapping[str, str]
) -> Record:
    """Give a new record of a pipeline's state, which is what its stages' keys are."""
    text = json.dumps(dict(stages), sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    record = start(experiment, "pipeline", key, params, tags)
    record.stages = dict(stages)
    return record


def read(path: Path) -> Record | None:
    """Read a record; None if it is gone, or no record."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def unsent() -> Path:
    """Give the folder of the records that are not sent yet."""
    return paths.scratch() / "unsent"


def _now() -> int:
    return time.time_ns() // 1_000_000


def _name(name: str) -> str:
    """Give the name that MLflow takes: it refuses most signs, and what looks like a path."""
    return re.sub(r"[^\w.\- :]", "_", name).lstrip(".")[:LONGEST_NAME] or "_"
