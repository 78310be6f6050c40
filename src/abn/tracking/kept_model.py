"""A model as it is kept to be sent to MLflow: its files, an example, and the code that loads it.

All of it is copied when the stage has written the model, so that what is sent later, by whoever,
is what the stage made, and runs as it did.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import abn

SCRIPT = "serving/mlflow_model.py"
SHIPPED = (
    *("__init__.py", "atomic.py", "errors.py"),
    *("data/__init__.py", "data/loading.py", "data/pictures.py"),
    *("model/__init__.py", "model/backbones.py", "model/build.py", "model/checkpoint.py"),
    *("model/network.py", "serving/__init__.py", "serving/classifier.py"),
)
"""Modules that go with the model: what the script imports of this package, no more and no fewer."""

WEIGHTS, CARD, EXAMPLE, CODE = "abn.safetensors", "abn.json", "example.png", "code"


def keep(weights: Path, example: NDArray[np.uint8], folder: Path) -> None:
    """Copy a model, with an image H×W×C as its example, into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    package = Path(abn.__file__).parent
    for name in SHIPPED:
        target = folder / CODE / "abn" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / name, target)
    shutil.copyfile(package / SCRIPT, folder / Path(SCRIPT).name)
    grey = example.shape[-1] == 1
    Image.fromarray(example[..., 0] if grey else example).save(folder / EXAMPLE)
    shutil.copyfile(weights.with_suffix(".json"), folder / CARD)
    shutil.copyfile(weights, folder / WEIGHTS)


def card(folder: Path) -> dict[str, Any]:
    """Read the card of a kept model (``abn.model.checkpoint.Card``)."""
    described: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    return described
