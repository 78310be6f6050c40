"""A repository of two stages, to write where a test stands."""

from pathlib import Path

import yaml

from abn import params, pipeline
from tests.conftest import ROOT

PIPELINE = """
stages:
  first:
    cmd: python stages/first.py
    params: [seed, finetune.max_accuracy_drop, train, tracking.experiment]
    deps: [data/raw]
    outs: [data/runs/first.json]
    metrics: [{reports/metrics/first.json: {cache: false}}]
    plots: [{reports/plots/first.csv: {cache: false}}]
  report:
    cmd: python stages/report.py
    params: [report]
    deps: [data/runs/first.json]
    outs: [data/runs/report.json]
"""


def write() -> None:
    """Write params.yaml, dvc.yaml and what the first stage depends on into this folder."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["seed"] = 1
    values["train"] |= {"epochs": 8, "lr": 0.2}
    values["finetune"] |= {"unedited": 100, "max_accuracy_drop": 0.05}
    values["report"]["gallery"] = 24
    values["tracking"]["experiment"] = "abn"
    Path("params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    Path("dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    Path("data/raw/deep").mkdir(parents=True)
    Path("data/raw/a.txt").write_text("a")
    Path("data/raw/deep/b.txt").write_text("b")
    Path("stages").mkdir()


def key_of(name: str) -> str:
    """Give a stage's key as it is now."""
    every, declared = params.load(), pipeline.read_pipeline()[name]
    return pipeline.stage_key(name, pipeline.values(every, declared.params), declared.deps)


def replace(path: str, old: str, new: str) -> None:
    """Replace a text, which must be there, once."""
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new, 1), encoding="utf-8")
