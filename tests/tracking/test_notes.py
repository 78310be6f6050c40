"""What a run's page says first."""

from abn.tracking import notes
from abn.tracking.headlines import HEADLINES


def test_a_stages_note_is_short() -> None:
    """Headlines where there are any; else the first figures; of many not all; none, no table."""
    many = {f"{n:03}": float(n) for n in range(50)}
    note = notes.of_stage("Look.", many | {"after.test.iou": 0.84154})
    assert note.splitlines() == [
        *("Look.", ""),
        *("| metric | value |", "| --- | ---: |", "| after.test.iou | 0.8415 |"),
    ]
    assert len(notes.of_stage("Look.", many).splitlines()) == 2 + 2 + notes.MOST_ROWS
    assert notes.of_stage("Look.", {}) == "Look."


def test_a_pipelines_note_shows_before_and_after() -> None:
    """A row a metric; a side that was not measured stays empty; params that a reader asks for."""
    metrics = {name: 0.5 for name in HEADLINES if not name.startswith("before.val")}
    params = {"finetune.lr": 0.1, "edits.source": "a|`b`", "report.gallery": 24, "finetuned": 1}
    note = notes.of_pipeline(metrics, params)
    assert "| test.iou | 0.5 | 0.5 |" in note
    assert "| val.iou |  | 0.5 |" in note
    assert "| attention_mse.report | 0.5 | 0.5 |" in note
    assert note.splitlines()[-1] == "`finetune.lr` 0.1, `edits.source` a\\|'b'"
