"""What a run's page says first: its purpose, headline figures and the params that matter."""

from collections.abc import Iterable, Mapping
from typing import Any

from abn.tracking.headlines import HEADLINES, SIDES

TAG = "mlflow.note.content"
MOST_ROWS = 12
TOLD = ("data.source", "model.backbone", "train.epochs", "edits.source", "selection", "finetune")
"""Params, and sections of them, that a reader asks for first."""


def of_stage(purpose: str, metrics: Mapping[str, float]) -> str:
    """Describe a stage's run in Markdown."""
    headlines = [name for name in HEADLINES if name in metrics]
    rows = [(name, _number(metrics[name])) for name in (headlines or metrics)]
    return "\n\n".join(filter(None, (purpose, _table(("metric", "value"), rows[:MOST_ROWS]))))


def of_pipeline(metrics: Mapping[str, float], params: Mapping[str, Any]) -> str:
    """Describe a pipeline's state in Markdown: before and after, and how it came about."""
    rows = [
        (_without_side(name), _number(metrics.get(_before(name))), _number(metrics[name]))
        for name in HEADLINES
        if "after" in name.split(".") and name in metrics
    ]
    told = [f"`{name}` {_plain(value)}" for name, value in params.items() if _matters(name)]
    parts = (_table(("metric", *SIDES), rows), ", ".join(told))
    return "\n\n".join(filter(None, parts))


def links(experiment_id: str, runs: Mapping[str, str]) -> str:
    """Give the line that leads from a pipeline's run to those of its stages, by their ids."""
    told = (f"[{name}](#/experiments/{experiment_id}/runs/{run})" for name, run in runs.items())
    return f"Stages: {', '.join(told)}. The report is among the artifacts."


def _before(name: str) -> str:
    return ".".join("before" if part == "after" else part for part in name.split("."))


def _without_side(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in SIDES)


def _matters(name: str) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in TOLD)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if not lines:
        return ""
    rule = "| --- |" + " ---: |" * (len(header) - 1)
    return "\n".join(["| " + " | ".join(header) + " |", rule, *lines])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _plain(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("`", "'")
