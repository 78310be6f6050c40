"""What is asked of MLflow, database or server; the only file that imports mlflow."""

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from abn import paths
from abn.tracking.owner import known_dead
from abn.tracking.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

POINTS_A_BATCH = 500  # MLflow takes 1000 entities a request, of which 100 params and 100 tags
LABELS_A_BATCH = 100
LONGEST_VALUE = 5000
MISSING = "missing"

CLIENT_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class Sent:
    """A record's run in MLflow, and how much of the record it has."""

    def __init__(self, client: "MlflowClient", record: Record) -> None:
        found = client.search_runs(
            [experiment(client, record.experiment)],
            f"tags.`abn.record` = '{record.id}'",
            max_results=1,
        )
        self._client = client
        self._points = 0
        self._labels: set[tuple[str, str, str]] = set()
        self.record_id = record.id
        self.run_id = found[0].info.run_id if found else _create(client, record)

    def update(self, record: Record) -> None:
        """Send what the run does not have yet."""
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

        labels = [("param", *one) for one in record.params.items()]
        labels += [("tag", *one) for one in record.tags.items()]
        new = [label for label in labels if label not in self._labels]
        for batch in _batches(new, LABELS_A_BATCH):
            short = [(kind, name, value[:LONGEST_VALUE]) for kind, name, value in batch]
            params = [Param(name, value) for kind, name, value in short if kind == "param"]
            tags = [RunTag(name, value) for kind, name, value in short if kind == "tag"]
            self._client.log_batch(self.run_id, params=params, tags=tags)
            self._labels.update(batch)
        for points in _batches(record.points[self._points :], POINTS_A_BATCH):
            metrics = [Metric(one.name, one.value, one.time, one.step) for one in points]
            self._client.log_batch(self.run_id, metrics=metrics)
            self._points += len(points)

    def close(self, record: Record) -> None:
        """Send the artifacts and end the run."""
        if record.artifacts.is_dir():
            self._client.log_artifacts(self.run_id, str(record.artifacts))
        self._client.set_terminated(self.run_id, record.status, record.ended)


def _create(client: "MlflowClient", record: Record) -> str:
    tags = record.tags | {"abn.record": record.id}
    of = experiment(client, record.experiment)
    return str(client.create_run(of, record.started, tags, record.name).info.run_id)


def tracking_uri() -> str:
    """Give MLFLOW_TRACKING_URI, or the database at the repository's root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.repository() / 'mlflow.db'}"


def is_remote() -> bool:
    """Whether a server, not a database here, takes the runs."""
    return not tracking_uri().startswith("sqlite:")


def connect() -> "MlflowClient":
    """Connect; create the database if there is none, one process at a time."""
    for name, value in CLIENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # noqa: PLC0415

    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with _alone():
        return MlflowClient(tracking_uri())


def experiment(client: "MlflowClient", name: str) -> str:
    """Give the experiment's id; create it if there is none."""
    with _alone():
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        artifacts = None if is_remote() else (paths.repository() / "mlartifacts").as_uri()
        try:
            return str(client.create_experiment(name, artifacts))
        except Exception:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)


def newest(client: "MlflowClient", experiment_id: str, name: str, key: str) -> "Run | None":
    """Find the newest finished run of a stage, or a pipeline, by its key."""
    condition = (
        f"tags.`abn.stage` = '{name}' and tags.`abn.key` = '{key}' "
        "and attributes.status = 'FINISHED'"
    )
    found = client.search_runs(
        [experiment_id], condition, max_results=1, order_by=["attributes.start_time DESC"]
    )
    return found[0] if found else None


def references(
    client: "MlflowClient", experiment_id: str, stages: Mapping[str, str]
) -> dict[str, str]:
    """Give the tags by which a pipeline's run refers to the run of each stage, found by its key."""
    runs = {stage: newest(client, experiment_id, stage, key) for stage, key in stages.items()}
    return {f"stage.{stage}": run.info.run_id if run else MISSING for stage, run in runs.items()}


def fill_in(client: "MlflowClient", run: "Run", tags: Mapping[str, str]) -> None:
    """Set those of a pipeline's references to stages that were missing when it was sent."""
    for tag, run_id in tags.items():
        if run.data.tags.get(tag) == MISSING and run_id != MISSING:
            client.set_tag(run.info.run_id, tag, run_id)


def close_orphans(client: "MlflowClient", experiment_id: str) -> None:
    """End the runs of this host whose process is known to be dead."""
    condition = f"attributes.status = 'RUNNING' and tags.`abn.host` = '{socket.gethostname()}'"
    for run in client.search_runs([experiment_id], condition):
        if known_dead(run.data.tags, run.info.start_time):
            client.set_terminated(run.info.run_id, "KILLED")


def is_refusal(error: Exception) -> bool:
    """Whether MLflow answered and said no to this record, so that others may still go."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    silent = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")
    return isinstance(error, MlflowException) and error.error_code not in silent


def clean(text: str) -> str:
    """Take out what must not be seen: passwords in addresses, the token; and all but one line."""
    secrets = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("TOKEN", "PASSWORD"))
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    return re.sub(r"//[^/@\s]*@", "//", text).partition("\n")[0][:300]


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time into a SQLite database that may not exist yet."""
    uri = tracking_uri()
    if not uri.startswith("sqlite:///"):
        yield
        return
    database = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):
        yield


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
