import numpy as np
from numpy.typing import NDArray

from abn.channels.claims import judge

LOW, HIGH = 0.1, 0.9


def _images(means: list[float], seed: int, spread: float = 0.05) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(means, spread, (200, len(means)))


def test_a_bar_holds_where_the_ablation_says_the_same() -> None:
    """High and relied on, low and not: confirmed. The other way round: refuted.

    A bar far below zero is a low one, as it is read.
    """
    weights = np.array([HIGH, HIGH, LOW, -HIGH])
    necessity = _images([0.4, 0.0, 0.0, 0.4], 1)
    found = judge(weights, necessity, necessity)
    assert found.high == [True, True, False, False]
    assert found.relied_on == ["yes", "no", "no", "yes"]
    assert found.verdicts == ["confirmed", "refuted", "confirmed", "refuted"]


def test_no_verdict_hangs_on_a_hair() -> None:
    """Between the mean channel's cost and half of it nothing is said, however sure that is."""
    necessity = _images([0.40, 0.14, 0.06], 7, spread=0.001)  # the mean: 0.2
    found = judge(np.array([HIGH, HIGH, LOW]), necessity, necessity)
    assert found.relied_on == ["yes", "unclear", "no"]
    assert found.verdicts == ["confirmed", "undecided", "confirmed"]


def test_chance_decides_nothing() -> None:
    """Where the ablations can't be told from the mean channel's, every bar is undecided."""
    found = judge(np.array([HIGH, HIGH, LOW, LOW]), _images([0.1] * 4, 2), _images([0.1] * 4, 3))
    assert found.relied_on == ["unclear"] * 4
    assert found.verdicts == ["undecided"] * 4


def test_interventions_that_contradict_each_other_decide_nothing() -> None:
    """Its ablation costs much, and it had less than its share in the gain, beyond chance."""
    weights = np.array([HIGH, LOW, LOW])
    found = judge(weights, _images([0.4, 0.0, 0.0], 4), _images([0.0, 0.3, 0.1], 5))
    assert found.relied_on == ["yes", "no", "no"]
    assert found.verdicts == ["undecided", "undecided", "confirmed"]


def test_where_the_ablations_gain_contrast_costing_nothing_is_no_reliance() -> None:
    """Though it is more than the mean channel costs."""
    necessity = _images([0.0, -0.4, -0.4], 6)
    found = judge(np.array([HIGH, LOW, LOW]), necessity, np.zeros((200, 3)))
    assert found.relied_on == ["unclear", "no", "no"]
    assert found.verdicts == ["undecided", "confirmed", "confirmed"]


def test_false_marks_are_rare_among_many_channels() -> None:
    """With 100 channels that matter equally, at most 5 runs in 100 mark any; here of 60."""
    weights = np.linspace(LOW, HIGH, 100)
    marked = 0
    for seed in range(60):
        effects = _images([0.1] * 100, seed)
        found = judge(weights, effects, np.zeros((200, 100)))
        marked += found.relied_on != ["unclear"] * 100
    assert marked <= 8


def test_without_images_nothing_is_decided() -> None:
    """No edited map with an inside: no verdict, and no error."""
    found = judge(np.array([HIGH, LOW]), np.zeros((0, 2)), np.zeros((0, 2)))
    assert found.verdicts == ["undecided", "undecided"]
