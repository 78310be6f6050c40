import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from abn.attention import metrics
from abn.channels.contributions import Decomposition
from abn.channels.shapley import MOST_EXACT, Worth, contrast_game, exact, sampled, shares

Coalitions = NDArray[np.bool_]
PLAYERS, IMAGES = 5, 3


def _game(seed: int) -> Worth:
    """A game of random worths: nothing adds up in it."""
    table = np.random.default_rng(seed).normal(size=(2**PLAYERS, IMAGES))

    def worth(coalitions: Coalitions) -> NDArray[np.float64]:
        found: NDArray[np.float64] = table[coalitions @ (1 << np.arange(PLAYERS))]
        return found

    return worth


def _literal(worth: Worth, players: int) -> NDArray[np.float64]:
    """Shapley's definition: what a player adds, averaged over all orders of joining."""
    total = np.zeros((IMAGES, players))
    for order in itertools.permutations(range(players)):
        joined = np.zeros(players, bool)
        for player in order:
            before = worth(joined[None])[0]
            joined[player] = True
            total[:, player] += worth(joined[None])[0] - before
    return total / math.factorial(players)


def _parts(
    channels: int, seed: int, images: int = IMAGES
) -> tuple[Decomposition, Decomposition, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inside = torch.zeros(images, 6, 6, dtype=torch.bool)
    inside[:, 1:4, 2:5] = True
    base, refined = (
        Decomposition(
            torch.randn(images, channels, 6, 6, generator=generator) + strength * inside[:, None],
            torch.randn((), generator=generator),
        )
        for strength in (0.0, 3 / channels)
    )
    return base, refined, inside


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_exact_values_are_those_of_the_definition(seed: int) -> None:
    """The average over all orders, taken literally."""
    worth = _game(seed)
    assert exact(worth, PLAYERS) == pytest.approx(_literal(worth, PLAYERS))


@given(st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_values_add_up_to_the_gain(seed: int) -> None:
    """Efficiency, image by image, exact and sampled."""
    worth = _game(seed)
    gain = (worth(np.ones((1, PLAYERS), bool)) - worth(np.zeros((1, PLAYERS), bool)))[0]
    assert exact(worth, PLAYERS).sum(1) == pytest.approx(gain)
    assert sampled(worth, PLAYERS, 3, seed).sum(1) == pytest.approx(gain)


def test_equal_players_get_equal_values() -> None:
    """Symmetry: two channels that do the same get the same."""
    base, refined, inside = _parts(6, 1)
    base.contributions[:, 4] = base.contributions[:, 1]
    refined.contributions[:, 4] = refined.contributions[:, 1]
    channels, _ = shares(base, refined, inside, 1, 1)
    assert channels[:, 4] == pytest.approx(channels[:, 1], abs=1e-6)
    assert channels[:, 4] != pytest.approx(channels[:, 2], abs=1e-3)


@pytest.mark.parametrize("channels", [6, MOST_EXACT + 3])
def test_a_channel_that_did_not_change_gets_nothing(channels: int) -> None:
    """Dummy, exact and sampled."""
    base, refined, inside = _parts(channels, 2)
    refined.contributions[:, 3] = base.contributions[:, 3]
    found, _ = shares(base, refined, inside, 4, 1)
    assert found[:, 3] == pytest.approx(0, abs=1e-6)
    assert abs(found[:, 2]).max() > 1e-3


@pytest.mark.parametrize("channels", [3, MOST_EXACT + 3])
def test_shares_add_up_to_the_contrast_gained(channels: int) -> None:
    """Channels and bias together, measured by the metric that is reported everywhere."""
    base, refined, inside = _parts(channels, 3)
    of_channels, of_bias = shares(base, refined, inside, 4, 1)
    start, end = (metrics.contrast(one.logits.sigmoid(), inside.float()) for one in (base, refined))
    assert of_channels.sum(1) + of_bias == pytest.approx((end - start).numpy(), abs=1e-5)


def test_the_game_is_played_with_the_patched_map() -> None:
    """Members contribute what they do in the refined model, the others as in the base model."""
    base, refined, inside = _parts(3, 4)
    patched = base.contributions.clone()
    patched[:, 1] = refined.contributions[:, 1]
    logits = patched.sum(1) + refined.bias
    expected = metrics.contrast(logits.sigmoid(), inside.float()).numpy()
    worth = contrast_game(base, refined, inside)
    assert worth(np.array([[False, True, False, True]]))[0] == pytest.approx(expected, abs=1e-6)


def test_sampled_values_are_near_the_exact_ones() -> None:
    """As far off as its chance lets it be, and less with more orders; the same for a seed."""
    base, refined, inside = _parts(8, 5, images=20)
    worth = contrast_game(base, refined, inside)
    truth = exact(worth, 9)
    off = {
        pairs: np.abs(sampled(worth, 9, pairs, 7) - truth).mean() / np.abs(truth).mean()
        for pairs in (2, 128)
    }
    assert off[128] < 0.03
    assert off[128] < off[2] / 3
    assert (sampled(worth, 9, 2, 7) == sampled(worth, 9, 2, 7)).all()
    assert (sampled(worth, 9, 2, 8) != sampled(worth, 9, 2, 7)).any()


def test_no_image_is_no_error() -> None:
    """Where no edited map has an inside, there are no values."""
    base, refined, inside = _parts(3, 6, images=0)
    assert shares(base, refined, inside, 1, 1).channels.shape == (0, 3)
