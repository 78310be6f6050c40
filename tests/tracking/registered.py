"""Models as stages leave them to be sent, and what MLflow has of them."""

from dataclasses import replace
from pathlib import Path

from mlflow.entities import LoggedModel

from abn.tracking import owner, record, registry, sender, server
from abn.tracking.record import Record, Status
from abn.tracking.registry import Version
from tests.serving.rig import CARD, a_picture, write_model

GOOD = {
    "before.val.accuracy": 0.87,
    "after.val.accuracy": 0.865,
    "before.val.iou": 0.2,
    "after.val.iou": 0.8,
    "baselines.val.constant_map.iou": 0.33,
    "baselines.val.class_mean_mask.iou": 0.34,
}
"""What passes every gate of params.yaml."""


def a_model(
    seed: int,
    metrics: dict[str, float] | None = None,
    started: int | None = None,
    status: Status = "FINISHED",
    data: str = CARD.data,
) -> Record:
    """Leave the record of a refinement that ended: its model has the weights of the seed."""
    weights = Path("data/models/abn_refined.safetensors")
    write_model(weights, seed, replace(CARD, data=data))
    one = record.start("abn", "finetune_attention", f"{seed:032}", {}, owner.process_tags())
    one.started = started or one.started
    one.log([(0, GOOD if metrics is None else metrics)])
    one.keep_model(weights, a_picture()[..., None], registered=True)
    one.close(status)
    one.save()
    return one


def send() -> None:
    """Send all that waits; it must go."""
    outcome = sender.send_unsent()
    assert outcome.kept == 0, outcome


def versions() -> list[Version]:
    """Give what is registered, in the order of registration."""
    return sorted(registry.versions(server.connect(), "abn"), key=lambda one: int(one.number))


def names() -> dict[str, str]:
    """Give the versions' numbers by their names."""
    return registry.aliases(server.connect(), "abn")


def logged() -> list[LoggedModel]:
    """Give the models that are logged."""
    client = server.connect()
    return list(client.search_logged_models([server.experiment(client, "abn")]))
