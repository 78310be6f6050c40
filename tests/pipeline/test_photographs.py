"""A folder of photographs through the real pipeline, from three parameters to the report."""

import csv
import json
import shutil

import numpy as np

from tests.data.photographs import folder_of_photographs
from tests.pipeline.rig import Repository

CLASSES = ("discs & <b>dots", "squares", "crosses, «à l'œil» 🦊")
PHOTOGRAPHS = {
    "source": "image_folder",
    "root": "data/raw/photographs",
    "splits": {"train": None, "val": 0.2, "test": None},
}
QUICK = {"image_size": 24}
"""Beside the three, so that the test takes seconds."""


def test_a_folder_of_photographs_goes_through_to_the_report(finished: Repository) -> None:
    """Alpha masks, many formats and sizes, broken files; colours, class names of any text."""
    root = finished.root / PHOTOGRAPHS["root"]  # type: ignore[operator]
    folder_of_photographs(root, CLASSES, 30, 160)
    try:
        with finished.changed(data=PHOTOGRAPHS | QUICK, train={"epochs": 8}):
            said = finished.dvc("repro")
            page = finished.read("reports/report.html")
            metrics = json.loads(finished.read("reports/metrics/finetune_attention.json"))
            images = np.load(finished.root / "data/prepared/images.npy")
            with (finished.root / "data/prepared/rejected.csv").open(encoding="utf-8") as stream:
                rejected = list(csv.DictReader(stream))
    finally:
        shutil.rmtree(root)
    assert "5 file(s) of the source are not used, see data/prepared/rejected.csv" in said
    assert [one["reason"].partition(" ")[0] for one in rejected].count("same") == 1
    assert {one["class_name"] for one in rejected} == {CLASSES[0]}
    assert images.shape == (90, 24, 24, 3)
    assert np.ptp(images, axis=3).max() > 50
    assert 0 <= metrics["after"]["test"]["iou"] <= 1
    assert metrics["edited_images"] > 0
    assert "discs &amp; &lt;b&gt;dots" in page
    assert "<b>dots" not in page
    assert "🦊" in page
