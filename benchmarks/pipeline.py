"""Where the time of `dvc repro` goes, all of it to do and nothing to do.

- All to do: in a fresh clone of the last commit, its parameters, no cache, no database. Of each
  stage, what timed_stage.py books; what remains of the wall time is DVC and the start of Python.
- Nothing to do: then again in that clone, in turns with DVC alone on a chain of seven empty stages.

Bias: the process that sends a run to MLflow shares the cores with the stage; how much processor
time it takes is told (sender_cpu), what computing would take without it is not.

Run: python benchmarks/pipeline.py        (-S train.epochs=1 -S … changes parameters, as in DVC)
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from abn import atomic

HERE = Path(__file__).resolve().parent
ROUNDS = 15
PARTS = ("computing", "imports", "tracking", "other", "sender_cpu")
STAGE_COLUMNS = ("stage", "seconds", *PARTS, "not_computing")
IDLE_COLUMNS = (
    *("stages", "seconds", "seconds_q25", "seconds_q75"),
    *("times", "times_q25", "times_q75"),
)


def main() -> None:
    """Measure, print two tables and write them to benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-S", dest="params", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--results", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone, empty = Path(folder, "clone"), Path(folder, "empty")
        prepare_clone(clone, arguments.params)
        stages = all_to_do(clone)
        prepare_empty(empty)
        idle = nothing_to_do(clone, empty)
    atomic.write_csv(arguments.results / "pipeline.csv", stages, STAGE_COLUMNS)
    atomic.write_csv(arguments.results / "pipeline_idle.csv", idle, IDLE_COLUMNS)
    show("dvc repro, all to do (seconds)", stages, STAGE_COLUMNS)
    show(f"dvc repro, nothing to do (seconds; {ROUNDS} rounds)", idle, IDLE_COLUMNS)


def prepare_clone(clone: Path, params: list[str]) -> None:
    """Clone the last commit, change parameters, have stages run with a clock."""
    run("git", "clone", "--quiet", str(HERE.parent), str(clone), cwd=HERE)
    file = clone / "params.yaml"
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    for change in params:
        name, _, value = change.partition("=")
        *above, last = name.split(".")
        section = values
        for part in above:
            section = section[part]
        section[last] = yaml.safe_load(value)
    file.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    pipeline = clone / "dvc.yaml"
    plain = pipeline.read_text(encoding="utf-8")
    timed = plain.replace("cmd: python stages/", f"cmd: python {HERE / 'timed_stage.py'} stages/")
    pipeline.write_text(timed, encoding="utf-8")


def all_to_do(clone: Path) -> list[dict[str, Any]]:
    """Run the pipeline; give a row a stage, one for DVC, one for the whole."""
    times = clone / ".git/times"
    wall = run("dvc", "repro", cwd=clone, TIMES=str(times))
    rows = [json.loads(line) for line in times.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["seconds"] = sum(row.get(part, 0.0) for part in PARTS if part != "sender_cpu")
    stages = sum(row["seconds"] for row in rows)
    rows.append({"stage": "DVC and the start of Python", "seconds": wall - stages})
    whole = {part: sum(row.get(part, 0.0) for row in rows) for part in PARTS}
    rows.append({"stage": "all", "seconds": wall, **whole})
    for row in rows:
        row["not_computing"] = 1 - row.get("computing", 0.0) / row["seconds"]
    return rows


def prepare_empty(empty: Path) -> None:
    """Make a repository of seven stages in a chain, each of which copies a line, and run it."""
    stages = {}
    for n in range(7):
        before, after = f"{n}.txt", f"{n + 1}.txt"
        stages[f"stage{n}"] = {"cmd": f"cp {before} {after}", "deps": [before], "outs": [after]}
    empty.mkdir()
    (empty / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    (empty / "0.txt").write_text("a line\n", encoding="utf-8")
    run("git", "init", "--quiet", cwd=empty)
    run("dvc", "init", "--quiet", cwd=empty)
    run("dvc", "repro", cwd=empty)


def nothing_to_do(clone: Path, empty: Path) -> list[dict[str, Any]]:
    """Run both in turns; give seconds and ratios, taken round by round: median and quartiles."""
    rounds = [[run("dvc", "repro", cwd=where) for where in (empty, clone)] for _ in range(ROUNDS)]
    rows = []
    for name, index in (("seven empty ones", 0), ("the pipeline", 1)):
        row: dict[str, Any] = {"stages": name}
        each = {
            "seconds": [one[index] for one in rounds],
            "times": [one[index] / one[0] for one in rounds],
        }
        for what, taken in each.items():
            low, middle, high = statistics.quantiles(taken, n=4)
            row |= {f"{what}_q25": low, what: middle, f"{what}_q75": high}
        rows.append(row)
    return rows


def run(*command: str, cwd: Path, **more: str) -> float:
    """Run a command, give its seconds; exit with what it said if it fails."""
    foreign = ("MLFLOW_", "DVC_", "LABEL_STUDIO_", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    own = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(cwd / "src"),
        "DVC_NO_ANALYTICS": "true",
    }
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=cwd, env=kept | own | more, check=False, capture_output=True, text=True
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return seconds


def show(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Print a table."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("dvc", "mlflow", "torch"))
    table = Table(title=title, caption=f"{os.cpu_count()} cores, {platform.machine()}; {versions}")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        cells = (row.get(column, "") for column in columns)
        table.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
