import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from abn.attention.maps import coverage
from abn.data.edited import Edited
from abn.data.prepared import Prepared
from abn.errors import AbnError
from abn.model.build import Architecture, build
from abn.model.network import AttentionBranchNetwork
from abn.params import Params
from abn.training import engine
from abn.training.engine import Engine
from abn.training.refine import refine
from abn.training.sets import load_sets
from tests.conftest import changed


@pytest.fixture(autouse=True)
def scratch(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.fixture
def machine(tiny_params: Params) -> Engine:
    return engine.start(tiny_params.runtime, 1)


@pytest.fixture
def network(machine: Engine) -> AttentionBranchNetwork:
    torch.manual_seed(0)
    return build(Architecture("resnet8", 1, 10, 1)).eval()


@pytest.fixture
def edits(tiny_set: Prepared) -> dict[str, Edited]:
    assert tiny_set.masks is not None
    places = {"finetune": range(24), "choose": range(24, 30), "report": range(30, 36)}
    return {
        role: Edited(rows, coverage(tiny_set.masks, rows, (12, 12)).numpy())
        for role, rows in ((role, np.array(at)) for role, at in places.items())
    }


def _state(network: AttentionBranchNetwork) -> dict[str, Tensor]:
    return copy.deepcopy(network.state_dict())


def test_frozen_is_frozen(
    network: AttentionBranchNetwork,
    machine: Engine,
    edits: dict[str, Edited],
    tiny_params: Params,
    tiny_set: Prepared,
) -> None:
    """All outside the attention branch, buffers too, is bit for bit as it was; the map moves."""
    before = _state(network)
    sets = load_sets(network, "w", tiny_set, edits, machine, "fp32")
    refine(network, sets, tiny_params.finetune, machine, 1)
    changed_names = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed_names
    assert all(name.startswith("attention_branch.") for name in changed_names)
    assert "attention_branch.conv_map.weight" in changed_names
    # MSE to the map gives the class head no gradient.
    assert "attention_branch.class_head.weight" not in changed_names


def test_with_frozen_batch_norm_the_branch_keeps_its_running_statistics(
    network: AttentionBranchNetwork,
    machine: Engine,
    edits: dict[str, Edited],
    tiny_params: Params,
    tiny_set: Prepared,
) -> None:
    """finetune.batch_norm: freeze."""
    before = _state(network)
    sets = load_sets(network, "w", tiny_set, edits, machine, "fp32")
    params = changed(tiny_params, finetune={"batch_norm": "freeze"}).finetune
    refine(network, sets, params, machine, 1)
    statistics = {k for k in before if "running" in k or "num_batches" in k}
    assert all(torch.equal(network.state_dict()[k], before[k]) for k in statistics)


def test_the_maps_come_closer_to_the_edited_ones(
    network: AttentionBranchNetwork,
    machine: Engine,
    edits: dict[str, Edited],
    tiny_params: Params,
    tiny_set: Prepared,
) -> None:
    """On the edited images, and on those held out."""
    sets = load_sets(network, "w", tiny_set, edits, machine, "fp32")
    recipe = {"epochs": 20, "max_accuracy_drop": 1.0}
    found = refine(network, sets, changed(tiny_params, finetune=recipe).finetune, machine, 1)
    first, last = found.history[0], found.history[-1]
    assert last["finetune_mse"] < 0.7 * first["finetune_mse"]
    assert last["choose_mse"] < first["choose_mse"]


def test_cached_features_give_what_the_extractor_gives(
    network: AttentionBranchNetwork,
    machine: Engine,
    edits: dict[str, Edited],
    tiny_params: Params,
    tiny_set: Prepared,
) -> None:
    """The cache changes the speed and nothing else; a second use computes nothing."""
    results = []
    for _ in range(2):
        other = copy.deepcopy(network)
        sets = load_sets(other, "w", tiny_set, edits, machine, "fp32")
        refine(other, sets, tiny_params.finetune, machine, 1)
        results.append(other.state_dict())
    assert all(torch.equal(v, results[1][k]) for k, v in results[0].items())


def test_the_epoch_with_the_best_alignment_within_the_allowed_drop_is_chosen(
    network: AttentionBranchNetwork,
    machine: Engine,
    edits: dict[str, Edited],
    tiny_params: Params,
    tiny_set: Prepared,
) -> None:
    """And its weights are those that the network is left with."""
    sets = load_sets(network, "w", tiny_set, edits, machine, "fp32")
    recipe = {"epochs": 8, "max_accuracy_drop": 0.05}
    found = refine(network, sets, changed(tiny_params, finetune=recipe).finetune, machine, 1)
    base = found.history[0]["val_accuracy"]
    allowed = [r for r in found.history[1:] if r["val_accuracy"] >= base - 0.05]
    assert found.qualified == bool(allowed)
    if allowed:
        assert found.epoch == max(allowed, key=lambda r: r["val_iou"])["epoch"]


def test_where_no_epoch_keeps_the_accuracy_the_closest_is_kept_and_said(
    network: AttentionBranchNetwork,
    machine: Engine,
    edits: dict[str, Edited],
    tiny_params: Params,
    tiny_set: Prepared,
) -> None:
    """The stage says so rather than passing the result off as within bounds."""
    sets = load_sets(network, "w", tiny_set, edits, machine, "fp32")
    # Labels that the untouched network alone gets right: any change of a prediction is a loss.
    with torch.inference_mode():
        logits = network.from_features(sets.validation.features(np.arange(60))).perception_logits
    sets = sets.__class__(
        sets.finetune, sets.choose, sets.validation._replace(labels=logits.argmax(1).numpy())
    )
    recipe = {"epochs": 6, "lr": 2.0, "max_accuracy_drop": 0.0}
    found = refine(network, sets, changed(tiny_params, finetune=recipe).finetune, machine, 1)
    highest = max(row["val_accuracy"] for row in found.history[1:])
    assert highest < 1.0
    assert not found.qualified
    chosen = next(row for row in found.history if row["epoch"] == found.epoch)
    assert chosen["val_accuracy"] == highest


def test_without_masks_held_out_edits_decide(
    network: AttentionBranchNetwork,
    machine: Engine,
    edits: dict[str, Edited],
    tiny_params: Params,
    tiny_set: Prepared,
) -> None:
    """The usual case: nobody has masks for the validation split."""
    unmasked = Prepared(**(vars(tiny_set) | {"masks": None}))
    sets = load_sets(network, "w", unmasked, edits, machine, "fp32")
    params = changed(tiny_params, finetune={"max_accuracy_drop": 1.0}).finetune
    found = refine(network, sets, params, machine, 1)
    assert "val_iou" not in found.history[0]
    assert found.epoch == max(found.history[1:], key=lambda r: r["choose_iou"])["epoch"]


def test_without_masks_and_without_held_out_edits_there_is_nothing_to_choose_by(
    network: AttentionBranchNetwork,
    machine: Engine,
    edits: dict[str, Edited],
    tiny_set: Prepared,
) -> None:
    """The message names the parameter."""
    unmasked = Prepared(**(vars(tiny_set) | {"masks": None}))
    nothing = Edited(np.zeros(0, np.int64), np.zeros((0, 12, 12), np.float32))
    with pytest.raises(AbnError, match=r"selection\.holdout"):
        load_sets(network, "w", unmasked, edits | {"choose": nothing}, machine, "fp32")
