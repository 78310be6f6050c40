"""Train the attention branch network, or take the refined one of an earlier round (model.base)."""

from typing import Any

from abn import paths
from abn.data import prepared, rounds
from abn.data.prepared import Prepared
from abn.model import adoption, checkpoint
from abn.model.build import build
from abn.model.network import AttentionBranchNetwork
from abn.stage import Stage, run
from abn.training import engine
from abn.training.evaluation import accuracy
from abn.training.train import Row, Trainer


def main(stage: Stage) -> None:
    """Train or adopt, evaluate on every split, save the model."""
    params = stage.params
    data = prepared.load(paths.PREPARED)
    machine = engine.start(params.runtime, params.seed)
    stage.tag("device", str(machine.device))
    stage.tag("precision", machine.precision)
    card = checkpoint.Card(
        params.model.backbone, params.model.map_kernel, data.classes, data.images.shape[-1],
        data.images.shape[1], data.mean, data.std, data.digest,
        data.alpha_is_mask,
    )  # fmt: skip

    history: list[Row] = []
    if params.model.base is None:
        network = build(card.architecture)
        history = _train(stage, network, data, machine)
        checkpoint.save(network, card, paths.MODEL)
    else:
        frozen = rounds.folder(params.model.base) / rounds.MODEL
        network = adoption.adopt(frozen, card, paths.MODEL)
    stage.log_model(paths.MODEL)

    of_split = {
        split: accuracy(network, data, data.rows(split), machine)._asdict()
        for split in data.splits
        if split != "train"
    }
    best = max(history, key=lambda row: row["val_accuracy"], default=None)
    stage.log_curve(history or [_untrained(of_split["val"])])
    stage.log_metrics(
        {"epochs": len(history), "best_epoch": int(best["epoch"]) if best else 0, **of_split}
    )


def _train(
    stage: Stage, network: AttentionBranchNetwork, data: Prepared, machine: engine.Engine
) -> list[Row]:
    trainer = Trainer(network, data, stage.params.train, machine, stage.seed)
    return trainer.fit(paths.scratch() / "checkpoints" / f"{stage.key}.pt")


def _untrained(val: dict[str, Any]) -> dict[str, Any]:
    """Give the one row of a curve on which nothing was learned."""
    learned = ("lr", "train_loss", "attention_loss", "perception_loss")
    found = {
        "val_loss": val["loss"],
        "val_accuracy": val["accuracy"],
        "val_branch_accuracy": val["branch_accuracy"],
    }
    return {"epoch": 0, **dict.fromkeys(learned), **found}


if __name__ == "__main__":
    run("train_abn", main)
