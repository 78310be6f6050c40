"""Make target maps of people's edits, or of a simulated annotator's."""

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from abn import atomic, paths
from abn.data import prepared, rounds
from abn.data.rounds import Earlier
from abn.edits import importer, simulated, task_file
from abn.errors import AbnError
from abn.params import Simulated
from abn.stage import Stage, run


def main(stage: Stage) -> None:
    """Import the edits that params.yaml names."""
    edits = stage.params.edits
    earlier = rounds.load(stage.params.model.base)
    images = _images(earlier)
    with atomic.folder(paths.EDITS) as folder:
        export = folder / "export.json"
        if edits.source == "simulated":
            task_file.write(export, _simulated(images, earlier, edits.simulated, stage.seed))
            imported = importer.import_edits([export], images, edits.merge, edits.stale)
        else:
            files = importer.exports(paths.ANNOTATIONS)
            imported = importer.import_edits(files, images, edits.merge, edits.stale)
            importer.combine(files, export)
        np.save(folder / "targets.npy", imported.targets)
        atomic.write_csv(folder / "edits.csv", imported.rows, importer.COLUMNS)
    stage.log_metrics(imported.metrics)


def _images(earlier: Earlier) -> importer.Images:
    manifest = _table(paths.PREPARED / "manifest.csv")
    shown = next(task_file.read(paths.ATTENTION / "tasks.json"), None)
    samples = _table(paths.ATTENTION / "samples.csv")
    selection = _table(paths.ATTENTION / "selection.csv")
    return importer.Images(
        ids=[row["image_id"] for row in samples],
        splits=[row["split"] for row in samples],
        roles={row["image_id"]: row["role"] for row in selection},
        maps=np.load(paths.ATTENTION / "maps.npy", mmap_mode="r"),
        model=shown["data"]["model"] if shown else None,
        digests={row["image_id"]: row["sha256"] for row in manifest},
        earlier=earlier.roles,
    )


def _simulated(
    images: importer.Images, earlier: Earlier, params: Simulated, seed: int
) -> Iterator[dict[str, Any]]:
    """Give the export: what earlier rounds' exports hold, then the selected images, annotated."""
    masks = prepared.load(paths.PREPARED).masks
    if masks is None:
        raise AbnError(
            "edits.source: simulated paints what the masks show, and the data set has none; "
            "set edits.source: annotations"
        )
    selected = list(images.roles)
    rows = [images.rows[image_id] for image_id in selected]
    first_id = 1
    for task in chain.from_iterable(map(task_file.read, earlier.exports)):
        first_id += 1
        yield task
    tasks = task_file.read(paths.ATTENTION / "tasks.json")
    yield from simulated.annotate(tasks, selected, masks[rows], params, seed, first_id)


def _table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    except FileNotFoundError:
        raise AbnError(f"{path}: not found; run `dvc repro export_attention`") from None


if __name__ == "__main__":
    run("import_edits", main)
