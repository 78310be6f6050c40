"""Experiments: in a queue with parallel workers, and in temporary workspaces."""

import csv
import json
import time

import pytest
from mlflow.entities import Run

from tests.pipeline.rig import STAGES, Repository

RATES = ("0.011", "0.012", "0.013")
SECONDS_FOR_THE_QUEUE = 600


@pytest.fixture(scope="module")
def experiments(finished: Repository) -> dict[str, Run]:
    """MLflow's runs of pipelines, by the recipe's lr: three from a queue, one beside it."""
    before = finished.runs()
    finished.dvc("exp", "run", "--queue", "-S", f"finetune.recipes.guarded.lr={','.join(RATES)}")
    finished.dvc("queue", "start", "-j", "2")
    finished.dvc("exp", "run", "--temp", "-S", "finetune.recipes.guarded.lr=0.014")
    _wait_for_queue(finished)
    runs = [run for run in finished.runs().values() if run.info.run_id not in before]
    assert {run.info.status for run in runs} == {"FINISHED"}
    pipelines = [run for run in runs if run.info.run_name == "pipeline"]
    assert len(pipelines) == 4
    return {run.data.params["finetune.recipes.guarded.lr"]: run for run in pipelines}


def _wait_for_queue(repository: Repository) -> None:
    end = time.monotonic() + SECONDS_FOR_THE_QUEUE
    while "Running" in (status := repository.dvc("queue", "status")) or "Queued" in status:
        assert time.monotonic() < end, status
        time.sleep(3)
    assert status.count("Success") == len(RATES), status
    repository.dvc("queue", "stop")


def test_experiments_on_two_workers_stand_side_by_side_in_one_database(
    finished: Repository, experiments: dict[str, Run]
) -> None:
    """One pipeline run each, also of a temporary workspace; they differ in what was varied."""
    assert set(experiments) == {*RATES, "0.014"}
    params = [run.data.params for run in experiments.values()]
    differing = {name for name in params[0] if len({one[name] for one in params}) > 1}
    assert differing == {"finetune.recipes.guarded.lr"}
    for run in experiments.values():
        assert run.data.tags["abn.dvc_experiment"]
        artifacts = finished.root / "mlartifacts" / run.info.run_id / "artifacts"
        assert (artifacts / "report.html").exists()
    assert list((finished.root / ".dvc/tmp").rglob("mlflow.db")) == []


def test_dvc_shows_what_was_varied_beside_what_changed(
    finished: Repository, experiments: dict[str, Run]
) -> None:
    """README's `dvc exp show`: a row an experiment, the headline changes, what was varied."""
    shown = finished.dvc(
        *("exp", "show", "--csv", "--hide-workspace", "--drop", ".*"),
        *("--keep", "Experiment|change.*value|finetune.recipes.guarded.lr"),
    )
    header, *rows = list(csv.reader(shown.splitlines()))
    changes = [f"change.{name}.value" for name in ("accuracy", "iou", "attention_mse")]
    assert header == ["Experiment", *changes, "finetune.recipes.guarded.lr"]
    assert {*experiments} <= {row[-1] for row in rows}
    assert all(float(value) != 0 for row in rows for value in row[2:4])


def test_a_cached_stage_keeps_its_run(finished: Repository, experiments: dict[str, Run]) -> None:
    """Experiments that share a stage refer to the run in which it was computed, and finished."""
    runs = finished.runs()
    for stage in STAGES:
        of_stage = [runs[run.data.tags[f"stage.{stage}"]] for run in experiments.values()]
        assert {run.info.run_name for run in of_stage} == {stage}
        assert {run.info.status for run in of_stage} == {"FINISHED"}
        shared = stage in ("prepare", "train_abn", "export_attention", "import_edits")
        assert len({run.info.run_id for run in of_stage}) == (1 if shared else len(experiments))


def test_what_was_computed_once_is_not_computed_again(
    finished: Repository, experiments: dict[str, Run]
) -> None:
    """An experiment's parameters, and then those before it, come from DVC's cache.

    The report alone is written again: DVC's run cache takes no stage that has an out in git.
    """
    before = finished.runs().keys()
    with finished.changed(finetune={"recipes": {"guarded": {"lr": float(RATES[0])}}}):
        finished.dvc("repro")
        key = json.loads(finished.read("data/runs/report.json"))["key"]
    finished.dvc("repro")
    runs = finished.runs()
    (report,) = [run for one, run in runs.items() if one not in before]
    assert (report.info.run_name, report.data.tags["abn.key"]) == ("report", key)
    of_experiment = runs[experiments[RATES[0]].data.tags["stage.report"]]
    assert of_experiment.data.tags["abn.key"] == key
