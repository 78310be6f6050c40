"""A tiny copy of the repository, in which the real pipeline runs with real DVC and MLflow."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT, TINY

COPIED = ("dvc.yaml", "params.yaml", ".gitignore", "stages", "src", "data/annotations", "data/selected.csv")  # fmt: skip
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
        shutil.copytree(ROOT / "data/raw", root / "data/raw")
        tiny = {name: dict(values) for name, values in TINY.items()}
        tiny["data"]["root"] = "data/raw/fashion_mnist"
        self.set_params(**tiny)
        self.run("git", "init", "-q")
        self.dvc("init", "-q")
        self.dvc("config", "core.analytics", "false")
        self.commit("start")

    def set_params(self, **sections: Any) -> None:
        """Replace some values of some sections of params.yaml."""
        path = self.root / "params.yaml"
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, changes in sections.items():
            values[name] = values[name] | changes
        path.write_text(yaml.safe_dump(values), encoding="utf-8")

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
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment(),
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
        )
        assert (done.returncode != 0) == fails, f"{' '.join(command)}\n{done.stdout}"
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Give the environment of commands here: this Python first, the copied code first."""
        mine = {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(self.root / "src")}
        foreign = ("MLFLOW_", "DVC_", "LABEL_STUDIO_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        return kept | mine | {"DVC_NO_ANALYTICS": "true"}

    def read(self, path: str) -> str:
        """Give the text of a file."""
        return (self.root / path).read_text(encoding="utf-8")
