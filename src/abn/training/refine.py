"""Fine-tuning towards edited maps, by the recipes of params.yaml.

The paper's: L_att(x) = MSE(M(x), M_HE(x)), M the attention map and M_HE the map that a person
edited; the attention branch alone learns. What does not learn stays in eval mode: frozen parameters
alone would let batch norms drift.
"""

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from abn import progress
from abn.attention import metrics
from abn.data.loading import chunks
from abn.errors import AbnError
from abn.model.folding import folded
from abn.model.network import AttentionBranchNetwork
from abn.params import Finetune, Recipe
from abn.training.engine import Engine
from abn.training.features import Features
from abn.training.front import Front, Row, Weights, interpolated
from abn.training.objective import attention_loss, retention
from abn.training.sets import EditedImages, Sets

SCOPES = {
    "attention_branch": ("attention_branch",),
    "map_convolution": ("attention_branch.conv_map", "attention_branch.bn_map"),
    "attention_and_perception": ("attention_branch", "perception_branch"),
}
"""Which modules learn."""
WARM_UP = 10
"""Steps over which the learning rate rises: AdamW's first ones are of full size else."""


@dataclass(frozen=True)
class Refined:
    """What a recipe led to."""

    network: AttentionBranchNetwork
    """The base model with the kept point's weights."""
    history: list[Row]
    """A row a point of the front, the first (epoch 0) before the fine-tuning."""
    kept: Row
    """The chosen one."""
    qualified: bool
    """Whether any point stayed within the allowed drop of accuracy."""
    last: Weights
    """Of the last epoch, whatever its accuracy."""


def refine(
    network: AttentionBranchNetwork, sets: Sets, params: Finetune, engine: Engine, seed: int
) -> dict[str, Refined]:
    """Run the recipe of params, those to compare it with, and the teachers that they need.

    Of each recipe the point with the highest alignment on validation is kept (IoU with the masks,
    or where there are none with the edited maps held out) among those within
    ``max_accuracy_drop`` of the base model's validation accuracy; if there is none, the one with
    the highest accuracy.

    Args:
        network: The base model; stays as it is.
        sets: What to learn from and to choose by.
        params: Recipes.
        engine: Where to compute.
        seed: Decides the order of the images.

    Raises:
        AbnError: A loss is not finite, or a recipe needs unedited images and there are none.
    """
    engine.place(network).eval().requires_grad_(False)
    found: dict[str, Refined] = {}
    for name in params.in_order():
        recipe = params.recipes[name]
        teacher = None
        if recipe.teacher is not None:
            teacher = _with(network, found[recipe.teacher].last)
        refiner = Refiner(_with(network, {}), sets, recipe, engine, seed)
        found[name] = refiner.run(name, params, teacher)
    return found


class Refiner:
    """The fine-tuning of one network by one recipe."""

    def __init__(
        self,
        network: AttentionBranchNetwork,
        sets: Sets,
        recipe: Recipe,
        engine: Engine,
        seed: int,
    ) -> None:
        self.network = network
        self.sets = sets
        self.recipe = recipe
        self.engine = engine
        self.seed = seed
        self.learning = [network.get_submodule(name) for name in SCOPES[recipe.scope]]
        for module in self.learning:
            module.requires_grad_(True)
        self.optimiser = _optimiser(self.learning, recipe)
        self.loss = attention_loss(recipe)
        self.steps_an_epoch = math.ceil(len(sets.finetune.targets) / recipe.batch_size)
        self.epochs = math.ceil(recipe.steps / self.steps_an_epoch)
        self.pseudo_masks: Tensor | None = None
        if recipe.uses_unedited and not len(sets.unedited.features):
            raise AbnError(
                "finetune: every training image that finetune.unedited admits is edited, and the "
                "recipe looks at unedited ones; choose finetune.recipe: paper"
            )

    def run(self, name: str, params: Finetune, teacher: AttentionBranchNetwork | None) -> Refined:
        """Fine-tune to the last epoch and keep the best point."""
        if teacher is not None:
            self.pseudo_masks = self._draw_masks(folded(teacher))
        base = self._weights()
        front = Front(params.max_accuracy_drop)
        front.add({"epoch": 0, "interpolation": 1.0, **self._evaluate()}, base)
        every = math.ceil(params.evaluate_every / self.steps_an_epoch)
        epochs = self.epochs
        for epoch in progress.track(range(1, epochs + 1), f"refining ({name})", epochs):
            self._train_epoch(epoch)
            if epoch % every == 0 or epoch == epochs:
                found = self._evaluate()
                front.add({"epoch": epoch, "interpolation": 1.0, **found}, self._weights())
        last = self._weights()
        for share in (one for one in params.interpolation if one < 1):
            self._load(between := interpolated(base, last, share))
            row = {"epoch": epochs, "interpolation": share, **self._evaluate()}
            front.add(row, between)
        kept, weights, qualified = front.choose()
        self._load(weights)
        return Refined(self.network.eval().requires_grad_(False), front.rows, kept, qualified, last)

    def step(self, edited: NDArray[np.int64], unedited: NDArray[np.int64]) -> Tensor:
        """Take one step down the recipe's objective and give it."""
        sets, recipe, count = self.sets, self.recipe, len(edited)
        features = sets.finetune.features(edited)
        if len(unedited):
            features = torch.cat((features, sets.unedited.features(unedited)))
        logits = None
        with self.engine.autocast():
            found = self.network.attention_branch(features)
            if recipe.classification or (recipe.retention and len(unedited)):
                logits = self.network.perception_branch(features, found.maps).float()
        maps, branch_logits = found.maps.float(), found.logits.float()
        objective = recipe.attention * self.loss(
            maps[:count], self._of(sets.finetune.targets, edited)
        )
        if self.pseudo_masks is not None:
            targets = self._of(self.pseudo_masks, unedited)
            objective = objective + recipe.pseudo_masks * self.loss(maps[count:], targets)
        if logits is not None and recipe.classification:
            labels = torch.cat(
                (self._of(sets.finetune.labels, edited), self._of(sets.unedited.labels, unedited))
            )
            both = cross_entropy(logits, labels) + cross_entropy(branch_logits, labels)
            objective = objective + recipe.classification * both
        if logits is not None and recipe.retention:
            base = sets.unedited.features.logits(unedited).perception
            objective = objective + recipe.retention * retention(logits[count:], base)
        self.optimiser.zero_grad()
        objective.backward()
        self.optimiser.step()
        return objective.detach()

    def _draw_masks(self, teacher: AttentionBranchNetwork) -> Tensor:
        """Give the teacher's maps of the unedited images as masks.

        They are cut where its maps of the edited images fit the edits best. Cut at 0.5 they would
        hand its bias on: maps learned by mean squared error spill over the object.
        """
        edited, unedited = self.sets.finetune, self.sets.unedited
        maps = _maps(teacher, edited.features, self.engine)
        fits = metrics.iou_by_threshold(maps, edited.targets).nanmean(0)
        threshold = metrics.best_threshold(fits)
        return (_maps(teacher, unedited.features, self.engine) > threshold).float()

    def _train_epoch(self, epoch: int) -> None:
        for module in self.learning:
            module.train(self.recipe.batch_norm == "update")
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.sets.finetune.targets))
        steps = self.steps_an_epoch
        losses = []
        for number, edited in enumerate(np.array_split(order, steps)):
            self._set_learning_rate((epoch - 1) * steps + number)
            losses.append(self.step(edited, self._draw(random, len(edited))))
        self.network.eval()
        if not math.isfinite(torch.stack(losses).mean().item()):
            raise AbnError(
                f"finetune: the loss of epoch {epoch} is not finite; lower the recipe's lr "
                f"({self.recipe.lr})"
            )

    def _draw(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        if not self.recipe.uses_unedited:
            return np.zeros(0, np.int64)
        return random.integers(len(self.sets.unedited.features), size=count)

    def _set_learning_rate(self, steps_done: int) -> None:
        share = steps_done / (self.epochs * self.steps_an_epoch)
        rate = self.recipe.lr * (1 + math.cos(math.pi * share)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (steps_done + 1) / WARM_UP)

    def _of(self, values: Tensor, places: NDArray[np.int64]) -> Tensor:
        return values[torch.from_numpy(places)].to(self.engine.device)

    @torch.inference_mode()
    def _evaluate(self) -> dict[str, float]:
        network = self.engine.place(folded(self.network))
        validation = self.sets.validation
        hits = branch_hits = 0
        alignment, contrast = [], []
        for places in chunks(np.arange(len(validation.labels)), self.engine.batch_size):
            with self.engine.autocast():
                outputs = network.from_features(validation.features(places))
            labels = validation.labels[places]
            hits += _hits(outputs.perception_logits, labels)
            branch_hits += _hits(outputs.attention_logits, labels)
            if validation.masks is not None:
                maps, masks = outputs.maps.float().cpu(), validation.masks[places]
                alignment.append(metrics.iou(maps, masks))
                contrast.append(metrics.contrast(maps, masks))
        found: dict[str, Any] = {
            "val_accuracy": hits / len(validation.labels),
            "val_branch_accuracy": branch_hits / len(validation.labels),
            **self._against_edits(network, "finetune", self.sets.finetune),
            **self._against_edits(network, "choose", self.sets.choose),
        }
        if alignment:
            found["val_iou"] = torch.cat(alignment).nanmean().item()
            found["val_contrast"] = torch.cat(contrast).nanmean().item()
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def _against_edits(
        self, network: AttentionBranchNetwork, role: str, edited: EditedImages | None
    ) -> dict[str, float]:
        if edited is None:
            return {}
        maps = _maps(network, edited.features, self.engine)
        return {
            f"{role}_mse": mse_loss(maps, edited.targets).item(),
            f"{role}_iou": metrics.iou(maps, edited.targets).nanmean().item(),
        }

    def _weights(self) -> Weights:
        prefixes = tuple(f"{name}." for name in SCOPES[self.recipe.scope])
        state = self.network.state_dict()
        return {name: t.clone() for name, t in state.items() if name.startswith(prefixes)}

    def _load(self, weights: Weights) -> None:
        self.network.load_state_dict({**self.network.state_dict(), **weights})


def _with(network: AttentionBranchNetwork, weights: Mapping[str, Tensor]) -> AttentionBranchNetwork:
    """Give a copy of a network with some of its weights replaced."""
    other = copy.deepcopy(network)
    other.load_state_dict({**other.state_dict(), **weights})
    return other


def _optimiser(learning: Iterable[nn.Module], recipe: Recipe) -> torch.optim.Optimizer:
    weights = [weight for module in learning for weight in module.parameters()]
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(
            weights, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )
    return torch.optim.SGD(
        weights, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )


@torch.inference_mode()
def _maps(network: AttentionBranchNetwork, features: Features, engine: Engine) -> Tensor:
    pieces = []
    for places in chunks(np.arange(len(features)), engine.batch_size):
        with engine.autocast():
            pieces.append(network.attention_branch(features(places)).maps.float().cpu())
    return torch.cat(pieces)


def _hits(logits: Tensor, labels: Tensor) -> int:
    return int((logits.float().argmax(1).cpu() == labels).sum())
