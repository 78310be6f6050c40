"""What the fine-tuning costs: the whole stage, by edits, by unedited images, and in memory.

The stage is timed as DVC runs it, on the outs that `dvc repro` left (run that first); each recipe
with an empty and with a filled cache of features. The loops are timed in turns, in one process.
Private memory is what a process has to itself (USS): memory-mapped files do not count.

Run: python benchmarks/finetuning_cost.py [--runs 3]
"""

import argparse
import csv
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

from abn import params, paths
from abn.data import arrays, edited, prepared
from abn.data.edited import Edited
from abn.data.prepared import Prepared
from abn.model import checkpoint
from abn.training import engine
from abn.training.features import cached
from abn.training.refine import refine
from abn.training.sets import draw_pool, load_sets

RESULT = Path("benchmarks/results/finetuning_cost.csv")
COLUMNS = ("what", "case", "median", "low", "high", "unit")
NEEDED = ("dvc.yaml", "stages", "src", "data", "reports")
EDITS = (50, 100, 200)
UNEDITED = (1000, 4000, 8000)
IMAGES = (10_000, 60_000)


def main() -> None:
    """Measure, print, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    rows = [*_stages(runs), *_loops(runs), *_memory()]
    with RESULT.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print("  ".join(str(row[name]) for name in COLUMNS))


def _stages(runs: int) -> list[dict[str, Any]]:
    rows = []
    for recipe, compare in (("paper", []), ("guarded", []), ("guarded", ["paper"])):
        name = f"{recipe}, compared with {compare[0]}" if compare else recipe
        with tempfile.TemporaryDirectory() as folder:
            workspace = _workspace(Path(folder), recipe, compare)
            times: dict[str, list[float]] = {"cache empty": [], "cached": []}
            for _ in range(runs):
                shutil.rmtree(workspace / ".abn/features", ignore_errors=True)
                for measured in times.values():
                    measured.append(_time_stage(workspace))
            rows += [_row("whole stage", f"{name}, {k}", v, "s") for k, v in times.items()]
    return rows


def _workspace(folder: Path, recipe: str, compare: list[str]) -> Path:
    for name in NEEDED:
        if (source := Path(name)).is_dir():
            ignored = shutil.ignore_patterns("*.pyc")
            shutil.copytree(source, folder / name, ignore=ignored, copy_function=_copy)
        else:
            shutil.copy(source, folder)
    values = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))
    values["finetune"] |= {"recipe": recipe, "compare": compare}
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return folder


def _copy(source: str, target: str) -> None:
    """Link what is large: the stage replaces its outs and changes nothing in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def _time_stage(workspace: Path) -> float:
    environment = os.environ | {"DVC_ROOT": str(workspace), "PYTHONPATH": str(workspace / "src")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "stages/finetune_attention.py"],
        cwd=workspace, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - start


def _loops(runs: int) -> list[dict[str, Any]]:
    """Time the optimisation by number of edits and of unedited images, once cached."""
    every = params.load()
    data = prepared.load(paths.PREPARED)
    edits = edited.load(paths.EDITS, data)
    pooled = {
        name: np.concatenate([getattr(e, name) for e in edits.values()]) for name in Edited._fields
    }
    network, card = checkpoint.load(paths.MODEL)
    machine = engine.start(every.runtime, every.seed)
    finetune = every.finetune.model_copy(update={"compare": []})
    kept = partial(
        cached, network, card.weights, data, engine=machine, number_format=finetune.cache_precision
    )
    nothing = Edited(np.zeros(0, np.int64), pooled["targets"][:0])

    def once(count: int, unedited: int) -> Callable[[], Any]:
        some = Edited(pooled["rows"][:count], pooled["targets"][:count])
        of_role = {"finetune": some, "choose": nothing, "report": nothing}
        sets = load_sets(data, of_role, draw_pool(data, unedited, every.seed), kept)
        return lambda: refine(network, sets, finetune, machine, every.seed)

    cases = {("edits", str(n)): once(n, UNEDITED[1]) for n in EDITS}
    cases |= {("unedited images", str(n)): once(EDITS[1], n) for n in UNEDITED}
    times: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    for _ in range(runs):
        for case, run in cases.items():
            start = time.perf_counter()
            run()
            times[case].append(time.perf_counter() - start)
    return [_row(what, case, values, "s") for (what, case), values in times.items()]


def _memory() -> list[dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    rows = []
    for images in IMAGES:
        with tempfile.TemporaryDirectory(dir=".") as folder, context.Pool(1) as pool:
            private = pool.apply(_fill_cache, (images, folder))
        rows.append(_row("private memory, features of", f"{images} images", [private], "MB"))
    return rows


def _fill_cache(images: int, folder: str) -> float:
    """Compute and read the features of a set of noise; give the highest private memory, MB."""
    os.environ["DVC_ROOT"] = folder
    every = params.load()
    real = prepared.load(paths.PREPARED)
    shape = (images, *real.images.shape[1:])
    noise = arrays.create(Path(folder) / "images.npy", shape, np.uint8)
    random = np.random.default_rng(1)
    for start in range(0, images, 1000):
        noise[start : start + 1000] = random.integers(
            0, 256, (min(1000, images - start), *shape[1:])
        )
    data = Prepared(**(vars(real) | {"images": noise, "masks": None, "digest": str(images)}))
    network, card = checkpoint.load(paths.MODEL)
    machine = engine.start(every.runtime, every.seed)
    highest, process, done = [0.0], psutil.Process(), threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            highest[0] = max(highest[0], process.memory_full_info().uss / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    rows = np.arange(images)
    features = cached(network, card.weights, data, rows, machine, "fp16")
    for start in range(0, images, 4000):
        features(rows[start : start + 40])
    done.set()
    watcher.join()
    return highest[0]


def _row(what: str, case: str, values: list[float], unit: str) -> dict[str, Any]:
    low, high = (f"{limit(values):.4g}" for limit in (min, max))
    median = f"{statistics.median(values):.4g}"
    return dict(zip(COLUMNS, (what, case, median, low, high, unit), strict=True))


if __name__ == "__main__":
    main()
