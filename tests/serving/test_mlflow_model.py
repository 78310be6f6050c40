"""The model as MLflow has it: what is in its folder, and that it runs without this repository."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grimp
import pytest

import abn
from abn.serving.classifier import Classifier
from abn.tracking import kept_model, models
from tests.serving.rig import CARD, a_picture, png, write_model
from tests.tracking.rig import answers, free_port, wait_until

ELSEWHERE = """
import json, sys
import mlflow.pyfunc, pandas as pd
model = mlflow.pyfunc.load_model("model", model_config={"device": "cpu"})
example = open("example.png", "rb").read()
found = model.predict(pd.DataFrame({"image": [example]}))
from PIL import Image
import numpy as np
pixels = model.predict(pd.DataFrame({"pixels": [np.asarray(Image.open("example.png"))]}))
ours = [module for name, module in sys.modules.items() if name.split(".")[0] == "abn"]
where = [module.__file__ for module in ours if module.__file__]
print(json.dumps([found.to_dict("records"), pixels.to_dict("records"), where]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a built model, and its weights and example beside it."""
    folder = tmp_path_factory.mktemp("served")
    weights = write_model(folder / "abn_refined.safetensors")
    kept_model.keep(weights, a_picture()[..., None], folder / "kept")
    models.build(folder / "kept", folder / "model", "m-1")
    (folder / "example.png").write_bytes(png(a_picture()))
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, Any]:
    """What this repository's code says of the example."""
    classifier = Classifier(folder / "abn_refined.safetensors", "cpu")
    (answer,) = classifier.classify([{"image": png(a_picture())}])
    return answer


def test_the_modules_that_go_with_it_are_those_that_it_imports() -> None:
    """No more and no fewer, so that it loads, and carries nothing that could differ."""
    graph = grimp.build_graph("abn", exclude_type_checking_imports=True)
    needed, waiting = set[str](), {"abn.serving.mlflow_model"}
    while waiting:
        needed |= waiting
        waiting = {
            found for one in waiting for found in graph.find_modules_directly_imported_by(one)
        } - needed
    packages = {one.rpartition(".")[0] for one in needed}
    root = Path(abn.__file__).parents[1]
    files = {root / f"{one.replace('.', '/')}.py" for one in needed - packages}
    files |= {root / one.replace(".", "/") / "__init__.py" for one in packages}
    shipped = {root / "abn" / name for name in (*kept_model.SHIPPED, kept_model.SCRIPT)}
    assert shipped == files


def test_the_folder_names_no_place_and_holds_no_pickle(folder: Path) -> None:
    """Neither this machine's paths nor a registry's address; code, safetensors, an example."""
    files = [path for path in (folder / "model").rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".pth")]
    described = ("MLmodel", "requirements.txt", "conda.yaml", "python_env.yaml")
    for name in described:
        text = (folder / "model" / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|index-url|(?<![\w.])/\w", text), f"{name}:\n{text}"
    requirements = (folder / "model/requirements.txt").read_text(encoding="utf-8").split()
    names = [line.partition("==")[0] for line in requirements]
    assert sorted(names) == ["mlflow", "numpy", "pillow", "safetensors", "torch"]
    assert all(re.fullmatch(r"[a-z]+==[0-9.]+", line) for line in requirements)


def test_torchvision_is_asked_for_where_the_backbone_is_its() -> None:
    """And nowhere else: it is large."""
    card = {**vars(CARD), "backbone": "torchvision/resnet18"}
    assert "torchvision" in [line.partition("==")[0] for line in models.requirements(card)]


def test_it_loads_without_this_repository(folder: Path, expected: dict[str, Any]) -> None:
    """In a process that finds no abn but the one that came with the model: the same answers."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    # Without site's .pth files there is no editable installation of this checkout either.
    packages = [path for path in sys.path if path.endswith("site-packages")]
    done = subprocess.run(
        [sys.executable, "-S", "-W", "ignore", "-c", ELSEWHERE],
        cwd=folder, env=environment | {"PYTHONPATH": os.pathsep.join(packages)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    image, pixels, where = json.loads(done.stdout.splitlines()[-1])
    assert image == pixels == [expected]
    assert where
    assert all(Path(path).is_relative_to(folder / "model/code") for path in where)


def test_weights_that_were_changed_are_not_loaded(tmp_path: Path) -> None:
    """The card that goes with them holds their digest."""
    weights = write_model(tmp_path / "abn.safetensors", card=replace(CARD, classes=["a", "b"]))
    kept_model.keep(weights, a_picture()[..., None], tmp_path / "kept")
    write_model(tmp_path / "kept" / kept_model.WEIGHTS, seed=1, card=replace(CARD, classes=["a"]))
    kept_model.keep(weights, a_picture()[..., None], tmp_path / "again")
    (tmp_path / "kept" / kept_model.CARD).write_bytes(
        (tmp_path / "again" / kept_model.CARD).read_bytes()
    )
    with pytest.raises(Exception, match=r"is not the file that abn\.json describes"):
        Classifier(tmp_path / "kept" / kept_model.WEIGHTS)


# Served.


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[str]:
    """`mlflow models serve` in this environment, on a free port of this machine."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", "model"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    log = folder / "served.log"
    with log.open("w") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True
        )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/ping"), seconds=240)
        yield f"http://127.0.0.1:{port}/invocations"
    except BaseException:
        print(log.read_text())
        raise
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def ask(service: str, request: dict[str, Any]) -> Any:
    """Send a request and give the answer; an error's status and text where it is refused."""
    asked = urllib.request.Request(
        service, json.dumps(request).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_request_is_answered_with_class_and_map(service: str, expected: dict[str, Any]) -> None:
    """An image in base64, as records and as a split table; its pixels as lists: one answer."""
    encoded, pixels = b64encode(png(a_picture())).decode(), a_picture().tolist()
    for request in (
        {"dataframe_records": [{"image": encoded}]},
        {"dataframe_split": {"columns": ["image"], "data": [[encoded]]}},
        {"dataframe_records": [{"pixels": pixels}]},
        {"inputs": {"image": [encoded]}},
    ):
        assert ask(service, request) == {"predictions": [expected]}


def test_a_batch_is_answered_in_its_order(service: str) -> None:
    """As many answers as images, each its own."""
    images = [b64encode(png(a_picture(seed))).decode() for seed in range(5)]
    together = ask(service, {"dataframe_records": [{"image": one} for one in images]})
    alone = [ask(service, {"dataframe_records": [{"image": one}]}) for one in images]
    assert len(together["predictions"]) == 5
    for one, answer in zip(together["predictions"], alone, strict=True):
        (single,) = answer["predictions"]
        assert one["class"] == single["class"]
        assert one["confidence"] == pytest.approx(single["confidence"], abs=2e-6)


def test_what_is_no_image_is_refused_and_the_service_goes_on(service: str) -> None:
    """Status 400 with the row and the reason."""
    broken = b64encode(b"no image").decode()
    status, text = ask(service, {"dataframe_records": [{"image": broken}]})
    assert status == 400
    assert "row 0: not an image" in text
    assert "predictions" in ask(service, {"dataframe_records": [{"pixels": a_picture().tolist()}]})


def test_the_input_example_is_a_request_that_works(service: str, folder: Path) -> None:
    """What MLflow shows as an example is answered."""
    request = json.loads((folder / "model/serving_input_example.json").read_text())
    assert "predictions" in ask(service, request)
