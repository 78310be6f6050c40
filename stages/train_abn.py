"""Train the attention branch network on the prepared set; keep the best epoch by validation."""

from abn import paths
from abn.data import prepared
from abn.model import checkpoint
from abn.model.build import Architecture, build
from abn.stage import Stage, run
from abn.training import engine
from abn.training.evaluation import accuracy
from abn.training.train import Trainer


def main(stage: Stage) -> None:
    """Train, evaluate on every split, save the model."""
    params = stage.params
    data = prepared.load(paths.PREPARED)
    machine = engine.start(params.runtime, params.seed)
    stage.tag("device", str(machine.device))
    stage.tag("precision", machine.precision)
    channels = data.images.shape[-1]
    backbone, map_kernel = params.model.backbone, params.model.map_kernel
    network = build(Architecture(backbone, map_kernel, len(data.classes), channels))

    trainer = Trainer(network, data, params.train, machine, params.seed)
    unfinished = paths.scratch() / "checkpoints" / f"{stage.key}.pt"
    history = trainer.fit(unfinished)
    stage.log_curve(history)

    card = checkpoint.Card(
        backbone, map_kernel, data.classes, channels, data.images.shape[1],
        data.mean, data.std, data.digest, data.alpha_is_mask,
    )  # fmt: skip
    checkpoint.save(network, card, paths.MODEL)
    best = max(history, key=lambda row: row["val_accuracy"])
    of_split = {
        split: accuracy(network, data, data.rows(split), machine)._asdict()
        for split in data.splits
        if split != "train"
    }
    stage.log_metrics({"epochs": len(history), "best_epoch": best["epoch"], **of_split})


if __name__ == "__main__":
    run("train_abn", main)
