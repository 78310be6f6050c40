"""Models on their way from a stage to MLflow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from abn.tracking import kept_model, server
from abn.tracking.registry import CANDIDATE
from tests.serving.rig import CARD, write_model
from tests.tracking.registered import a_model, logged, names, send, versions
from tests.tracking.rig import (
    finish,
    free_port,
    mlflow_server,
    start_script,
    tracked,
    unsent,
    wait_until,
)

REFINES = """
import sys
import time
from pathlib import Path
import numpy as np
from abn.tracking.run import Run

run = Run("abn", "finetune_attention", "0" * 32, {}, {})
weights = Path("data/models/abn_refined.safetensors")
run.log_model(weights, np.zeros((24, 24, 1), np.uint8), registered=True)
weights.unlink()
if len(sys.argv) > 1:
    time.sleep(float(sys.argv[1]))
assert not {"mlflow", "torch"} & sys.modules.keys()
run.close("FINISHED")
"""


def test_the_same_weights_are_logged_once() -> None:
    """A second run that gives them refers to the model that there is; others have their own."""
    for seed in (1, 1, 2):
        a_model(seed)
        send()
    client = server.connect()
    assert sorted(model.name for model in logged()) == ["abn_refined"] * 2
    assert {str(model.status) for model in logged()} == {"READY"}
    runs = client.search_runs([server.experiment(client, "abn")], order_by=["start_time"])
    given = [[one.model_id for one in run.outputs.model_outputs] for run in runs]
    assert len(given) == 3
    assert given[0] == given[1] != given[2]
    assert [one.number for one in versions()] == ["1", "2"]


def test_a_model_that_was_half_sent_is_completed() -> None:
    """What a sender that died has begun is found by its digest and finished, not begun again."""
    one = a_model(1)
    client = server.connect()
    card = kept_model.card(one.model_folder)
    client.create_logged_model(
        server.experiment(client, "abn"), "abn_refined", tags={"abn.weights": card["weights"]}
    )
    send()
    (model,) = logged()
    assert str(model.status) == "READY"
    folder = Path(str(model.artifact_location).removeprefix("file://"))
    assert (folder / "MLmodel").exists()
    assert (folder / "artifacts" / kept_model.WEIGHTS).exists()


def test_a_model_is_sent_while_its_stage_goes_on() -> None:
    """It is complete before the stage ends, registered when it has; the file may go at once."""
    write_model(Path("data/models/abn_refined.safetensors"))
    stage = start_script(REFINES, "20")
    wait_until(lambda: [str(model.status) for model in logged()] == ["READY"], 120)
    assert stage.poll() is None
    assert versions() == []
    assert finish(stage) == ""
    assert names() == {CANDIDATE: "1"}
    assert unsent() == []
    assert [path.name for path in Path(".abn/unsent").iterdir()] == [".lock"]


def test_a_model_waits_for_a_server_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept with the code that loads it, sent later, and loaded from there by its name."""
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    write_model(Path("data/models/abn_refined.safetensors"))
    assert finish(start_script(REFINES)).count("\n") == 1
    (kept,) = unsent()
    assert (Path(".abn/unsent") / f"{json.loads(kept.read_text())['id']}.model").is_dir()
    with mlflow_server(port, tmp_path):
        send()
        assert names() == {CANDIDATE: "1"}
        (run,) = tracked().values()
        assert run.info.status == "FINISHED"
        loads = "import mlflow.pyfunc; print(mlflow.pyfunc.load_model('models:/abn@candidate'))"
        done = subprocess.run(
            [sys.executable, "-c", loads],
            env=dict(os.environ), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert list(Path(".abn/unsent").glob("[!.]*")) == []


def test_a_model_that_is_missing_stops_nothing() -> None:
    """A stage whose model cannot be kept says so, and its run is sent."""
    script = REFINES.replace("weights.unlink()", "").replace("abn_refined.", "gone.")
    said = finish(start_script(script))
    assert said.endswith("; this model will be missing in MLflow\n")
    assert said.count("\n") == 1
    assert tracked()["finetune_attention"].info.status == "FINISHED"


def test_a_version_can_be_told_by_its_tags() -> None:
    """Digests of weights and data, and what it was measured at, to the last bit."""
    a_model(1, {"after.val.accuracy": 1 / 3, "other": 1.0})
    send()
    (version,) = versions()
    assert version.data == CARD.data
    assert version.measured == {"after.val.accuracy": 1 / 3}
    (found,) = MlflowClient(server.tracking_uri()).search_model_versions("name = 'abn'")
    assert found.run_id == tracked()["finetune_attention"].info.run_id
