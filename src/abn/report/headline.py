"""The metrics that runs are compared by: few, under the names that the stages gave them."""

from typing import Any

from abn.report import findings, recipes
from abn.report.evidence import Evidence
from abn.report.findings import SIDES
from abn.report.statistics import calibration_error, reliability

SPLITS = ("val", "test", "test_shifted", "held_out")
METRICS = ("accuracy", "branch_accuracy", "iou", "contrast")


def headline(evidence: Evidence) -> dict[str, Any]:
    """Give before, after, their change with its interval, and what each recipe reached."""
    finetuned = evidence.finetuned
    summary: dict[str, Any] = {side: _some(finetuned[side]) for side in SIDES}
    test = evidence.unedited("test")
    for side in SIDES:
        bins = reliability(test[f"{side}_confidence"], test[f"{side}_correct"])
        of_test = summary[side].setdefault("test", {})
        summary[side]["test"] = {**of_test, "calibration_error": calibration_error(bins)}
    summary["change"] = {
        name: interval._asdict()
        for name, interval in findings.changes(evidence).items()
        if interval is not None
    }
    free = finetuned.get("baselines", {}).get("test", {})
    if costless := {name: {"iou": one["iou"]} for name, one in free.items() if "iou" in one}:
        summary["baselines"] = {"test": costless}
    errors = finetuned.get("attention_mse", {})
    if held_out := {side: {"report": e["report"]} for side, e in errors.items() if "report" in e}:
        summary["attention_mse"] = held_out
    known = ("edited_images", "qualified", "recipe")
    summary |= {name: finetuned[name] for name in known if name in finetuned}
    return summary | _recipes(evidence)


def _recipes(evidence: Evidence) -> dict[str, Any]:
    found = recipes.read(evidence)
    if len(found.after) < 2:
        return {}
    compared = {
        name: {
            split: {
                metric: value
                for metric in recipes.COMPARED
                if (value := recipes.value(found, name, split, metric)) is not None
            }
            for split in recipes.SPLITS
            if split in found.after[name]
        }
        for name in found.after
    }
    return {"recipes": compared}


def _some(splits: dict[str, Any]) -> dict[str, Any]:
    return {
        split: {metric: splits[split][metric] for metric in METRICS if metric in splits[split]}
        for split in SPLITS
        if split in splits
    }
