"""A record's run in MLflow: what of the record it has, and what is sent next."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from abn.tracking import models, registry
from abn.tracking.record import Dataset, Record
from abn.tracking.server import experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, LoggedModel

POINTS_A_BATCH = 500  # MLflow takes 1000 entities a request, of which 100 params and 100 tags
LABELS_A_BATCH = 100
LONGEST_VALUE = 5000
LONGEST_DIGEST = 36


class Sent:
    """A record's run in MLflow, and how much of the record it has."""

    def __init__(self, client: "MlflowClient", record: Record) -> None:
        self._client = client
        self._experiment = experiment(client, record.experiment)
        self._points = 0
        self._labels: set[tuple[str, str, str]] = set()
        self._has_dataset = False
        self._model: LoggedModel | None = None
        self.record_id = record.id
        self.run_id = self._find(record) or self._create(record)

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
        if record.dataset and not self._has_dataset:
            self._client.log_inputs(self.run_id, [_input(record.dataset, record.name)])
            self._has_dataset = True
        if record.model and self._model is None:
            self._model = models.log(self._client, self._experiment, self.run_id, record)

    def close(self, record: Record) -> None:
        """Send the artifacts, register the model of a run that finished, and end the run."""
        if record.artifacts.is_dir():
            self._client.log_artifacts(self.run_id, str(record.artifacts))
        if self._model and record.registered and record.status == "FINISHED":
            registry.register(self._client, record, self.run_id, self._model)
        self._client.set_terminated(self.run_id, record.status, record.ended)

    def _find(self, record: Record) -> str | None:
        condition = f"tags.`abn.record` = '{record.id}'"
        found = self._client.search_runs([self._experiment], condition, max_results=1)
        return str(found[0].info.run_id) if found else None

    def _create(self, record: Record) -> str:
        tags = record.tags | {"abn.record": record.id}
        run = self._client.create_run(self._experiment, record.started, tags, record.name)
        return str(run.info.run_id)


def _input(dataset: Dataset, context: str) -> "DatasetInput":
    from mlflow.entities import Dataset as Entity  # noqa: PLC0415
    from mlflow.entities import DatasetInput, InputTag  # noqa: PLC0415

    entity = Entity(
        name=dataset.name,
        digest=dataset.digest[:LONGEST_DIGEST],
        source_type="local",
        source=json.dumps({"uri": "data/prepared"}),
        profile=json.dumps({"images": dataset.images, "num_rows": sum(dataset.images.values())}),
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", context)])


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
