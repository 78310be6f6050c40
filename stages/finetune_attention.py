"""Fine-tune the attention branch towards the edited maps; compare before and after."""

from functools import partial

import numpy as np
import pandas as pd

from abn import atomic, paths, progress
from abn.data import edited, prepared
from abn.model import checkpoint
from abn.stage import Stage, run
from abn.training import comparison, engine, front
from abn.training.faithfulness import faithfulness
from abn.training.features import cached
from abn.training.refine import refine
from abn.training.sets import draw_pool, load_sets
from abn.training.tabulation import tabulate


def main(stage: Stage) -> None:
    """Refine the base model by each recipe, save the chosen one's, measure what moved and cost."""
    params = stage.params
    finetune = params.finetune
    data = prepared.load(paths.PREPARED)
    edits = edited.load(paths.EDITS, data)
    network, card = checkpoint.load(paths.MODEL)
    machine = engine.start(params.runtime, params.seed)
    stage.tag("device", str(machine.device))
    stage.tag("precision", machine.precision)

    pool = draw_pool(data, finetune.unedited, params.seed)
    kept = partial(
        cached, network, card.weights, data,
        engine=machine, number_format=finetune.cache_precision,
    )  # fmt: skip
    sets = load_sets(data, edits, pool, kept)
    recipes = refine(network, sets, finetune, machine, params.seed)
    refined = recipes[finetune.recipe]
    if not refined.qualified:
        progress.say(
            f"no point kept the validation accuracy within {finetune.max_accuracy_drop} of the "
            "base model's (finetune.max_accuracy_drop); the most accurate one is kept"
        )
    checkpoint.save(refined.network, card, paths.REFINED_MODEL)
    stage.log_model(paths.REFINED_MODEL)
    stage.log_curve([row for row in refined.history if row["interpolation"] == 1])
    points = {name: (one.history, one.kept) for name, one in recipes.items()}
    atomic.write_csv(paths.PLOTS / "front.csv", front.table(points), front.COLUMNS)

    with atomic.folder(paths.REFINED) as folder:
        after = tabulate(refined.network, data, machine, folder / "maps.npy")
        before = pd.read_csv(paths.ATTENTION / "samples.csv", dtype={"image_id": str})
        samples = comparison.join(before, after)
        samples.to_csv(folder / "samples.csv", index=False, float_format="%.6g")
        maps = {
            "before": np.load(paths.ATTENTION / "maps.npy", mmap_mode="r"),
            "after": np.load(folder / "maps.npy", mmap_mode="r"),
        }
        measured = comparison.summarise(samples, maps, data, edits)
        test = data.rows("test")
        for when, model in (("before", network), ("after", refined.network)):
            measured[when]["test"] |= faithfulness(model, data, maps[when], test, machine)
    others = {name: one.network for name, one in recipes.items() if name != finetune.recipe}
    stage.log_metrics(
        {
            **measured,
            "recipe": finetune.recipe,
            "recipes": {
                **comparison.measure(others, data, machine),
                finetune.recipe: measured["after"],
            },
            "edited_images": sum(len(some.rows) for some in edits.values()),
            "finetuned_on": len(edits["finetune"].rows),
            "best_epoch": refined.kept["epoch"],
            "interpolation": refined.kept["interpolation"],
            "qualified": int(refined.qualified),
        }
    )


if __name__ == "__main__":
    run("finetune_attention", main)
