"""Fine-tune the attention branch towards the edited maps; compare before and after."""

import numpy as np
import pandas as pd

from abn import atomic, paths, progress
from abn.data import edited, prepared
from abn.model import checkpoint
from abn.stage import Stage, run
from abn.training import comparison, engine
from abn.training.faithfulness import faithfulness
from abn.training.refine import alignment_of, refine
from abn.training.sets import load_sets
from abn.training.tabulation import tabulate


def main(stage: Stage) -> None:
    """Refine the base model, save it, and measure what moved and what it cost."""
    params = stage.params
    data = prepared.load(paths.PREPARED)
    edits = edited.load(paths.EDITS, data)
    network, card = checkpoint.load(paths.MODEL)
    machine = engine.start(params.runtime, params.seed)
    stage.tag("device", str(machine.device))
    stage.tag("precision", machine.precision)

    sets = load_sets(network, card.weights, data, edits, machine, params.finetune.cache_precision)
    refined = refine(network, sets, params.finetune, machine, params.seed)
    if not refined.qualified:
        progress.say(
            f"no epoch kept the validation accuracy within {params.finetune.max_accuracy_drop} of "
            f"the base model's (finetune.max_accuracy_drop); the closest, {refined.epoch}, is kept"
        )
    checkpoint.save(network, card, paths.REFINED_MODEL)
    stage.log_curve(refined.history)
    front = [
        {
            "epoch": row["epoch"],
            "accuracy": row["val_accuracy"],
            "alignment": alignment_of(row),
            "chosen": int(row["epoch"] == refined.epoch),
        }
        for row in refined.history
    ]
    atomic.write_csv(paths.PLOTS / "front.csv", front, list(front[0]))

    with atomic.folder(paths.REFINED) as folder:
        after = tabulate(network, data, machine, folder / "maps.npy")
        before = pd.read_csv(paths.ATTENTION / "samples.csv", dtype={"image_id": str})
        samples = comparison.join(before, after)
        samples.to_csv(folder / "samples.csv", index=False, float_format="%.6g")
        maps = {
            "before": np.load(paths.ATTENTION / "maps.npy", mmap_mode="r"),
            "after": np.load(folder / "maps.npy", mmap_mode="r"),
        }
        figures = comparison.summarise(samples, maps, data, edits)
        for when, model in (("before", checkpoint.load(paths.MODEL)[0]), ("after", network)):
            figures[when]["test"] |= faithfulness(
                model, data, maps[when], data.rows("test"), machine
            )
        stage.log_metrics(
            {
                **figures,
                "edited_images": sum(len(some.rows) for some in edits.values()),
                "finetuned_on": len(edits["finetune"].rows),
                "best_epoch": refined.epoch,
                "qualified": int(refined.qualified),
            }
        )


if __name__ == "__main__":
    run("finetune_attention", main)
