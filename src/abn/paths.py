"""Where each artefact lies, relative to the root of the repository."""

import os
from pathlib import Path

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")

PREPARED = Path("data/prepared")
MODEL = Path("data/models/abn.safetensors")
REFINED_MODEL = Path("data/models/abn_refined.safetensors")
ATTENTION = Path("data/attention")
ANNOTATIONS = Path("data/annotations")
SELECTED = Path("data/selected.csv")
EDITS = Path("data/edits")
REFINED = Path("data/refined")
RUNS = Path("data/runs")
ROUNDS = Path("data/rounds")

METRICS = Path("reports/metrics")
PLOTS = Path("reports/plots")
CHANNELS = Path("reports/channels.csv")
REPORT_PAGE = Path("reports/report.html")
REPORT_TEXT = Path("reports/report.md")


def run_file(stage: str) -> Path:
    """Give the out that holds a stage's name and key."""
    return RUNS / f"{stage}.json"


def metrics_file(stage: str) -> Path:
    """Give the out that holds a stage's metrics."""
    return METRICS / f"{stage}.json"


def repository() -> Path:
    """Give the repository's root; in a temporary workspace of DVC's, the real one's."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def scratch() -> Path:
    """Give the git-ignored folder for what is neither git's nor DVC's: caches, checkpoints."""
    return repository() / ".abn"
