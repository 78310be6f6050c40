"""The real pipeline through DVC, on a tiny set."""

import json
from pathlib import Path

import pytest
import yaml

from tests.pipeline.rig import Repository

STAGES = (
    "prepare", "train_abn", "export_attention", "import_edits", "finetune_attention",
    "analyze_channels", "report",
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository in which `dvc repro` ran once, committed."""
    repository = Repository(tmp_path_factory.mktemp("pipeline"))
    repository.dvc("repro")
    repository.commit("first run")
    return repository


def _runs(repository: Repository, where: str = "") -> list[dict[str, str]]:
    """Give name and status of MLflow's runs, read in a process of its own."""
    script = (
        "import json, mlflow; mlflow.set_tracking_uri('sqlite:///mlflow.db');"
        "runs = mlflow.search_runs(search_all_experiments=True, output_format='list');"
        "print('\\n' + json.dumps([dict(r.data.tags) | dict(r.data.params) |"
        " {'name': r.info.run_name, 'status': r.info.status} for r in runs]))"
    )
    printed = repository.run("python", "-W", "ignore", "-c", script)
    found: list[dict[str, str]] = json.loads(printed.strip().splitlines()[-1])
    return found


def test_one_command_goes_from_the_source_to_the_report(finished: Repository) -> None:
    """Every out is there, and DVC holds the pipeline to be up to date."""
    assert "<html" in finished.read("reports/report.html")
    assert "simulated" in finished.read("reports/report.md")
    assert "up to date" in finished.dvc("status")


def test_a_forced_rerun_gives_the_same_bits(finished: Repository) -> None:
    """No clock, id or commit in any out: dvc.lock stays as it is."""
    before = finished.read("dvc.lock")
    finished.dvc("repro", "--force")
    assert finished.read("dvc.lock") == before
    assert finished.run("git", "status", "--porcelain") == ""


def test_a_changed_fine_tuning_reruns_nothing_before_it(finished: Repository) -> None:
    """Fine-tuning, channels and report: the base model is not trained again."""
    kept = finished.read("params.yaml")
    finished.set_params(finetune={"lr": 0.01})
    stale = yaml.safe_load(finished.dvc("status", "--json")).keys()
    (finished.root / "params.yaml").write_text(kept, encoding="utf-8")
    assert set(stale) == {"finetune_attention", "report"}


def test_each_stage_has_one_finished_run_and_the_pipeline_has_one(finished: Repository) -> None:
    """What people compare in MLflow."""
    runs = _runs(finished)
    assert {run["status"] for run in runs} == {"FINISHED"}
    names = [run["name"] for run in runs]
    assert set(names) == {*STAGES, "pipeline"}
    pipeline = next(run for run in runs if run["name"] == "pipeline")
    assert pipeline["finetune.epochs"] == "4"
    assert all(f"stage.{stage}" in pipeline for stage in STAGES)


def test_metrics_and_plots_speak_to_dvc(finished: Repository) -> None:
    """`dvc metrics show` has before and after, by split."""
    shown = json.loads(finished.dvc("metrics", "show", "--json"))["" if False else "workspace"]
    refined = shown["data"]["reports/metrics/finetune_attention.json"]["data"]
    assert {"train", "val", "test", "held_out"} <= set(refined["before"])
    assert set(refined["before"]["test"]) == set(refined["after"]["test"])
    assert set(refined["baselines"]["test"]) == {"constant_map", "class_mean_mask"}


def test_a_mistake_in_params_is_told_without_a_traceback(finished: Repository) -> None:
    """Line, key, what was found, what was expected."""
    kept = finished.read("params.yaml")
    finished.set_params(finetune={"lr": "fast"})
    said = finished.dvc("repro", fails=True)
    (finished.root / "params.yaml").write_text(kept, encoding="utf-8")
    assert "finetune.lr is 'fast'" in said
    assert "Traceback" not in said


def test_a_whole_run_without_masks_from_an_export_file(tmp_path: Path) -> None:
    """The usual case: nobody has masks; people's edits come as an export, part is held out."""
    repository = Repository(tmp_path)
    repository.dvc("repro", "import_edits")
    export = tmp_path / "data/edits/export.json"
    people = json.loads(export.read_text(encoding="utf-8"))
    (tmp_path / "data/annotations/export.json").write_text(json.dumps(people), encoding="utf-8")
    selected = "image_id\n" + "".join(f"{task['data']['image_id']}\n" for task in people)
    (tmp_path / "data/selected.csv").write_text(selected, encoding="utf-8")
    repository.set_params(
        data={"masks": False},
        edits={"source": "annotations"},
        selection={"strategy": "manual"},
    )
    repository.dvc("repro")
    assert not (tmp_path / "data/prepared/masks.npy").exists()
    metrics = json.loads(repository.read("reports/metrics/finetune_attention.json"))
    assert metrics["edited_images"] == len(people)
    assert "iou" in metrics["after"]["held_out"]
    assert "iou" not in metrics["after"]["test"]
    assert "baselines" not in metrics
