"""A tiny copy of the repository, in which the real pipeline runs with real DVC and MLflow."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.conftest import ROOT, TINY, merged

STAGES = (
    *("prepare", "train_abn", "export_attention", "import_edits"),
    *("finetune_attention", "analyze_channels", "report"),
)
COPIED = (
    *("dvc.yaml", "params.yaml", ".gitignore", "stages", "src"),
    *("data/raw", "data/annotations", "data/selected.csv", "data/rounds/None"),
)
BIN = Path(sys.executable).parent


class Repository:
    """A git and DVC repository in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in COPIED:
            source, target = ROOT / name, root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(source, target, ignore=ignored)
            else:
                shutil.copy(source, target)
        tiny = {name: dict(values) for name, values in TINY.items()}
        tiny["data"]["root"] = "data/raw/fashion_mnist"
        self.set_params(tiny)
        self.run("git", "init", "-q")
        self.dvc("init", "-q")
        self.dvc("config", "core.analytics", "false")
        shutil.copytree(ROOT / ".dvc/plots", root / ".dvc/plots")
        self.commit("start")

    @contextmanager
    def changed(self, **sections: Any) -> Iterator[None]:
        """Replace some values of some sections of params.yaml; afterwards all is as committed."""
        self.set_params(sections)
        try:
            yield
        finally:
            self.run("git", "checkout", "-q", "--", ".")
            self.dvc("checkout", "-q", "--force")

    def set_params(self, sections: dict[str, dict[str, Any]]) -> None:
        """Replace some values of some sections of params.yaml."""
        path = self.root / "params.yaml"
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump(merged(values, sections)), encoding="utf-8")

    def dvc(self, *arguments: str, fails: bool = False) -> str:
        """Run DVC and give what it printed."""
        return self.run("dvc", *arguments, fails=fails)

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        self.run("git", "add", "--all")
        self.run("git", *identity, "commit", "-q", "-m", message)

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command here; it must succeed, or fail where that is what is expected."""
        process = self.start(*command)
        status = process.wait(600)
        said = (self.root / ".git/said").read_text(encoding="utf-8")
        assert (status != 0) == fails, f"{' '.join(command)}\n{said}"
        return said

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start a command here, writing to a file: what it leaves behind may hold a pipe open."""
        (self.root / ".git").mkdir(exist_ok=True)
        with (self.root / ".git/said").open("w", encoding="utf-8") as said:
            return subprocess.Popen(
                command, cwd=self.root, env=_environment(self.root), text=True,
                stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def runs(self) -> dict[str, Run]:
        """Give MLflow's runs by their id, newest first."""
        client = MlflowClient(f"sqlite:///{self.root}/mlflow.db")
        experiment = client.get_experiment_by_name("abn")
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id], max_results=1000)
        return {run.info.run_id: run for run in found}

    def read(self, path: str) -> str:
        """Give the text of a file."""
        return (self.root / path).read_text(encoding="utf-8")


def _environment(root: Path) -> dict[str, str]:
    """Give the environment of commands there: this Python first, the copied code first."""
    mine = {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(root / "src")}
    foreign = ("MLFLOW_", "DVC_", "LABEL_STUDIO_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return kept | mine | {"DVC_NO_ANALYTICS": "true"}
