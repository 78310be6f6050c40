"""What is asked of MLflow, database or server; and by whom it is asked."""

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from abn import paths
from abn.errors import AbnError
from abn.tracking.owner import known_dead

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MISSING = "missing"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""So that MLflow shows the experiment's runs first, not what it has for language models."""

CLIENT_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",  # a model needs what it says, not what a lock file here says
}


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
            return str(client.create_experiment(name, artifacts, EXPERIMENT_TAGS))
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


def is_missing(error: Exception) -> bool:
    """Whether MLflow answered that there is no such thing."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    return isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST"


@contextmanager
def told() -> Iterator[None]:
    """Turn what mlflow raises into ``AbnError``, for commands that can't do without its answer."""
    try:
        yield
    except AbnError:
        raise
    except Exception as error:  # noqa: BLE001 (mlflow raises what its transports raise)
        raise AbnError(f"MLflow at {clean(tracking_uri())}: {clean(str(error))}") from None


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
