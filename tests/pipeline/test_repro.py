"""The real pipeline through DVC, on a tiny set."""

import json

import yaml

from abn.tracking import record
from tests.pipeline.rig import STAGES, Repository


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
    """Fine-tuning, and what comes after it: the base model is not trained again."""
    with finished.changed(finetune={"recipes": {"guarded": {"lr": 0.01}}}):
        stale = yaml.safe_load(finished.dvc("status", "--json"))
    assert set(stale) == {"finetune_attention", "report"}  # channels as soon as the weights differ


def test_each_stage_has_a_finished_run_and_the_pipeline_refers_to_it(finished: Repository) -> None:
    """One run of the pipeline, by which people compare, with the params and runs of all stages."""
    keys = {stage: _key(finished, stage) for stage in STAGES}
    own = record.start_pipeline("abn", keys, {}, {}).key
    runs = finished.runs()
    (pipeline,) = [run.data for run in runs.values() if run.data.tags["abn.key"] == own]
    assert pipeline.params["finetune.recipes.guarded.steps"] == "8"
    for stage, key in keys.items():
        run = runs[pipeline.tags[f"stage.{stage}"]]
        assert (run.info.run_name, run.info.status) == (stage, "FINISHED")
        assert run.data.tags["abn.key"] == key


def _key(repository: Repository, stage: str) -> str:
    key: str = json.loads(repository.read(f"data/runs/{stage}.json"))["key"]
    return key


def test_metrics_and_plots_speak_to_dvc(finished: Repository) -> None:
    """`dvc metrics show` has before and after, by split."""
    shown = json.loads(finished.dvc("metrics", "show", "--json"))[""]
    refined = shown["data"]["reports/metrics/finetune_attention.json"]["data"]
    assert {"train", "val", "test", "held_out"} <= set(refined["before"])
    assert set(refined["before"]["test"]) == set(refined["after"]["test"])
    assert set(refined["baselines"]["test"]) == {
        *("uniform_map", "constant_map", "class_mean_mask"),
    }


def test_a_mistake_in_params_is_told_without_a_traceback(finished: Repository) -> None:
    """Line, key, what was found, what was expected."""
    with finished.changed(finetune={"recipes": {"guarded": {"lr": "fast"}}}):
        said = finished.dvc("repro", "finetune_attention", fails=True)
    assert "finetune.recipes.guarded.lr is 'fast'" in said
    assert "Traceback" not in said


def test_a_whole_run_without_masks_from_an_export_file(finished: Repository) -> None:
    """The usual case: nobody has masks; people's edits come as an export, part is held out."""
    people = json.loads(finished.read("data/edits/export.json"))
    selected = "image_id\n" + "".join(f"{task['data']['image_id']}\n" for task in people)
    with finished.changed(
        data={"masks": False}, edits={"source": "annotations"}, selection={"strategy": "manual"}
    ):
        (finished.root / "data/annotations/export.json").write_text(
            json.dumps(people), encoding="utf-8"
        )
        (finished.root / "data/selected.csv").write_text(selected, encoding="utf-8")
        finished.dvc("repro")
        assert not (finished.root / "data/prepared/masks.npy").exists()
        metrics = json.loads(finished.read("reports/metrics/finetune_attention.json"))
    assert metrics["edited_images"] == len(people)
    assert "iou" in metrics["after"]["held_out"]
    assert "iou" not in metrics["after"]["test"]
