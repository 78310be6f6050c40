"""Write the attention map of every image, and those that people are asked to edit as tasks."""

import numpy as np

from abn import atomic, paths
from abn.attention import selection
from abn.data import prepared, rounds
from abn.edits.tasks import write_tasks
from abn.model import checkpoint
from abn.stage import Stage, run
from abn.training import engine
from abn.training.saliency import disagreement
from abn.training.tabulation import tabulate


def main(stage: Stage) -> None:
    """Export maps, samples, the selection and its Label Studio tasks."""
    params = stage.params
    data = prepared.load(paths.PREPARED)
    network, card = checkpoint.load(paths.MODEL)
    machine = engine.start(params.runtime, params.seed)
    with atomic.folder(paths.ATTENTION) as folder:
        maps_file = folder / "maps.npy"
        samples = tabulate(network, data, machine, maps_file)
        if data.masks is None:
            train = data.rows("train")
            samples.loc[train, "disagreement"] = disagreement(network, data, train, machine)
        samples.to_csv(folder / "samples.csv", index=False, float_format="%.6g")
        earlier = rounds.load(params.model.base)
        chosen = selection.select(samples, params.selection, paths.SELECTED, params.seed, earlier)
        chosen[list(selection.COLUMNS)].to_csv(
            folder / "selection.csv", index=False, float_format="%.6g"
        )
        rows = chosen.index.to_numpy()
        maps = np.load(maps_file, mmap_mode="r")
        chosen["sha256"] = data.manifest["sha256"]
        tasks = [
            {**row, "predicted": data.classes[row["predicted"]]}
            for row in chosen.to_dict("records")
        ]
        write_tasks(folder, tasks, data.images[rows], maps[rows], card.name)
    by_role = chosen["role"].value_counts().to_dict()
    stage.log_metrics({"images": len(samples), "selected": len(chosen), "roles": by_role})


if __name__ == "__main__":
    run("export_attention", main)
