"""What each way of refining reaches and costs: arms × data sets × seeds × numbers of edits.

Base models are trained once for each data set and seed, in `.abn/arms`, with the code of the
stages; each arm then fine-tunes them. The people of this benchmark are simulated: an edited map is
the mask of the object, averaged to the map's grid, as the simulated annotator's export becomes.
Rows that benchmarks/results/arms.csv has already are not computed again, so that a run can be
broken off. One thread a worker.

Run: python benchmarks/arms.py [--seeds 1 2 …] [--datasets default …] [--feedback right …]
[--budgets 50 …] [--workers 2] [--summary]
"""

import argparse
import csv
import hashlib
import json
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats

from abn import atomic, params, paths
from abn.attention import alignment, metrics, selection
from abn.attention.maps import coverage, to_grid
from abn.data import prepared
from abn.data.edited import Edited
from abn.data.loading import batch, chunks
from abn.data.prepared import Prepared
from abn.data.sources.catalogue import open_source
from abn.model import checkpoint
from abn.model.build import Architecture, build
from abn.model.network import AttentionBranchNetwork
from abn.params import Params
from abn.training import comparison, engine
from abn.training.engine import Engine
from abn.training.evaluation import predict
from abn.training.features import cached
from abn.training.refine import refine
from abn.training.saliency import disagreement
from abn.training.sets import draw_pool, load_sets
from abn.training.tabulation import tabulate
from abn.training.train import Trainer

RESULT = Path("benchmarks/results/arms.csv")
COLUMNS = ("dataset", "arm", "seed", "edits", "split", "metric", "value")
CENTRED: dict[str, Any] = {"image_size": 32, "placement": "centred", "object_size": [28, 28]}
DATASETS: dict[str, dict[str, Any]] = {
    "default": {},
    "default-withheld": {"masks": False},
    "correlation-0.3": {"decoy": {"size": 6, "correlation": 0.3}},
    "correlation-0.7": {"decoy": {"size": 6, "correlation": 0.7}},
    "correlation-1.0": {"decoy": {"size": 6, "correlation": 1.0}},
    "decoy": CENTRED | {"decoy": {"size": 4, "correlation": 1.0}},
    "plain": CENTRED | {"decoy": {"size": 0, "correlation": 0.0}},
}
"""decoy: the published Decoy Fashion-MNIST; default-withheld: without masks, as most data is."""
EDITS = 200
BUDGETS = (25, 50, 100, 400, 800, 1600)
SHOWN = ("accuracy", "accuracy_drop", "branch_accuracy", "iou", "contrast", "level_on_decoy")
LESS_IS_BETTER = ("accuracy_drop", "level_on_decoy")
CONTROLS = ("noop", "wrong", "shuffled", "half")
FEEDBACK = ("none", "right", *CONTROLS)
FEW = ("default", "decoy")
"""Data sets on which every arm is run; on the others those with right edits alone."""


class Task(NamedTuple):
    """One call of the refinement, or what needs none."""

    dataset: str
    seed: int
    feedback: str
    """right, a control, or none: the base model and the ceiling."""
    edits: int


class Base(NamedTuple):
    """A base model, its data and its own maps."""

    params: Params
    data: Prepared
    masks: NDArray[np.uint8]
    """Also where they are withheld from the pipeline: what is measured with."""
    network: AttentionBranchNetwork
    card: checkpoint.Card
    engine: Engine
    samples: pd.DataFrame
    maps: NDArray[np.float16]
    accuracy: dict[str, float]
    """By split that nothing is chosen by."""


def main() -> None:
    """Run what is asked for and not there yet; then print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--budgets", type=int, nargs="*", default=list(BUDGETS))
    parser.add_argument(
        "--feedback", nargs="+", default=list(FEEDBACK), choices=FEEDBACK,
        help="none is the base model and the ceiling",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--summary", action="store_true", help="print what there is")
    asked = parser.parse_args()
    if not asked.summary:
        tasks = [
            task
            for seed in asked.seeds
            for dataset in asked.datasets
            for task in _tasks(dataset, seed, asked.budgets)
            if task.feedback in asked.feedback
        ]
        _run_all(tasks, asked.workers)
    _print_summary(_rows())


def _tasks(dataset: str, seed: int, budgets: Iterable[int]) -> Iterator[Task]:
    yield Task(dataset, seed, "none", 0)
    yield Task(dataset, seed, "right", EDITS)
    if dataset in FEW:
        yield from (Task(dataset, seed, control, EDITS) for control in CONTROLS)
    if dataset == "default":
        yield from (Task(dataset, seed, "right", edits) for edits in budgets)


def _run_all(tasks: list[Task], workers: int) -> None:
    known = {(row["dataset"], row["seed"], row["arm"], row["edits"]) for row in _rows()}
    waiting = [task for task in tasks if _identity(task) not in known]
    # The base first: two workers must not train the same one.
    groups: dict[tuple[str, int], list[Task]] = {}
    for task in waiting:
        groups.setdefault((task.dataset, task.seed), []).append(task)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        futures = [pool.submit(_run_group, group) for group in groups.values()]
        for future in as_completed(futures):
            future.result()


def _run_group(tasks: list[Task]) -> None:
    base = _base(tasks[0].dataset, tasks[0].seed)
    for task in tasks:
        rows = [{"dataset": task.dataset, "seed": task.seed, **row} for row in _arms(base, task)]
        _append(rows)
        print(task, len(rows), "rows", flush=True)


def _identity(task: Task) -> tuple[str, str, str, str]:
    arm = {"right": "guarded"}.get(task.feedback, task.feedback)
    return (task.dataset, str(task.seed), arm, str(task.edits))


def _arms(base: Base, task: Task) -> Iterator[dict[str, Any]]:
    if task.feedback == "none":
        yield from _without_edits(base)
        return
    edits = _edits(base, task)
    recipes = (
        ["paper"] if task.feedback != "right" or task.edits != EDITS else ["paper", "mitsuhara"]
    )
    finetune = base.params.finetune.model_copy(update={"compare": recipes})
    kept = partial(
        cached, base.network, base.card.weights, base.data,
        engine=base.engine, number_format=finetune.cache_precision,
    )  # fmt: skip
    pool = draw_pool(base.data, finetune.unedited, base.params.seed)
    refined = refine(
        base.network, load_sets(base.data, edits, pool, kept), finetune, base.engine, task.seed
    )
    for recipe, found in refined.items():
        if task.feedback == "right":
            arm = recipe
        elif recipe == finetune.recipe:
            arm = task.feedback
        else:
            continue
        yield from _measured(base, arm, task.edits, found.network)
        for name in ("val_accuracy", "val_iou", "choose_iou"):
            if name in found.kept:
                metric = name.removeprefix("val_")
                split = "val" if name.startswith("val_") else "choose"
                value = found.kept[name]
                yield _row(arm, task.edits, split, metric.removeprefix("choose_"), value)
        yield _row(arm, task.edits, "val", "qualified", float(found.qualified))


def _without_edits(base: Base) -> Iterator[dict[str, Any]]:
    yield from _measured(base, "none", 0, base.network)
    data = base.data
    grid = base.maps.shape[1:]
    of_free = alignment.baselines(
        base.masks,
        data.labels,
        data.rows("train"),
        _tests(data),
        grid,  # type: ignore[arg-type]
    )
    for split, maps in of_free.items():
        for name, values in maps.items():
            yield from (_row(name, 0, split, metric, value) for metric, value in values.items())
    for split, rows in _tests(data).items():
        yield _row("ceiling", 0, split, "accuracy", _with_human_maps(base, rows, grid))


@torch.inference_mode()
def _with_human_maps(base: Base, rows: NDArray[np.int64], grid: tuple[int, ...]) -> float:
    """Accuracy with the mask injected in place of the map: what any fine-tuning can hope for."""
    hits = 0
    for piece in chunks(rows, base.engine.batch_size):
        masks = to_grid(base.masks[piece], grid)  # type: ignore[arg-type]
        with base.engine.autocast():
            features = base.network.feature_extractor(batch(base.data, piece, base.engine.device))
            logits = base.network.perception_branch(features, masks)
        hits += int((logits.argmax(1).numpy() == base.data.labels[piece]).sum())
    return hits / len(rows)


def _measured(
    base: Base, arm: str, edits: int, network: AttentionBranchNetwork
) -> Iterator[dict[str, Any]]:
    seen = Prepared(**(vars(base.data) | {"masks": base.masks}))
    measured = comparison.measure({arm: network}, seen, base.engine)[arm]
    for split, values in measured.items():
        drop = {"accuracy_drop": base.accuracy[split] - values["accuracy"]}
        for metric, value in (values | drop | _on_decoy(base, network, split)).items():
            yield _row(arm, edits, split, metric, value)


def _on_decoy(base: Base, network: AttentionBranchNetwork, split: str) -> dict[str, float]:
    """Give the share of the map's mass on the decoy patch and the map's mean there."""
    side = base.params.data.decoy.size
    if not side:
        return {}
    shares, levels = [], []
    for found in predict(network, base.data, base.data.rows(split), base.engine):
        maps = torch.from_numpy(found.maps)
        patches = to_grid(_patches(base.data.images[found.rows], side), maps.shape[1:])  # type: ignore[arg-type]
        shares.append(metrics.energy_inside(maps, patches))
        levels.append((maps * patches).flatten(1).sum(1) / patches.flatten(1).sum(1))
    return {
        "energy_on_decoy": torch.cat(shares).nanmean().item(),
        "level_on_decoy": torch.cat(levels).nanmean().item(),
    }


def _patches(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Find each image's patch: the corner of one grey that is not black."""
    found = np.zeros(images.shape[:3], np.uint8)
    ends = (slice(None, side), slice(-side, None))
    for rows in ends:
        for columns in ends:
            corner = images[:, rows, columns, 0].reshape(len(images), -1)
            flat = (corner.min(1) == corner.max(1)) & (corner.max(1) > 0)
            free = flat & ~found.any((1, 2))
            found[free, rows, columns] = 1
    return found


def _row(arm: str, edits: int, split: str, metric: str, value: float) -> dict[str, Any]:
    return {"arm": arm, "edits": edits, "split": split, "metric": metric, "value": float(value)}


def _tests(data: Prepared) -> dict[str, NDArray[np.int64]]:
    return {split: data.rows(split) for split in data.splits if split.startswith("test")}


def _edits(base: Base, task: Task) -> dict[str, Edited]:
    """Give the edited maps by role, the share of ``selection.holdout`` held out as in the stage."""
    chosen = selection.select(
        base.samples,
        base.params.selection.model_copy(update={"budget": task.edits}),
        paths.SELECTED,
        task.seed,
    )
    rows = chosen.index.to_numpy()
    targets = coverage(base.masks, rows, base.maps.shape[1:]).numpy()  # type: ignore[arg-type]
    if task.feedback == "noop":
        targets = base.maps[rows].astype(np.float32)
    elif task.feedback == "wrong":
        targets = 1 - targets
    elif task.feedback in ("shuffled", "half"):
        others = targets[_another(len(rows), task.seed)]
        kept = (
            np.zeros(len(rows), bool)
            if task.feedback == "shuffled"
            else np.arange(len(rows)) % 2 == 0
        )
        targets = np.where(kept[:, None, None], targets, others)
    role = chosen["role"].to_numpy()
    return {name: Edited(rows[role == name], targets[role == name]) for name in selection.ROLES}


def _another(count: int, seed: int) -> NDArray[np.int64]:
    circle = np.random.default_rng(seed).permutation(count)
    others = np.empty(count, np.int64)
    others[circle] = np.roll(circle, 1)
    return others


def _base(dataset: str, seed: int) -> Base:
    """Open a base model, trained now if there is none."""
    given = params.load()
    section = given.data.model_dump() | {n: v for n, v in DATASETS[dataset].items() if n != "masks"}
    values = given.model_dump() | {"seed": seed, "data": section}
    values["runtime"] = values["runtime"] | {"threads": 1}
    some = Params.model_validate(values)
    machine = engine.start(some.runtime, seed)
    folder = _folder(some)
    if not folder.exists():
        _train(some, machine, folder)
    network, card = checkpoint.load(folder / "abn.safetensors")
    data = prepared.load(folder / "prepared")
    samples = pd.read_csv(folder / "samples.csv", dtype={"image_id": str})
    masks: Any = data.masks
    if DATASETS[dataset].get("masks") is False:
        data = Prepared(**(vars(data) | {"masks": None}))
        samples["alignment"] = np.nan
        train = data.rows("train")
        samples.loc[train, "disagreement"] = disagreement(network, data, train, machine)
    maps = np.load(folder / "maps.npy", mmap_mode="r")
    measured = comparison.measure({"base": network}, data, machine)["base"]
    accuracy = {split: values["accuracy"] for split, values in measured.items()}
    network = machine.place(network).eval()
    return Base(some, data, masks, network, card, machine, samples, maps, accuracy)


def _folder(some: Params) -> Path:
    parts = some.model_dump(include={"seed", "runtime", "data", "model", "train"})
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return paths.scratch() / "arms" / digest


def _train(some: Params, machine: Engine, folder: Path) -> None:
    """Prepare, train and export as the stages do."""
    with atomic.folder(folder) as aside:
        prepared.write(open_source(some.data, some.seed), some.data.image_size, aside / "prepared")
        data = prepared.load(aside / "prepared")
        machine = engine.start(some.runtime, some.seed)
        architecture = Architecture(
            some.model.backbone, some.model.map_kernel, len(data.classes), data.images.shape[-1]
        )
        network = build(architecture)
        Trainer(network, data, some.train, machine, some.seed).fit(folder.with_suffix(".pt"))
        card = checkpoint.Card(
            some.model.backbone, some.model.map_kernel, data.classes, data.images.shape[-1],
            data.images.shape[1], data.mean, data.std, data.digest,
        )  # fmt: skip
        checkpoint.save(network, card, aside / "abn.safetensors")
        samples = tabulate(network, data, machine, aside / "maps.npy")
        samples.to_csv(aside / "samples.csv", index=False, float_format="%.6g")


def _rows() -> list[dict[str, str]]:
    if not RESULT.exists():
        return []
    with RESULT.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _append(rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows at the end in one write, so that workers do not mix theirs."""
    new = not RESULT.exists()
    lines = [",".join(COLUMNS)] if new else []
    lines += [
        ",".join(f"{row[c]:.6g}" if c == "value" else str(row[c]) for c in COLUMNS) for row in rows
    ]
    with RESULT.open("a", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")


def _print_summary(rows: list[dict[str, str]]) -> None:
    """Print a table a data set and split: mean ± half of the 95 % interval over seeds, worst."""
    table = pd.DataFrame(rows)
    if table.empty:
        return
    table["value"], table["edits"] = table["value"].astype(float), table["edits"].astype(int)
    table = table[table["split"].str.startswith("test")]
    for (dataset, split), some in table.groupby(["dataset", "split"], sort=False):
        metrics_shown = [name for name in SHOWN if name in set(some["metric"])]
        print(f"\n{dataset}, {split}\n")
        print("| arm | edits | seeds | " + " | ".join(metrics_shown) + " |")
        print("| --- | ---: | ---: |" + " ---: |" * len(metrics_shown))
        for (arm, edits), values in some.groupby(["arm", "edits"], sort=False):
            cells = [_cell(values[values["metric"] == name], name) for name in metrics_shown]
            print(f"| {arm} | {edits} | {values['seed'].nunique()} | " + " | ".join(cells) + " |")


def _cell(values: pd.DataFrame, metric: str) -> str:
    if values.empty:
        return ""
    scale, digits = (100, 2) if "accuracy" in metric else (1, 3)
    found = values["value"] * scale
    worst = found.max() if metric in LESS_IS_BETTER else found.min()
    return f"{found.mean():.{digits}f} ± {_half_width(found):.{digits}f} (worst {worst:.{digits}f})"


def _half_width(values: "pd.Series[float]") -> float:
    if len(values) < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, len(values) - 1) * values.sem())


if __name__ == "__main__":
    main()
