"""From two models to what is said of their channels, where the truth is known."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from abn.channels import claims, findings
from abn.channels.contributions import Decomposition, Observed, contribute
from abn.channels.effects import Effects, measure
from abn.channels.held_out import HeldOut
from abn.channels.inference import Bootstrap
from abn.model.network import PerceptionBranch
from abn.params import Params
from abn.training.engine import Engine

IMAGES, GRID, CHANNELS = 60, 8, 4
NAMES = ["carries", "steady", "faint", "noise"]
WEIGHTS = torch.tensor([1.0, 1.2, 0.1, 0.2])


class _Sees(torch.nn.Module):
    """A perception branch that is right where the map is sharp."""

    def forward(self, _: Tensor, maps: Tensor) -> Tensor:
        """Give two classes' logits, N×2."""
        right = (maps.std((1, 2)) > 0.43).float()
        return torch.stack([1 - right, right], 1)


@pytest.fixture
def inside() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    corners = torch.randint(0, GRID - 4, (IMAGES, 2), generator=generator)
    masks = torch.zeros(IMAGES, GRID, GRID, dtype=torch.bool)
    for mask, (y, x) in zip(masks, corners, strict=True):
        mask[y : y + 5, x : x + 5] = True
    return masks


def _observed(evidence: Tensor, bias: float) -> Observed:
    folded = WEIGHTS.view(1, CHANNELS, 1, 1)
    return Observed(
        torch.zeros(IMAGES, 1, GRID, GRID), evidence, torch.zeros(IMAGES, 1), folded,
        Decomposition(contribute(evidence, folded), torch.tensor(bias)),
    )  # fmt: skip


@pytest.fixture
def effects(inside: Tensor, machine: Engine, tiny_params: Params) -> Effects:
    """The refined model's object lies in the first channel; the second is the same everywhere."""
    noise = torch.rand(IMAGES, CHANNELS, GRID, GRID, generator=torch.Generator().manual_seed(4))
    base = 0.1 * noise
    base[:, 1] = 1.0
    refined = base.clone()
    refined[:, 0] += 6.0 * inside
    images = HeldOut(
        np.arange(IMAGES), np.ones(IMAGES, np.int64), np.arange(IMAGES), inside, "masks"
    )
    perception: PerceptionBranch = _Sees()  # type: ignore[assignment]
    observed = (_observed(base, -4.2), _observed(refined, -4.2))
    return measure(observed, perception, images, tiny_params.channels, 1, machine)


@pytest.fixture
def read(effects: Effects) -> claims.Claims:
    weights = WEIGHTS.double().numpy()
    return claims.judge(weights, findings.on_alignment(effects))


def test_the_channel_that_carries_the_object_is_confirmed_and_the_steady_one_refuted(
    effects: Effects, read: claims.Claims
) -> None:
    """Both have high weights; only one of them does anything."""
    assert read.verdicts == ["confirmed", "refuted", "confirmed", "confirmed"]
    assert read.high == [True, True, False, False]
    columns = findings.columns(effects, read, Bootstrap(200, 1))
    assert columns["verdict"] == read.verdicts
    assert columns["sufficiency_contrast"][0] == pytest.approx(1, abs=0.01)
    assert columns["sufficiency_iou"][0] == pytest.approx(1, abs=0.01)
    assert columns["shapley"][0] == pytest.approx(effects.gain.contrast.mean(), rel=0.02)
    assert columns["necessity_accuracy"][0] > 0.2
    assert columns["necessity_contrast_p"][0] < 1e-6
    assert columns["necessity_contrast"][1] == pytest.approx(0, abs=1e-6)
    assert columns["change_by_activation"][0] == pytest.approx(6, abs=0.01)
    assert columns["change_by_weight"] == [0, 0, 0, 0]


def test_intervals_lie_around_their_effects(effects: Effects, read: claims.Claims) -> None:
    """And every column has a value a channel."""
    columns = findings.columns(effects, read, Bootstrap(200, 1))
    for name in findings.by_image(effects):
        low, effect, high = (np.array(columns[name + end]) for end in ("_low", "", "_high"))
        assert (low <= effect + 1e-9).all()
        assert (effect <= high + 1e-9).all()
    assert {len(values) for values in columns.values()} == {CHANNELS}


def test_where_nothing_was_gained_there_is_no_share_of_it(
    effects: Effects, read: claims.Claims
) -> None:
    """The no-op control: a share of a gain that is none would be noise over noise."""
    none = np.random.default_rng(1).normal(0, 0.01, IMAGES)
    idle = effects._replace(gain=effects.gain._replace(contrast=none - none.mean()))
    columns = findings.columns(idle, read, Bootstrap(200, 1))
    assert columns["sufficiency_contrast"] == [None] * CHANNELS
    assert columns["sufficiency_iou"][0] is not None


def test_metrics_name_the_clearest_and_are_finite(effects: Effects, read: claims.Claims) -> None:
    """Agreement, gain, causes, verdicts: what goes to DVC and MLflow."""
    bars = {"weight": WEIGHTS.double().numpy(), "change": np.zeros(CHANNELS)}
    summary = findings.summary(effects, read, bars, NAMES, Bootstrap(200, 1))
    assert summary["verdicts"] == {"confirmed": 3, "refuted": 1, "undecided": 0}
    assert summary["largest"] == {"confirmed": "carries", "refuted": "steady"}
    assert summary["change"]["activation"] > 5
    assert summary["agreement"]["change"] == dict.fromkeys(findings.by_image(effects))
    agreed = summary["agreement"]["weight"]["necessity_contrast"]
    assert -1 <= agreed["low"] <= agreed["value"] <= agreed["high"] <= 1
    json.dumps(summary, allow_nan=False)
    total = sum(columns_mean for columns_mean in effects.shapley.channels.mean(0))
    assert math.isclose(total + summary["shapley_bias"], summary["gain"]["contrast"], abs_tol=1e-5)


def test_no_image_with_an_inside_is_no_error(
    effects: Effects, machine: Engine, tiny_params: Params, inside: Tensor
) -> None:
    """All edited maps held out are empty: accuracy is measured, alignment is not."""
    observed = (_observed(torch.rand(IMAGES, CHANNELS, GRID, GRID), 0.0),) * 2
    nothing = np.zeros(0, np.int64)
    images = HeldOut(np.arange(IMAGES), np.ones(IMAGES, np.int64), nothing, inside[:0], "edits")
    perception: PerceptionBranch = _Sees()  # type: ignore[assignment]
    found = measure(observed, perception, images, tiny_params.channels, 1, machine)
    judged = claims.judge(np.ones(CHANNELS), findings.on_alignment(found))
    columns = findings.columns(found, judged, Bootstrap(50, 1))
    assert columns["necessity_contrast"] == [None] * CHANNELS
    assert columns["verdict"] == ["undecided"] * CHANNELS
    summary = findings.summary(found, judged, {"weight": np.ones(CHANNELS)}, NAMES, Bootstrap(9, 1))
    assert summary["gain"] == {"contrast": None, "iou": None}
