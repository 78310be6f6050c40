"""Fine-tuning of the attention branch alone towards edited maps (the paper's method).

L_att(x) = MSE(M(x), M_HE(x)), M the attention map and M_HE the map that a person edited. Only the
attention branch learns. Feature extractor and perception branch stay in eval mode: frozen
parameters alone would let their batch norms drift.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from abn import progress
from abn.attention import metrics
from abn.data.loading import chunks
from abn.errors import AbnError
from abn.model.network import AttentionBranchNetwork
from abn.params import Finetune
from abn.training.engine import Engine

FeaturesOf = Callable[[NDArray[np.int64]], Tensor]
"""Features N×C×h×w of the images at some places of a set."""


class EditedImages(NamedTuple):
    """Images with the maps that people gave them."""

    features: FeaturesOf
    targets: Tensor
    """n×h×w in [0, 1]."""


class Labelled(NamedTuple):
    """The validation split."""

    features: FeaturesOf
    labels: NDArray[np.int64]
    masks: Tensor | None
    """N×h×w in [0, 1], where the data set has masks."""


@dataclass(frozen=True)
class Sets:
    """What the refinement learns from and chooses by."""

    finetune: EditedImages
    choose: EditedImages
    """Held out of the learning."""
    validation: Labelled


@dataclass(frozen=True)
class Refined:
    """The chosen epoch; its weights are in the network."""

    history: list[dict[str, float]]
    """A row an evaluated epoch, the first (epoch 0) before the fine-tuning."""
    epoch: int
    qualified: bool
    """Whether any epoch stayed within the allowed drop of accuracy."""


def refine(
    network: AttentionBranchNetwork,
    sets: Sets,
    params: Finetune,
    engine: Engine,
    seed: int,
) -> Refined:
    """Fine-tune the attention branch and leave the chosen epoch's weights in the network.

    Chosen is the epoch with the highest alignment on validation (IoU with the masks, or where
    there are none with the edited maps held out) among those within ``max_accuracy_drop`` of the
    base model's validation accuracy; if there is none, the one with the highest accuracy.

    Args:
        network: The base model; its attention branch is changed.
        sets: What to learn from and to choose by.
        params: Recipe.
        engine: Where to compute.
        seed: Decides the order of the images.

    Raises:
        AbnError: The loss is not finite.
    """
    engine.place(network).eval()
    network.requires_grad_(False)
    branch = network.attention_branch.requires_grad_(True)
    optimiser = _optimiser(branch, params)
    history = [{"epoch": 0, **_evaluate(network, sets, engine)}]
    states = {0: copy.deepcopy(branch.state_dict())}
    for epoch in progress.track(range(1, params.epochs + 1), "refining", params.epochs):
        _train_epoch(network, sets.finetune, optimiser, params, engine, [seed, epoch])
        if epoch % params.evaluate_every == 0 or epoch == params.epochs:
            found = _evaluate(network, sets, engine)
            history.append({"epoch": epoch, **found})
            states[epoch] = copy.deepcopy(branch.state_dict())
    epoch, qualified = _choose(history, params.max_accuracy_drop)
    branch.load_state_dict(states[epoch])
    network.eval()
    return Refined(history, epoch, qualified)


def step(
    network: AttentionBranchNetwork,
    features: Tensor,
    targets: Tensor,
    optimiser: torch.optim.Optimizer,
    engine: Engine,
) -> Tensor:
    """Take one step down the attention loss and give it."""
    with engine.autocast():
        maps = network.attention_branch(features).maps
    loss = mse_loss(maps.float(), targets)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.detach()


def _optimiser(branch: nn.Module, params: Finetune) -> torch.optim.Optimizer:
    weights = branch.parameters()
    if params.optimiser == "adamw":
        return torch.optim.AdamW(weights, lr=params.lr, weight_decay=params.weight_decay)
    return torch.optim.SGD(
        weights, lr=params.lr, momentum=params.momentum, weight_decay=params.weight_decay
    )


def _train_epoch(
    network: AttentionBranchNetwork,
    edited: EditedImages,
    optimiser: torch.optim.Optimizer,
    params: Finetune,
    engine: Engine,
    seed: list[int],
) -> None:
    network.attention_branch.train(params.batch_norm == "update")
    order = np.random.default_rng(seed).permutation(len(edited.targets))
    losses = []
    for places in np.array_split(order, math.ceil(len(order) / params.batch_size)):
        features, targets = edited.features(places), edited.targets[places].to(engine.device)
        losses.append(step(network, features, targets, optimiser, engine))
    network.attention_branch.eval()
    loss = torch.stack(losses).mean().item()
    if not math.isfinite(loss):
        raise AbnError(
            f"finetune: the loss of epoch {seed[-1]} is not finite; lower finetune.lr ({params.lr})"
        )


@torch.inference_mode()
def _evaluate(network: AttentionBranchNetwork, sets: Sets, engine: Engine) -> dict[str, float]:
    labels, masks = sets.validation.labels, sets.validation.masks
    hits = branch_hits = 0
    alignment = []
    for places in chunks(np.arange(len(labels)), engine.batch_size):
        with engine.autocast():
            outputs = network.from_features(sets.validation.features(places))
        hits += _hits(outputs.perception_logits, labels[places])
        branch_hits += _hits(outputs.attention_logits, labels[places])
        if masks is not None:
            alignment.append(metrics.iou(outputs.maps.float().cpu(), masks[places]))
    held_out = _maps(network, sets.choose, engine)
    found: dict[str, Any] = {
        "val_accuracy": hits / len(labels),
        "val_branch_accuracy": branch_hits / len(labels),
        "choose_mse": mse_loss(held_out, sets.choose.targets).item(),
        "choose_iou": metrics.iou(held_out, sets.choose.targets).nanmean().item(),
        "finetune_mse": mse_loss(
            _maps(network, sets.finetune, engine), sets.finetune.targets
        ).item(),
    }
    if alignment:
        found["val_iou"] = torch.cat(alignment).nanmean().item()
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _maps(network: AttentionBranchNetwork, edited: EditedImages, engine: Engine) -> Tensor:
    pieces = []
    for places in chunks(np.arange(len(edited.targets)), engine.batch_size):
        with engine.autocast():
            pieces.append(network.attention_branch(edited.features(places)).maps.float())
    return torch.cat(pieces).cpu() if pieces else torch.empty_like(edited.targets)


def _hits(logits: Tensor, labels: NDArray[np.int64]) -> int:
    return int((logits.float().argmax(1).cpu().numpy() == labels).sum())


def alignment_of(row: dict[str, float]) -> float:
    """Give what epochs are chosen by: IoU with the masks, or with the edited maps held out."""
    return row.get("val_iou", row.get("choose_iou", -row.get("choose_mse", math.inf)))


def _choose(history: list[dict[str, float]], max_drop: float) -> tuple[int, bool]:
    lowest = history[0]["val_accuracy"] - max_drop
    tuned = history[1:]
    within = [row for row in tuned if row["val_accuracy"] >= lowest]
    if within:
        return int(max(within, key=alignment_of)["epoch"]), True
    closest = max(row["val_accuracy"] for row in tuned)
    ties = [row for row in tuned if row["val_accuracy"] == closest]
    return int(max(ties, key=alignment_of)["epoch"]), False
