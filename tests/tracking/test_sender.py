"""Sending what waits."""

from pathlib import Path

from mlflow import MlflowClient

from abn.tracking import sender, server
from tests.tracking.rig import a_pipeline, a_record, tracked, unsent


def test_records_are_sent_once_however_often() -> None:
    """A record whose deletion failed goes again to the run it already has, and changes nothing."""
    one = a_record()
    assert sender.send_unsent() == (1, 0, None)
    first = tracked()["train"]
    one.save()
    assert sender.send_unsent() == (1, 0, None)
    again = tracked()["train"]
    assert again.to_dictionary() == first.to_dictionary()
    history = MlflowClient(server.tracking_uri()).get_metric_history(first.info.run_id, "loss")
    assert [point.step for point in history] == list(range(300))
    assert sender.send_unsent() == (0, 0, None)


def test_a_refused_record_does_not_hold_up_the_others() -> None:
    """One whose experiment was deleted stays, the other goes, and the reason is told."""
    client = server.connect()
    client.delete_experiment(server.experiment(client, "deleted"))
    refused = a_record("refused")
    refused.experiment = "deleted"
    refused.save()
    a_record("welcome")
    sent, kept, reason = sender.send_unsent()
    assert (sent, kept) == (1, 1)
    assert reason is not None
    assert "deleted" in reason
    assert unsent() == [refused.file.relative_to(Path.cwd())]


def test_what_is_no_record_is_left_alone() -> None:
    """Half a file and the record of a stage that runs are neither sent nor lost."""
    running = a_record()
    running.status = "RUNNING"
    running.save()
    (running.file.parent / "0-half.json").write_text('{"id":')
    assert sender.send_unsent() == (0, 0, None)
    assert len(unsent()) == 2


# Pipelines.


def test_a_pipeline_refers_to_the_newest_finished_run_of_each_stage() -> None:
    """A cached stage's run is found by its key; one that this server never saw is missing."""
    client = server.connect()
    experiment = server.experiment(client, "abn")
    tags = {"abn.stage": "train", "abn.key": "a"}
    older = client.create_run(experiment, 1000, tags).info.run_id
    newest = client.create_run(experiment, 2000, tags).info.run_id
    client.create_run(experiment, 3000, tags, "still running")
    other = client.create_run(experiment, 4000, {**tags, "abn.key": "b"}).info.run_id
    for run_id in (older, newest, other):
        client.set_terminated(run_id)
    a_pipeline({"train": "a", "report": "c"})
    assert sender.send_unsent() == (1, 0, None)
    found = tracked()["pipeline"].data.tags
    assert (found["stage.train"], found["stage.report"]) == (newest, "missing")


def test_a_pipeline_state_has_one_run(repository: Path) -> None:
    """The same state again adds and changes nothing; another state has its own run."""
    a_pipeline({"train": "a"})
    sender.send_unsent()
    first = tracked()["pipeline"]
    a_pipeline({"train": "a"})
    assert sender.send_unsent() == (1, 0, None)
    assert tracked()["pipeline"].to_dictionary() == first.to_dictionary()
    a_pipeline({"train": "b"})
    sender.send_unsent()
    client = MlflowClient(server.tracking_uri())
    assert len(client.search_runs([first.info.experiment_id])) == 2


def test_a_reference_that_was_missing_is_filled_in_later() -> None:
    """The same pipeline state, when the run of its stage has come; what was there stays."""
    a_pipeline({"train": "1" * 32, "report": "c"})
    sender.send_unsent()
    assert tracked()["pipeline"].data.tags["stage.train"] == "missing"
    a_record("train")
    a_pipeline({"train": "1" * 32, "report": "c"})
    assert sender.send_unsent() == (2, 0, None)
    runs = tracked()
    tags = runs["pipeline"].data.tags
    assert tags["stage.train"] == runs["train"].info.run_id
    assert tags["stage.report"] == "missing"


def test_metrics_of_any_name_are_taken() -> None:
    """A class name in a metric's name, with whatever signs in it, does not lose the run."""
    one = a_record()
    names = [
        "iou.<script>",
        "../up",
        "iou./",
        "Schuh größe",
        "x" * 300,
        "a\nb",
        '"',
        "iou.T-shirt/top",
    ]
    one.log([(0, dict.fromkeys(names, 1.0))])
    one.save()
    assert sender.send_unsent() == (1, 0, None)
    assert sorted(tracked()["train"].data.metrics) == sorted(
        [
            "loss",
            "val",
            "iou._script_",
            "_up",
            "iou._",
            "Schuh größe",
            "x" * 250,
            "a_b",
            "_",
            "iou.T-shirt_top",
        ]
    )
