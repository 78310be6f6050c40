"""The usual case from end to end: images without masks, edited in the browser, to the report."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.browser.test_annotate import ERASED, PAINTED, Editor, editor
from tests.label_studio.server import Studio, studio, studio_process
from tests.pipeline.rig import Repository

__all__ = ["editor", "studio", "studio_process"]

IMAGES = 6


def _abn(repository: Repository, studio: Studio, *command: str) -> str:
    environment = os.environ | {
        "DVC_ROOT": str(repository.root),
        "LABEL_STUDIO_URL": studio.login.url,
        "LABEL_STUDIO_API_KEY": studio.login.token,
    }
    done = subprocess.run(
        [sys.executable, "-m", "abn.cli", *command],
        cwd=repository.root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_edits_made_in_the_browser_reach_the_report_without_any_mask(
    studio: Studio, editor: Editor, tmp_path: Path
) -> None:
    """Selected by gradients, pushed, painted by hand, pulled; a plain `dvc repro` goes on from it.

    Part of the edits is held out: one part to choose by, one that the report rests on, and it says
    on how many.
    """
    repository = Repository(tmp_path)
    repository.set_params(
        {
            "data": {"masks": False},
            "edits": {"source": "annotations"},
            "selection": {"budget": IMAGES, "holdout": 0.5},
        }
    )
    repository.dvc("repro", "export_attention")
    pushed = _abn(repository, studio, "annotate", "push", "--images", "upload")
    assert f"{IMAGES} images new" in pushed

    editor.log_in(studio)
    editor.page.goto(pushed.split("Edit them at ")[1].split()[0])
    editor.page.get_by_text("Label All Tasks").click()
    editor.page.get_by_text("Labeling Instructions").wait_for()
    editor.page.keyboard.press("Escape")
    task = None
    for _ in range(IMAGES):
        task = editor.wait_for_other_task(task)["task"]
        editor.select_region()
        editor.stroke("b", PAINTED, touches=1)
        editor.stroke("e", ERASED, touches=2)
        editor.press("submit")
    assert f"{IMAGES} annotated" in _abn(repository, studio, "annotate", "pull")

    said = repository.dvc("repro")
    assert "Running stage 'train_abn'" not in said
    metrics = json.loads(repository.read("reports/metrics/finetune_attention.json"))
    assert (metrics["edited_images"], metrics["finetuned_on"]) == (IMAGES, 3)
    assert "iou" not in metrics["after"]["test"]
    assert metrics["attention_mse"]["after"]["report"] > 0
    assert json.loads(repository.read("reports/metrics/import_edits.json"))["edits_from_people"]
    report = repository.read("reports/report.md")
    assert f"{IMAGES} maps edited by 1 annotator" in report
    assert "simulated" not in report.split("## Stages")[0]
    assert studio.login.token not in repository.read("data/annotations/export.json")
