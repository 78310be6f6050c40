"""Models in MLflow: made of what was kept (``kept_model``), logged once for each set of weights."""

import tempfile
from contextlib import chdir
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abn.tracking import kept_model
from abn.tracking.record import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

NEEDED = ("torch", "safetensors", "numpy", "pillow")
"""Packages that the model runs with; MLflow adds itself, and with it pandas."""
WEIGHTS_TAG, DATA_TAG = "abn.weights", "abn.data"


def log(client: "MlflowClient", experiment_id: str, run_id: str, record: Record) -> "LoggedModel":
    """Log a record's model, unless its weights are there already; say that the run gave it."""
    card = kept_model.card(record.model_folder)
    model = _find(client, experiment_id, card["weights"])
    if model is None:
        model = client.create_logged_model(
            experiment_id,
            record.model,
            run_id,
            tags={WEIGHTS_TAG: card["weights"], DATA_TAG: card["data"]},
            params={name: str(card[name]) for name in ("backbone", "map_kernel", "image_size")},
            model_type="attention branch network",
        )
    if model.status != "READY":
        with tempfile.TemporaryDirectory(dir=record.model_folder.parent) as aside:
            build(record.model_folder, Path(aside) / "model", model.model_id)
            client.log_model_artifacts(model.model_id, f"{aside}/model")
        model = client.finalize_logged_model(model.model_id, "READY")
    _link(client, run_id, model.model_id)
    return model


def build(kept: Path, folder: Path, model_id: str | None = None) -> None:
    """Make MLflow's folder of a kept model: it names no place on this machine."""
    import mlflow.pyfunc  # noqa: PLC0415 (seconds)
    import pandas as pd  # noqa: PLC0415
    from mlflow.models import Model  # noqa: PLC0415

    example = pd.DataFrame({"image": [(kept / kept_model.EXAMPLE).read_bytes()]})
    with chdir(kept):  # what is named by a relative path is recorded as one
        mlflow.pyfunc.save_model(
            folder.resolve(),
            python_model=Path(kept_model.SCRIPT).name,
            artifacts={"weights": kept_model.WEIGHTS, "card": kept_model.CARD},
            code_paths=[f"{kept_model.CODE}/abn"],
            model_config={"device": "auto"},
            pip_requirements=requirements(kept_model.card(Path())),
            signature=_signature(),
            input_example=example,
            mlflow_model=Model(model_id=model_id),
        )
    described = Model.load(folder)
    described.flavors["python_function"]["model_code_path"] = Path(kept_model.SCRIPT).name
    described.save(folder / "MLmodel")


def requirements(card: dict[str, Any]) -> list[str]:
    """Give the packages that a model needs, in the versions that it was made with."""
    extra = ["torchvision"] if card["backbone"].startswith("torchvision/") else []
    # A local version (2.11.0+cu128) says how a package was built; no registry has it.
    return [f"{name}=={version(name).partition('+')[0]}" for name in [*NEEDED, *extra]]


def download(source: str, name: str, folder: Path, uri: str) -> Path:
    """Download a file of a model into a folder.

    Args:
        source: where the model's files lie, as its version says.
        name: the file's, below that.
        folder: gets it.
        uri: MLflow's.
    """
    import mlflow.artifacts  # noqa: PLC0415

    found = mlflow.artifacts.download_artifacts(
        artifact_uri=f"{source}/{name}", dst_path=str(folder), tracking_uri=uri
    )
    return Path(found)


def _find(client: "MlflowClient", experiment_id: str, weights: str) -> "LoggedModel | None":
    """Find the model of these weights, rather one that is complete."""
    condition = f"tags.`{WEIGHTS_TAG}` = '{weights}'"
    found = client.search_logged_models([experiment_id], condition)
    return min(found, key=lambda model: model.status != "READY", default=None)


def _link(client: "MlflowClient", run_id: str, model_id: str) -> None:
    from mlflow.entities import LoggedModelOutput  # noqa: PLC0415

    outputs = client.get_run(run_id).outputs
    if not any(one.model_id == model_id for one in (outputs.model_outputs if outputs else ())):
        client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types import ColSpec, DataType, Schema  # noqa: PLC0415
    from mlflow.types.schema import AnyType, Array, Map  # noqa: PLC0415

    grid = Array(Array(DataType.double))
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.binary, "image", required=False),
                ColSpec(Array(Array(AnyType())), "pixels", required=False),
            ]
        ),
        outputs=Schema(
            [
                ColSpec(DataType.string, "class"),
                ColSpec(DataType.double, "confidence"),
                ColSpec(Map(DataType.double), "probabilities"),
                ColSpec(grid, "attention"),
            ]
        ),
    )
