"""Training of the whole network: cross-entropy of both heads (ABN, equation 3)."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from abn import atomic, progress
from abn.data.loading import batch, chunks, count
from abn.data.prepared import Prepared
from abn.errors import AbnError
from abn.model.network import AttentionBranchNetwork
from abn.params import Train
from abn.training.engine import Engine
from abn.training.evaluation import accuracy
from abn.training.jitter import jitter

Row = dict[str, float]

EPOCHS_AT_MOST = 1_000_003
"""Keeps the random numbers of one seed's epochs apart from another's."""


class Trainer:
    """Network, optimiser and history of one training; resumes from its checkpoint by itself."""

    def __init__(
        self,
        network: AttentionBranchNetwork,
        prepared: Prepared,
        params: Train,
        engine: Engine,
        seed: int,
    ) -> None:
        self.network = engine.place(network)
        self.prepared = prepared
        self.params = params
        self.engine = engine
        self.seed = seed
        self.rows = prepared.rows("train")
        self.labels = torch.tensor(prepared.labels).to(engine.device)
        self.optimiser = _optimiser(network, params)
        self.history: list[Row] = []
        self.best: dict[str, Tensor] = {}

    def fit(self, checkpoint: Path) -> list[Row]:
        """Train to the last epoch, leave the best epoch's weights in the network.

        Args:
            checkpoint: File to resume from and to write after each epoch; removed at the end.

        Returns:
            A row an epoch: losses, learning rate, validation loss and accuracies.

        Raises:
            AbnError: The loss is not finite.
        """
        self._resume(checkpoint)
        validation = self.prepared.rows("val")
        for epoch in range(len(self.history) + 1, self.params.epochs + 1):
            row: Row = {"epoch": epoch, **self._train_epoch(epoch)}
            found = accuracy(self.network, self.prepared, validation, self.engine)
            row |= {
                "val_loss": found.loss,
                "val_accuracy": found.accuracy,
                "val_branch_accuracy": found.branch_accuracy,
            }
            if row["val_accuracy"] > max((r["val_accuracy"] for r in self.history), default=-1.0):
                self.best = copy.deepcopy(self.network.state_dict())
            self.history.append(row)
            self._save(checkpoint)
            progress.say(
                f"epoch {epoch} of {self.params.epochs}: loss {row['train_loss']:.3f}, "
                f"validation accuracy {found.accuracy:.4f} (branch {found.branch_accuracy:.4f})"
            )
        self.network.load_state_dict(self.best)
        checkpoint.unlink(missing_ok=True)
        return self.history

    def _train_epoch(self, epoch: int) -> Row:
        self.network.train()
        # Drawn from seed and epoch alone: a resumed training sees the order it would have seen.
        order = np.random.default_rng([self.seed, epoch]).permutation(self.rows)
        steps = count(order, self.params.batch_size)
        pieces = progress.track(chunks(order, self.params.batch_size), f"epoch {epoch}", steps)
        random = torch.Generator().manual_seed(self.seed * EPOCHS_AT_MOST + epoch)
        losses = []
        for step, piece in enumerate(pieces):
            lr = self._learning_rate(epoch - 1 + step / steps)
            losses.append(self._step(piece, lr, random))
        attention, perception = torch.stack(losses).mean(0).tolist()
        if not math.isfinite(attention + perception):
            raise AbnError(
                f"train: the loss of epoch {epoch} is not finite; lower train.lr ({self.params.lr})"
            )
        return {
            "lr": lr,
            "train_loss": attention + perception,
            "attention_loss": attention,
            "perception_loss": perception,
        }

    def _step(self, rows: NDArray[np.int64], lr: float, random: torch.Generator) -> Tensor:
        images = batch(self.prepared, rows, self.engine.device)
        labels = self.labels[rows]
        with self.engine.autocast():
            features = self.network.feature_extractor(images)
            found = self.network.attention_branch(features)
            gates = jitter(found.maps, self.params.gate_jitter, random)
            logits = self.network.perception_branch(features, gates)
        attention = cross_entropy(found.logits.float(), labels)
        perception = cross_entropy(logits.float(), labels)
        self.optimiser.zero_grad()
        (attention + perception).backward()
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        return torch.stack((attention.detach(), perception.detach()))

    def _learning_rate(self, epochs_done: float) -> float:
        params = self.params
        if epochs_done < params.warmup:
            return params.lr * max(epochs_done / params.warmup, 0.01)
        if params.schedule == "step":
            share = epochs_done / params.epochs
            return params.lr * 0.1 ** ((share >= 0.5) + (share >= 0.75))
        share = (epochs_done - params.warmup) / max(params.epochs - params.warmup, 1e-9)
        return params.lr * (1 + math.cos(math.pi * share)) / 2

    def _save(self, checkpoint: Path) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "history": self.history,
        }
        with atomic.file(checkpoint) as aside:
            torch.save(state, aside)

    def _resume(self, checkpoint: Path) -> None:
        if not checkpoint.exists():
            return
        state: dict[str, Any] = torch.load(
            checkpoint, map_location=self.engine.device, weights_only=True
        )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best, self.history = state["best"], state["history"]
        progress.say(f"resuming after epoch {len(self.history)} of {self.params.epochs}")


def _optimiser(network: AttentionBranchNetwork, params: Train) -> torch.optim.Optimizer:
    weights = network.parameters()
    if params.optimiser == "adamw":
        return torch.optim.AdamW(weights, lr=params.lr, weight_decay=params.weight_decay)
    return torch.optim.SGD(
        weights,
        lr=params.lr,
        momentum=params.momentum,
        weight_decay=params.weight_decay,
        nesterov=params.momentum > 0,
    )
