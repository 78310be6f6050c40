import json

import pytest

from abn.report.headline import headline
from tests.report.artefacts import Recipe
from tests.report.conftest import Read

COUNTS = (("train", 240), ("val", 90), ("test", 180), ("test_shifted", 60))


def test_the_headline_is_what_the_samples_say(read: Read) -> None:
    """Headline figures keep the stages' names, and equal the means over the samples."""
    found = read()
    summary = headline(found)
    test = found.samples[found.samples["split"] == "test"]
    for side in ("before", "after"):
        assert summary[side]["test"]["iou"] == pytest.approx(test[f"{side}_alignment"].mean())
        correct = test[f"{side}_predicted"] == test["label"]
        assert summary[side]["test"]["accuracy"] == pytest.approx(correct.mean())
    assert summary["change"]["iou"]["value"] == pytest.approx(
        summary["after"]["test"]["iou"] - summary["before"]["test"]["iou"]
    )
    assert summary["edited_images"] == 48
    json.dumps(summary, allow_nan=False)


def test_recipes_are_compared_by_few_figures(read: Read) -> None:
    """Of each recipe what the paper claims: accuracy, what it lost, alignment."""
    summary = headline(read(Recipe(counts=COUNTS)))
    assert summary["recipe"] == "guarded"
    assert list(summary["recipes"]) == ["paper", "guarded"]
    for split in ("test", "test_shifted"):
        of_paper = summary["recipes"]["paper"][split]
        assert of_paper["accuracy_drop"] == pytest.approx(
            summary["before"][split]["accuracy"] - of_paper["accuracy"]
        )
    assert "recipes" not in headline(read(Recipe(recipes=())))


def test_the_headline_stays_short(read: Read) -> None:
    """A table of it fits a terminal, however many measures there are."""
    lines = json.dumps(headline(read(Recipe(counts=COUNTS))), indent=0).splitlines()
    assert sum(not line.endswith(("{", "}", "},")) for line in lines) < 90


def test_without_masks_and_held_out_edits_there_is_accuracy_alone(read: Read) -> None:
    """What was not measured is left out, not written as nothing."""
    summary = headline(read(Recipe(masks=False, holdout=False, origin="annotation")))
    assert list(summary["change"]) == ["accuracy"]
    assert "baselines" not in summary
    assert "attention_mse" not in summary
