"""Push and pull against the bare REST calls that move the same data, on a real server.

    python benchmarks/label_studio.py          # 1,000 tasks against bare calls, 10,000 for memory

"bare" is what one would write by hand: the task file read and posted in batches of 250; the list
of whole tasks read page by page and written to a file. Each side runs in turns in a process of its
own against one server, which shares the machine: the ratio of the medians counts, not the seconds.
Imports of packages are not timed. private_MB is the peak of memory that is the process's alone.
The maps are smooth blobs on 24×24 cells; maps that are nowhere zero are three times as large.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from tests.label_studio.server import free_port

from abn import atomic, paths
from abn.edits import brush_rle, interface, targets, task_file
from abn.edits.label_studio import client, project, server

RESULTS = Path(__file__).parent / "results" / "label_studio.csv"
COLUMNS = ("tasks", "kB_a_task", "operation", "ours_s", "bare_s", "ratio", "ours_private_MB")
COMPARED, LARGE = 1_000, 10_000
REPEATS = 3
GRID = 24
DISTINCT = 16
BATCH = 250
SECONDS_BETWEEN_LOOKS = 0.05

PREFACE = """
import json, sys, time
from pathlib import Path
import httpx, label_studio_sdk
from abn.edits.label_studio import client, pull, push
key, url, token, number = sys.argv[1:]
headers = {"Authorization": f"Token {token}"}
began = time.perf_counter()
"""
PUSH = """
with client.connect() as studio:
    push.push(studio, Path("data/attention/tasks.json"), "local", 1, key)
"""
BARE_PUSH = """
tasks = json.loads(Path("data/attention/tasks.json").read_text())
for start in range(0, len(tasks), 250):
    httpx.post(f"{url}/api/projects/{number}/import", json=tasks[start : start + 250],
               headers=headers, timeout=300).raise_for_status()
"""
PULL = """
with client.connect() as studio:
    pull.pull(studio, Path(key), Path("selected.csv"), key)
"""
BARE_PULL = """
tasks, more, page = [], True, 1
while more:
    answer = httpx.get(f"{url}/api/tasks/", headers=headers, timeout=300, params={
        "project": number, "fields": "all", "page": page, "page_size": 100}).raise_for_status()
    tasks += answer.json()["tasks"]
    more, page = answer.json()["total"] > 100 * page, page + 1
Path("bare.json").write_text(json.dumps(tasks))
"""
END = """
print(time.perf_counter() - began)
"""


def main() -> None:
    """Measure, print a table and write it to benchmarks/results."""
    os.environ.setdefault(server.EXECUTABLE, str(server.home() / "venv/bin/label-studio"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder
        os.chdir(folder)
        paths.ATTENTION.mkdir(parents=True)
        with server.run(free_port()) as (login, _):
            rows = list(measured(login))
    atomic.write_csv(RESULTS, rows, COLUMNS)
    versions = f"label-studio 1.23.2, label-studio-sdk {version('label-studio-sdk')}, SQLite"
    table = Table(title=f"{versions}, {os.cpu_count()} cores; medians of {REPEATS}")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*(_shown(row[column]) for column in COLUMNS))
    Console().print(table)


def measured(login: server.Login) -> Iterator[dict[str, Any]]:
    """Yield the rows: push and pull, compared at one size, ours alone at the larger one."""
    for tasks, repeats in ((COMPARED, REPEATS), (LARGE, 1)):
        bare = tasks == COMPARED
        task_file.write(Path("data/attention/tasks.json"), _tasks(tasks))
        size = Path("data/attention/tasks.json").stat().st_size / tasks / 1000
        keys = [f"{tasks}-{n}" for n in range(repeats)]
        pushed = [
            (
                _run(PUSH, key, login),
                _run(BARE_PUSH, key, login, _project(f"bare {key}")) if bare else None,
            )
            for key in keys
        ]
        yield _row(tasks, size, "push", pushed)
        key = f"{tasks}-annotated"
        number = _project(key)
        _import_annotated(login, number, tasks)
        pulled = []
        for _ in range(repeats):
            (paths.scratch() / "annotations" / f"{key}.json").unlink(missing_ok=True)
            bare_pull = _run(BARE_PULL, key, login, number) if bare else None
            pulled.append((_run(PULL, key, login), bare_pull))
        yield _row(tasks, size, "pull, all new", pulled)
        yield _row(tasks, size, "pull, nothing new", [(_run(PULL, key, login), None)])


@dataclass(frozen=True)
class _Run:
    seconds: float
    private: float
    """Peak, bytes."""


def _run(code: str, key: str, login: server.Login, number: int = 0) -> _Run:
    """Run one side in a process of its own and watch its memory."""
    command = [sys.executable, "-c", PREFACE + code + END, key, login.url, login.token, str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watched = psutil.Process(process.pid)
        peak = 0
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_full_info().uss)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                break
            time.sleep(SECONDS_BETWEEN_LOOKS)
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    return _Run(float(output), peak)


def _row(
    tasks: int, size: float, operation: str, runs: list[tuple[_Run, _Run | None]]
) -> dict[str, Any]:
    ours = statistics.median(our.seconds for our, _ in runs)
    bare = [other.seconds for _, other in runs if other]
    row = {
        "tasks": tasks,
        "kB_a_task": size,
        "operation": operation,
        "ours_s": ours,
        "bare_s": statistics.median(bare) if bare else None,
        "ratio": ours / statistics.median(bare) if bare else None,
        "ours_private_MB": max(our.private for our, _ in runs) / 1e6,
    }
    print(row, file=sys.stderr)
    return row


def _tasks(count: int) -> Iterator[dict[str, Any]]:
    results = [_region(np.random.default_rng(n)) for n in range(DISTINCT)]
    for n in range(count):
        image = {"image": f"/data/local-files/?d={n}.png", "image_id": f"image-{n}", "model": "m"}
        prediction = {"model_version": "m", "score": n / count, "result": results[n % DISTINCT]}
        yield {"data": image, "predictions": [prediction]}


def _region(random: np.random.Generator) -> list[dict[str, Any]]:
    y, x = np.mgrid[:GRID, :GRID]
    centre = random.uniform(6, 18, 2)
    blob = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 8)
    canvas = targets.to_canvas(blob)
    return [interface.brush_region("map", brush_rle.encode(canvas), len(canvas))]


def _project(key: str) -> int:
    with client.connect() as studio:
        return project.make(studio, key, f"benchmark {key}", 1).id


def _import_annotated(login: server.Login, number: int, count: int) -> None:
    batch: list[dict[str, Any]] = []
    for n, task in enumerate(task_file.read(Path("data/attention/tasks.json")), start=1):
        annotation = {"result": task["predictions"][0]["result"], "ground_truth": False}
        batch.append({**task, "annotations": [annotation]})
        if len(batch) == BATCH or n == count:
            address = f"{login.url}/api/projects/{number}/import"
            headers = {
                "Authorization": f"Token {login.token}",
                "Content-Type": "application/json",
            }
            body = json.dumps(batch)
            httpx.post(address, content=body, headers=headers, timeout=300).raise_for_status()
            batch = []


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
