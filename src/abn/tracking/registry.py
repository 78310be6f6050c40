"""The registry of refined models: versions, and the names candidate and champion for two of them.

A registered model has the experiment's name. A version's tags hold the digests of its weights and
of its data, and what it was measured at, so that no run need be asked for that.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from abn import atomic, paths
from abn.errors import AbnError
from abn.tracking import kept_model, models, server
from abn.tracking.headlines import VALIDATION
from abn.tracking.record import RESTORED_TAG, Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

CANDIDATE, CHAMPION = "candidate", "champion"
STARTED_TAG = "abn.started"
ATTEMPTS = 20
"""To set a name while others set it too."""
KEPT = 4
"""Downloaded models that stay on the disk."""


class Version(NamedTuple):
    """A registered model."""

    number: str
    weights: str
    """Digest."""
    data: str
    """Digest of the prepared set."""
    started: int
    """When the run that made it began, ms since 1970."""
    source: str
    """Where its files lie."""
    measured: Mapping[str, float]
    """Metrics by name, those of ``headlines.VALIDATION`` that there are."""

    @property
    def title(self) -> str:
        """What people see it called."""
        return f"version {self.number} (abn-{self.weights[:12]})"


def register(client: "MlflowClient", record: Record, run_id: str, model: "LoggedModel") -> None:
    """Make a version of a model, unless these weights have one; the newest one is candidate."""
    card = kept_model.card(record.model_folder)
    name = registered_name(record.experiment)
    started = 0 if RESTORED_TAG in record.tags else record.started
    with locked():
        _create_name(client, name)
        same = [one for one in versions(client, name) if one.weights == card["weights"]]
        if not same:
            measured = {
                one.name: repr(one.value) for one in record.points if one.name in VALIDATION
            }
            digests = {models.WEIGHTS_TAG: card["weights"], models.DATA_TAG: card["data"]}
            client.create_model_version(
                name,
                model.artifact_location,
                run_id,
                tags={**measured, **digests, STARTED_TAG: str(started)},
                model_id=model.model_id,
            )
        elif same[0].started < started:
            client.set_model_version_tag(name, same[0].number, STARTED_TAG, str(started))
        _name_candidate(client, name)


def versions(client: "MlflowClient", name: str) -> list[Version]:
    """Give every version that the pipeline registered."""
    found = client.search_model_versions(f"name = '{name}'")
    return [_version(one) for one in found if models.WEIGHTS_TAG in one.tags]


def aliases(client: "MlflowClient", name: str) -> dict[str, str]:
    """Give the versions' numbers by the names that they have; none if nothing is registered."""
    try:
        found = client.get_registered_model(name).aliases
    except Exception as error:
        if server.is_missing(error):
            return {}
        raise
    return {alias: str(number) for alias, number in found.items()}


def named(client: "MlflowClient", name: str, alias: str) -> Version | None:
    """Give the version of an alias, or None."""
    number = aliases(client, name).get(alias)
    return next((one for one in versions(client, name) if one.number == number), None)


def fetch(experiment: str, alias: str) -> Path:
    """Give the weights' file of the version of an alias, with its card beside it.

    It lies in the scratch folder, by the digest of the weights, and is downloaded once.

    Raises:
        AbnError: there is no such version, or MLflow does not give it.
    """
    with server.told():
        client = server.connect()
        version = named(client, registered_name(experiment), alias)
        if version is None:
            raise AbnError(_nothing_named(alias))
        folder = paths.scratch() / "models" / version.weights
        with locked():
            if not folder.exists():
                _download(version, folder)
            folder.touch()
            _trim(folder.parent)
    return folder / kept_model.WEIGHTS


def registered_name(experiment: str) -> str:
    """Give the registered model's name, which may hold neither slash nor colon."""
    return re.sub(r"[/:]", "-", experiment)


@contextmanager
def locked() -> Iterator[None]:
    """Let one process of this machine at a time change the registry."""
    folder = paths.scratch()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "registry.lock"):
        yield


def _nothing_named(alias: str) -> str:
    if alias == CHAMPION:
        return "the registry has no champion yet; make the candidate one with: abn promote"
    return (
        f"the registry has no {alias} yet; dvc repro registers one, abn doctor what came with git"
    )


def _create_name(client: "MlflowClient", name: str) -> None:
    try:
        client.get_registered_model(name)
    except Exception as error:
        if not server.is_missing(error):
            raise
        try:
            client.create_registered_model(name)
        except Exception:  # noqa: BLE001 (of whatever kind: has somebody else created it?)
            client.get_registered_model(name)


def _name_candidate(client: "MlflowClient", name: str) -> None:
    """Call the version that was trained last the candidate.

    MLflow can't set a name only if nobody else has meanwhile. But everybody looks again after
    setting it, and the last one to set it sees all versions that were there before. Of two that
    set it for the first time at once MLflow refuses one, which looks again.
    """
    for _ in range(ATTEMPTS):
        newest = max(versions(client, name), key=lambda one: (one.started, int(one.number)))
        if aliases(client, name).get(CANDIDATE) == newest.number:
            return
        try:
            client.set_registered_model_alias(name, CANDIDATE, newest.number)
        except Exception:
            if CANDIDATE not in aliases(client, name):
                raise


def _version(found: "ModelVersion") -> Version:
    tags = found.tags
    measured = {name: float(tags[name]) for name in VALIDATION if name in tags}
    return Version(
        str(found.version), tags[models.WEIGHTS_TAG], tags.get(models.DATA_TAG, ""),
        int(tags.get(STARTED_TAG, 0)), str(found.source), measured,
    )  # fmt: skip


def _download(version: Version, folder: Path) -> None:
    with atomic.folder(folder) as aside:
        for name in (kept_model.WEIGHTS, kept_model.CARD):
            models.download(version.source, f"artifacts/{name}", aside, server.tracking_uri())


def _trim(folder: Path) -> None:
    """Delete all but the models that were used last."""
    used = sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
    for one in used[KEPT:]:
        shutil.rmtree(one, ignore_errors=True)
