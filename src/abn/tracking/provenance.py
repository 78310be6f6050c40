"""Where a run's code comes from."""

import subprocess
from collections.abc import Iterable
from pathlib import Path


def source_tags(written: Iterable[Path]) -> dict[str, str]:
    """Say which commit the code is, and whether it was changed since; nothing without git.

    Args:
        written: what the pipeline writes itself; a change there does not count.
    """
    excluded = [f":(exclude){path.as_posix()}" for path in (*written, Path("dvc.lock"))]
    command = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--", "."]
    try:
        answer = subprocess.run(
            [*command, *excluded], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = answer.stdout.splitlines()
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid ")), "")
    dirty = any(not line.startswith("#") for line in lines)
    tags = {"abn.dirty": str(dirty).lower()}
    return tags | {"mlflow.source.git.commit": commit} if commit != "(initial)" else tags
