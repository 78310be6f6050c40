import copy
from functools import partial

import numpy as np
import pytest
import torch

from abn.attention.maps import coverage
from abn.data.edited import Edited
from abn.data.prepared import Prepared
from abn.errors import AbnError
from abn.model.build import Architecture, build
from abn.model.network import AttentionBranchNetwork
from abn.params import Finetune, Params
from abn.training import engine
from abn.training.engine import Engine
from abn.training.features import cached
from abn.training.refine import SCOPES, Refined, Refiner, refine
from abn.training.sets import Sets, draw_pool, load_sets
from tests.conftest import changed

NOTHING = Edited(np.zeros(0, np.int64), np.zeros((0, 12, 12), np.float32))


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


def _sets(
    network: AttentionBranchNetwork, prepared: Prepared, edits: dict[str, Edited], machine: Engine
) -> Sets:
    kept = partial(cached, network, "w", prepared, engine=machine, number_format="fp32")
    return load_sets(prepared, edits, draw_pool(prepared, 64, 1), kept)


@pytest.fixture
def sets(
    network: AttentionBranchNetwork,
    tiny_set: Prepared,
    edits: dict[str, Edited],
    machine: Engine,
) -> Sets:
    return _sets(network, tiny_set, edits, machine)


def _alone(
    params: Params, recipe: str, shared: dict[str, object] | None = None, **values: object
) -> Finetune:
    """Give the params of one recipe without any beside it, some of its values replaced."""
    some = {"recipe": recipe, "compare": [], "recipes": {recipe: values}, **(shared or {})}
    return changed(params, finetune=some).finetune


def _run(network: AttentionBranchNetwork, sets: Sets, params: Finetune, machine: Engine) -> Refined:
    return refine(network, sets, params, machine, 1)[params.recipe]


def _changed_names(refined: Refined, base: AttentionBranchNetwork) -> set[str]:
    before = base.state_dict()
    after = refined.network.state_dict()
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("recipe", ["paper", "guarded", "mitsuhara"])
def test_frozen_is_frozen(
    recipe: str,
    network: AttentionBranchNetwork,
    machine: Engine,
    sets: Sets,
    tiny_params: Params,
) -> None:
    """All outside the recipe's scope, buffers too, is bit for bit the base model's."""
    found = _run(network, sets, _alone(tiny_params, recipe), machine)
    names = _changed_names(found, network)
    scope = SCOPES[tiny_params.finetune.recipes[recipe].scope]
    assert all(name.startswith(scope) for name in names)
    for module in scope:
        assert any(name.startswith(module) for name in names)
    assert "attention_branch.conv_map.weight" in names


def test_the_base_model_stays_as_it_was(
    network: AttentionBranchNetwork, machine: Engine, sets: Sets, tiny_params: Params
) -> None:
    """Every recipe starts from it."""
    before = copy.deepcopy(network.state_dict())
    refine(network, sets, tiny_params.finetune, machine, 1)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_papers_loss_gives_the_class_head_no_gradient(
    network: AttentionBranchNetwork, machine: Engine, sets: Sets, tiny_params: Params
) -> None:
    """The guarded recipe's classification term does."""
    paper = _run(network, sets, _alone(tiny_params, "paper"), machine)
    guarded = _run(network, sets, _alone(tiny_params, "guarded"), machine)
    assert "attention_branch.class_head.weight" not in _changed_names(paper, network)
    assert "attention_branch.class_head.weight" in _changed_names(guarded, network)


def test_the_map_convolution_alone_can_learn(
    network: AttentionBranchNetwork, machine: Engine, sets: Sets, tiny_params: Params
) -> None:
    """scope: map_convolution leaves the rest of the branch as it is."""
    params = _alone(tiny_params, "paper", scope="map_convolution")
    names = _changed_names(_run(network, sets, params, machine), network)
    assert names
    assert all(".conv_map." in name or ".bn_map." in name for name in names)


def test_with_frozen_batch_norm_the_branch_keeps_its_running_statistics(
    network: AttentionBranchNetwork, machine: Engine, sets: Sets, tiny_params: Params
) -> None:
    """batch_norm: freeze."""
    params = _alone(tiny_params, "paper", batch_norm="freeze")
    names = _changed_names(_run(network, sets, params, machine), network)
    assert names
    assert not any("running" in name or "num_batches" in name for name in names)


@pytest.mark.parametrize("loss", ["mse", "l2", "logit_mse", "bce", "dice", "hinge"])
def test_the_maps_come_closer_to_the_edited_ones(
    loss: str,
    network: AttentionBranchNetwork,
    machine: Engine,
    sets: Sets,
    tiny_params: Params,
) -> None:
    """By every loss; on the edited images, and on those held out."""
    params = _alone(tiny_params, "paper", {"max_accuracy_drop": 1.0}, loss=loss, steps=60, lr=0.01)
    found = _run(network, sets, params, machine)
    first, last = found.history[0], found.history[-1]
    assert last["finetune_iou"] > first["finetune_iou"] + 0.1
    assert last["choose_iou"] > first["choose_iou"]


def test_retention_keeps_predictions_closer_to_the_base_models(
    network: AttentionBranchNetwork, machine: Engine, sets: Sets, tiny_params: Params
) -> None:
    """Than the same recipe without it, on images that it has not seen."""
    everything = np.arange(60)
    base = sets.validation.features.logits(everything).perception
    apart = []
    for weight in (0.0, 10.0):
        shared: dict[str, object] = {"max_accuracy_drop": 1.0}
        params = _alone(tiny_params, "paper", shared, retention=weight, steps=60)
        found = _run(network, sets, params, machine)
        with torch.inference_mode():
            logits = found.network.from_features(sets.validation.features(everything))
        apart.append(torch.dist(logits.perception_logits.softmax(1), base.softmax(1)).item())
    assert apart[1] < apart[0]


def test_a_teacher_is_run_first_and_draws_the_pseudo_masks(
    network: AttentionBranchNetwork, machine: Engine, sets: Sets, tiny_params: Params
) -> None:
    """They are its last epoch's maps cut at 0.5, and the recipe's result depends on them."""
    params = changed(tiny_params, finetune={"recipe": "guarded", "compare": []}).finetune
    assert params.in_order() == ["paper", "guarded"]
    found = refine(network, sets, params, machine, 1)
    assert list(found) == ["paper", "guarded"]
    slower = changed(
        tiny_params,
        finetune={"recipe": "guarded", "compare": [], "recipes": {"paper": {"steps": 3}}},
    ).finetune
    other = refine(network, sets, slower, machine, 1)["guarded"]
    assert any(
        not torch.equal(value, other.last[name]) for name, value in found["guarded"].last.items()
    )


def test_the_same_seed_gives_the_same_bits(
    network: AttentionBranchNetwork, machine: Engine, sets: Sets, tiny_params: Params
) -> None:
    """Whether the features were in the cache or not, and whatever ran before."""
    first = _run(network, sets, _alone(tiny_params, "guarded"), machine)
    torch.manual_seed(99)
    again = _run(network, sets, _alone(tiny_params, "guarded"), machine)
    assert all(torch.equal(value, again.last[name]) for name, value in first.last.items())


def test_the_front_has_epochs_and_interpolated_weights(
    network: AttentionBranchNetwork, machine: Engine, sets: Sets, tiny_params: Params
) -> None:
    """The base model first, then every evaluated epoch, then the points between."""
    shared: dict[str, object] = {"interpolation": [0.25, 0.5], "evaluate_every": 6}
    params = _alone(tiny_params, "paper", shared, steps=12)
    found = _run(network, sets, params, machine)
    points = [(row["epoch"], row["interpolation"]) for row in found.history]
    assert points == [(0, 1.0), (2, 1.0), (4, 1.0), (4, 0.25), (4, 0.5)]  # 3 steps an epoch
    assert found.kept in found.history[1:]


def test_where_no_point_keeps_the_accuracy_the_closest_is_kept_and_said(
    network: AttentionBranchNetwork, machine: Engine, sets: Sets, tiny_params: Params
) -> None:
    """The stage says so rather than passing the result off as within bounds."""
    # Labels that the untouched network alone gets right: any change of a prediction is a loss.
    right = sets.validation.features.logits(np.arange(60)).perception.argmax(1)
    sets = Sets(sets.finetune, sets.choose, sets.unedited, sets.validation._replace(labels=right))
    shared: dict[str, object] = {"max_accuracy_drop": 0.0, "interpolation": []}
    params = _alone(tiny_params, "paper", shared, steps=18, lr=2.0)
    found = _run(network, sets, params, machine)
    highest = max(row["val_accuracy"] for row in found.history[1:])
    assert highest < 1.0
    assert not found.qualified
    assert found.kept["val_accuracy"] == highest


def test_without_masks_held_out_edits_decide(
    network: AttentionBranchNetwork,
    machine: Engine,
    edits: dict[str, Edited],
    tiny_params: Params,
    tiny_set: Prepared,
) -> None:
    """The usual case: nobody has masks for the validation split."""
    unmasked = Prepared(**(vars(tiny_set) | {"masks": None}))
    sets = _sets(network, unmasked, edits, machine)
    found = _run(network, sets, _alone(tiny_params, "paper", {"max_accuracy_drop": 1.0}), machine)
    assert "val_iou" not in found.history[0]
    assert found.kept["choose_iou"] == max(row["choose_iou"] for row in found.history[1:])


def test_without_masks_and_without_held_out_edits_there_is_nothing_to_choose_by(
    network: AttentionBranchNetwork,
    machine: Engine,
    edits: dict[str, Edited],
    tiny_set: Prepared,
) -> None:
    """The message names the parameter."""
    unmasked = Prepared(**(vars(tiny_set) | {"masks": None}))
    with pytest.raises(AbnError, match=r"selection\.holdout"):
        _sets(network, unmasked, edits | {"choose": NOTHING}, machine)


def test_with_masks_nothing_need_be_held_out(
    network: AttentionBranchNetwork,
    machine: Engine,
    edits: dict[str, Edited],
    tiny_params: Params,
    tiny_set: Prepared,
) -> None:
    """selection.holdout: 0."""
    sets = _sets(network, tiny_set, edits | {"choose": NOTHING, "report": NOTHING}, machine)
    found = _run(network, sets, _alone(tiny_params, "paper"), machine)
    assert "choose_iou" not in found.history[0]


def test_where_every_image_is_edited_a_recipe_that_needs_others_says_so(
    network: AttentionBranchNetwork,
    machine: Engine,
    tiny_params: Params,
    tiny_set: Prepared,
) -> None:
    """And the paper's recipe runs."""
    assert tiny_set.masks is not None
    train = tiny_set.rows("train")
    everything = Edited(train, coverage(tiny_set.masks, train, (12, 12)).numpy())
    edits = {"finetune": everything, "choose": NOTHING, "report": NOTHING}
    sets = _sets(network, tiny_set, edits, machine)
    with pytest.raises(AbnError, match=r"finetune\.recipe: paper"):
        Refiner(network, sets, tiny_params.finetune.recipes["guarded"], machine, 1)
    Refiner(network, sets, tiny_params.finetune.recipes["paper"], machine, 1)


def test_a_loss_that_is_not_finite_stops_the_stage(
    network: AttentionBranchNetwork, machine: Engine, sets: Sets, tiny_params: Params
) -> None:
    """Naming the rate to lower."""
    params = _alone(tiny_params, "paper", lr=1e30, optimiser="sgd")
    with pytest.raises(AbnError, match=r"not finite; lower the recipe's lr \(1e\+30\)"):
        _run(network, sets, params, machine)


def test_unedited_images_are_never_edited_ones(
    sets: Sets, edits: dict[str, Edited], tiny_set: Prepared
) -> None:
    """Held-out edits neither; and the pool is the same whatever was edited."""
    pool = draw_pool(tiny_set, 64, 1)
    taken = np.concatenate([some.rows for some in edits.values()])
    assert len(sets.unedited.features) == len(np.setdiff1d(pool, taken)) < 64
    assert set(pool) <= set(tiny_set.rows("train"))
