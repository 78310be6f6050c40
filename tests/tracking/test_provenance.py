"""Commit and changes since."""

import subprocess
from pathlib import Path

from abn.tracking.provenance import source_tags


def test_the_source_is_a_commit_and_whether_it_was_changed() -> None:
    """Changed code makes it dirty, what the pipeline writes does not; without git, no tags."""
    assert source_tags([]) == {}
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    Path("code.py").write_text("1")
    Path("reports").mkdir()
    Path("reports/metrics.json").write_text("1")
    subprocess.run([*git, "init", "--quiet"], check=True)
    assert source_tags([]) == {"abn.dirty": "true"}
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "a"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    clean = {"mlflow.source.git.commit": head.stdout.strip(), "abn.dirty": "false"}
    written = [Path("reports/metrics.json")]
    assert source_tags(written) == clean
    Path("reports/metrics.json").write_text("2")
    Path("dvc.lock").write_text("")
    assert source_tags(written) == clean
    Path("code.py").write_text("2")
    assert source_tags(written) == {**clean, "abn.dirty": "true"}
