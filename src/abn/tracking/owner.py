"""The process that owns a run: told by tags, so that others can know that it is dead."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

SAME_START_SECONDS = 2.0  # a start time is told from the clock, which may be set meanwhile


def process_tags() -> dict[str, str]:
    """Give the tags that name this process: host, boot, PID namespace, PID, start."""
    return {
        "abn.host": socket.gethostname(),
        "abn.boot": _boot(),
        "abn.pid_namespace": _pid_namespace(),
        "abn.pid": str(os.getpid()),
        "abn.process_start": str(psutil.Process().create_time()),
    }


def known_dead(tags: Mapping[str, str], started: int) -> bool:
    """Whether the process that tagged a run is certain to be gone.

    Args:
        tags: of the run.
        started: when the run began, ms since 1970.
    """
    if tags.get("abn.host") != socket.gethostname():
        return False
    if tags.get("abn.boot") != _boot():
        return bool(started < psutil.boot_time() * 1000)
    if tags.get("abn.pid_namespace") != _pid_namespace():
        return False
    try:
        process = psutil.Process(int(tags["abn.pid"]))
        apart = abs(process.create_time() - float(tags["abn.process_start"]))
        return bool(apart > SAME_START_SECONDS or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except (KeyError, ValueError, psutil.Error):
        return False


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
