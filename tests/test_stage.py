"""Stages as processes, as DVC runs them."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from abn import stage
from abn.errors import AbnError
from tests import two_stages
from tests.serving.rig import a_picture, write_model
from tests.tracking import registered
from tests.tracking.registered import GOOD
from tests.two_stages import key_of, replace

SCRIPT = """
import random
import time
from pathlib import Path

import numpy as np

from abn.stage import Stage, run

def main(stage: Stage) -> None:
{main}

if __name__ == "__main__":
    run({name!r}, main)
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """A repository of two stages, with the tests' process standing in it."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, "mlflow.db")
    two_stages.write()
    return tmp_path


def write_stage(name: str, main: str) -> list[str]:
    path = Path("stages") / f"{name}.py"
    indented = "\n".join(f"    {line}" for line in main.strip().splitlines())
    path.write_text(SCRIPT.format(name=name, main=indented), encoding="utf-8")
    return [sys.executable, str(path)]


def run_stage(name: str, main: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(write_stage(name, main), capture_output=True, text=True, check=False)


def tracked(database: str = "mlflow.db") -> list[Run]:
    client = MlflowClient(f"sqlite:///{Path(database).resolve()}")
    experiment = client.get_experiment_by_name("abn")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def only_run() -> Run:
    (run,) = tracked()
    return run


# A stage that finishes.


def test_a_finished_stage_leaves_its_figures_and_a_finished_run(repository: Path) -> None:
    """Metrics, curve, run file and an MLflow run with params, tags, metrics by step, artifact."""
    done = run_stage(
        "first",
        """
assert stage.params.finetune.max_accuracy_drop == 0.05 and stage.seed == 1
Path("figure.html").write_text("as logged")
stage.log_artifact(Path("figure.html"))
Path("figure.html").write_text("changed since")
stage.tag("abn.device", "cpu")
stage.log_curve([{"epoch": 1, "loss": 0.5, "val": None}])
stage.log_curve([{"epoch": 1, "loss": 0.5, "val": None}, {"epoch": 2, "loss": 1 / 3, "val": 1}])
stage.log_metrics({"val": {"accuracy": np.float32(0.5), "iou": None}, "by": "simulated", "n": 2})
""",
    )
    assert done.stderr == ""
    assert done.returncode == 0
    metrics = Path("reports/metrics/first.json").read_text()
    assert json.loads(metrics) == {"val": {"accuracy": 0.5}, "by": "simulated", "n": 2}
    assert Path("reports/plots/first.csv").read_text() == "epoch,loss,val\n1,0.5,\n2,0.333333,1\n"
    assert json.loads(Path("data/runs/first.json").read_text()) == {
        "stage": "first",
        "key": key_of("first"),
    }
    run = only_run()
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert run.info.end_time >= run.info.start_time
    assert run.data.metrics == {"loss": 1 / 3, "val": 1, "val.accuracy": 0.5, "n": 2}
    assert run.data.params["finetune.max_accuracy_drop"] == "0.05"
    assert "finetune.unedited" not in run.data.params
    assert run.data.params["train.epochs"] == "8"
    expected = {"abn.stage": "first", "abn.key": key_of("first"), "by": "simulated"}
    assert expected.items() <= run.data.tags.items()
    assert run.data.tags["abn.device"] == "cpu"
    artifact = repository / "mlartifacts" / run.info.run_id / "artifacts" / "figure.html"
    assert artifact.read_text() == "as logged"
    assert list(Path(".abn/unsent").glob("*")) == [Path(".abn/unsent/.lock")]


def test_the_seed_sets_pythons_and_numpys_generators(repository: Path) -> None:
    """The same draws in every run of the stage, and torch's where the stage has imported it."""
    draw = "print(random.random(), np.random.rand(), stage.seed)"
    first, second = run_stage("first", draw), run_stage("first", draw)
    assert first.stdout == second.stdout
    assert first.stdout.endswith(" 1\n")


def test_the_pipelines_run_holds_every_stages_params(repository: Path) -> None:
    """One run a state, with the headlines among the metrics, both stages' params and runs.

    Its note shows before and after, and leads to the runs of the stages.
    """
    run_stage("first", "stage.log_metrics({'n': 2})")
    report = """
Path("report.md").write_text("# Report")
before, after = {"test": {"iou": 0.2}}, {"test": {"iou": 0.8, "none": None, "contrast": 0.1}}
stage.log_pipeline({"before": before, "after": after, "by": "people"}, [Path("report.md")])
"""
    assert run_stage("report", report).stderr == ""
    assert run_stage("report", report).stderr == ""
    pipelines = [run for run in tracked() if run.info.run_name == "pipeline"]
    assert len(pipelines) == 1
    (run,) = pipelines
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"before.test.iou": 0.2, "after.test.iou": 0.8}
    assert run.data.tags["by"] == "people"
    assert {"seed", "train.lr", "report.gallery"} <= run.data.params.keys()
    runs = {one.info.run_id: one.info.run_name for one in tracked()}
    assert runs[run.data.tags["stage.first"]] == "first"
    assert runs[run.data.tags["stage.report"]] == "report"
    assert (repository / "mlartifacts" / run.info.run_id / "artifacts" / "report.md").exists()
    note = run.data.tags["mlflow.note.content"]
    assert "| test.iou | 0.2 | 0.8 |" in note
    assert "`finetune.max_accuracy_drop` 0.05" in note
    assert f"[first](#/experiments/1/runs/{run.data.tags['stage.first']})" in note


def test_a_run_says_what_it_is_for_and_which_data_it_read(repository: Path) -> None:
    """A note with purpose and figures; the prepared set with its digest, of each that read it."""
    described = {"source": "sample", "digest": "d" * 32, "images": {"train": 3, "val": 2}}
    Path("data/prepared").mkdir()
    Path("data/prepared/dataset.json").write_text(json.dumps(described))
    replace("dvc.yaml", "deps: [data/raw]", "desc: Look at images\n    deps: [data/prepared]")
    assert run_stage("first", "stage.log_metrics({'val': {'accuracy': 0.25}})").stderr == ""
    run = only_run()
    (found,) = run.inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("sample", "d" * 32)
    assert json.loads(found.dataset.profile)["num_rows"] == 5
    assert {tag.key: tag.value for tag in found.tags} == {"mlflow.data.context": "first"}
    note = run.data.tags["mlflow.note.content"]
    assert note.startswith("Look at images\n\n")
    assert "| val.accuracy | 0.25 |" in note


# A stage that does not.


def test_a_users_mistake_is_one_message(repository: Path) -> None:
    """AbnError: the message on stderr, exit 1, a FAILED run, neither metrics nor run file."""
    done = run_stage("first", "stage.log_metrics({'after': {'iou': float('nan')}})")
    assert done.returncode == 1
    assert done.stderr == "first: the metric after.iou is nan: not a finite number\n"
    assert only_run().info.status == "FAILED"
    assert not Path("reports/metrics/first.json").exists()
    assert not Path("data/runs/first.json").exists()


def test_a_programs_mistake_shows_where(repository: Path) -> None:
    """Any other exception: its traceback, exit 1, a FAILED run."""
    done = run_stage("first", "1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" in done.stderr
    assert only_run().info.status == "FAILED"


@pytest.mark.parametrize(
    ("how", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_killed_stage_leaves_a_killed_run(
    repository: Path, how: signal.Signals, code: int
) -> None:
    """After SIGTERM, Ctrl-C and SIGKILL the run is KILLED, with what was logged until then."""
    command = write_stage(
        "first", "stage.log_metrics({'n': 2}); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(how)
    _, stderr = process.communicate(timeout=30)  # the sender holds stderr until it has sent
    assert process.returncode == code
    assert "Traceback" not in stderr
    wait_until(lambda: only_run().info.status == "KILLED")
    assert only_run().data.metrics == {"n": 2}
    assert not Path("data/runs/first.json").exists()


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("did not happen within ten seconds")


def test_a_broken_params_file_needs_no_run(repository: Path) -> None:
    """A mistake in params.yaml is told before anything is tracked."""
    Path("params.yaml").write_text("seed: 1\n")
    done = run_stage("first", "pass")
    assert done.returncode == 1
    assert done.stderr.startswith("first: params.yaml: 11 mistake(s)\n  line 1: runtime is missing")
    assert not Path(".abn").exists()


def test_results_from_git_get_their_run_back(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a fresh server a stage's run is made once from its committed metrics, tagged so."""
    run_stage("first", "stage.log_metrics({'after': {'iou': 0.5}, 'by': 'people'})")
    assert stage.restore("first") is False
    fresh = repository / "fresh.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{fresh}")
    assert stage.restore("first") is True
    assert stage.restore("first") is False
    (run,) = tracked("fresh.db")
    assert run.data.metrics == {"after.iou": 0.5}
    assert run.data.tags["abn.restored"] == "true"
    assert run.data.tags["abn.key"] == key_of("first")
    replace("params.yaml", "epochs: 8", "epochs: 9")
    with pytest.raises(AbnError, match="first: params or deps have changed since it ran"):
        stage.restore("first")


def test_results_from_git_get_their_model_back(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a fresh server the refined model is registered too, so that it can be promoted."""
    Path("data/prepared").mkdir()
    Path("data/prepared/dataset.json").write_text(
        json.dumps({"source": "sample", "digest": "d" * 32, "images": {}})
    )
    np.save("data/prepared/images.npy", a_picture()[None, ..., None])
    outs = "outs: [data/models/abn_refined.safetensors, data/runs/first.json]"
    replace("dvc.yaml", "outs: [data/runs/first.json]", outs)
    replace("dvc.yaml", "deps: [data/raw]", "deps: [data/prepared]")
    write_model(Path("data/models/abn_refined.safetensors"))
    logs = "stage.log_model(Path('data/models/abn_refined.safetensors'))"
    assert run_stage("first", f"{logs}; stage.log_metrics({GOOD})").stderr == ""
    (version,) = registered.versions()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{repository / 'fresh.db'}")
    assert stage.restore("first") is True
    (restored,) = registered.versions()
    assert restored.weights == version.weights
    assert restored.measured == version.measured == GOOD
    assert registered.names() == {"candidate": "1"}
    assert list(Path(".abn/unsent").glob("*")) == [Path(".abn/unsent/.lock")]
