"""What DVC shows of a run, and of two: metrics, curves, stages, models."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.pipeline.rig import STAGES, Repository

PLOTS = {
    "training_accuracy": ("epoch", "accuracy"),
    "refinement": ("epoch", "share"),
    "reports/plots/train_abn.csv": ("epoch", "loss"),
    "reports/plots/finetune_attention.csv": ("epoch", "mean squared error"),
    "reports/plots/front.csv": ("accuracy on validation", "alignment (IoU)"),
}
"""Axis titles by plot."""


@pytest.fixture(scope="module")
def faster(finished: Repository) -> Iterator[Repository]:
    """The repository after a rerun with another learning rate, not committed."""
    with finished.changed(finetune={"recipes": {"guarded": {"lr": 0.01}}}):
        finished.dvc("repro")
        yield finished


def test_metrics_diff_is_a_short_table_of_what_changed(faster: Repository) -> None:
    """README's `dvc metrics diff` fits a screen: a line a headline metric, its change last."""
    target = "reports/metrics/summary.json"
    shown = json.loads(faster.dvc("metrics", "diff", "--json", "--targets", target))
    changed = shown["diff"][target] if "diff" in shown else shown[target]
    assert {"after.test.iou", "change.iou.value", "after.test.accuracy"} & set(changed)
    assert not any(name.startswith("before") for name in changed)
    lines = faster.dvc("metrics", "diff", "--md", "--targets", target).splitlines()
    assert 5 < len(lines) < 60
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("command", ["show", "diff"])
def test_every_plot_is_drawn_with_its_axes_named(faster: Repository, command: str) -> None:
    """`dvc plots show` and `diff` find every declared template and column, and say what is what."""
    shown = json.loads(faster.dvc("plots", command, "--json"))
    assert "errors" not in shown
    assert set(shown["data"]) == set(PLOTS)
    revisions = {"workspace"} if command == "show" else {"workspace", "HEAD"}
    for name, (plot,) in shown["data"].items():
        spec = plot["content"]
        assert "<DVC_METRIC" not in json.dumps(spec)
        assert spec["title"]["text"]
        assert PLOTS[name] == _axis_titles(spec)
        assert {row["rev"] for row in spec["data"]["values"]} == revisions


def test_the_front_has_a_line_a_recipe_and_its_chosen_states(faster: Repository) -> None:
    """What our template reads is what front.csv holds: one state kept of each curve."""
    (plot,) = json.loads(faster.dvc("plots", "show", "--json", "reports/plots/front.csv"))["data"][
        "reports/plots/front.csv"
    ]
    rows = plot["content"]["data"]["values"]
    assert {"epoch", "accuracy", "alignment", "chosen"} <= set(rows[0])
    curves = {row.get("recipe") for row in rows}
    kept = [row.get("recipe") for row in rows if float(row["chosen"]) == 1]
    assert sorted(map(str, kept)) == sorted(map(str, curves))
    assert plot["content"]["encoding"]["color"]["field"] == "rev"


def test_stages_and_models_say_what_they_are(finished: Repository) -> None:
    """`dvc stage list` has a sentence a stage; each artifact is an out that exists."""
    listed = dict(
        line.split(maxsplit=1) for line in finished.dvc("stage", "list").splitlines() if line
    )
    assert set(listed) == set(STAGES)
    assert not any("Outputs" in text for text in listed.values())
    for artifact in yaml.safe_load(finished.read("dvc.yaml"))["artifacts"].values():
        assert artifact["type"] == "model"
        assert artifact["desc"]
        assert (finished.root / artifact["path"]).exists()


def _axis_titles(spec: Any) -> tuple[str, str]:
    """Titles of x and y, wherever in the layers they stand."""
    found: dict[str, str] = {}
    waiting = [spec]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            for axis in ("x", "y"):
                if isinstance(one.get(axis), dict) and "title" in one[axis]:
                    found.setdefault(axis, one[axis]["title"])
            waiting += one.values()
    return found["x"], found["y"]
