import numpy as np
from numpy.typing import NDArray

from abn.channels.claims import judge

LOW, HIGH = 0.1, 0.9


def _images(means: list[float], seed: int, spread: float = 0.05) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(means, spread, (200, len(means)))


def test_a_bar_holds_where_the_interventions_say_the_same() -> None:
    """High and relied on, low and not: confirmed. The other way round: refuted.

    A bar far below zero is a low one, as it is read.
    """
    weights = np.array([HIGH, HIGH, LOW, -HIGH])
    found = judge(weights, [_images([0.4, 0.0, 0.0, 0.4], seed) for seed in range(5)])
    assert found.high == [True, True, False, False]
    assert found.matters == [5, 0, 0, 5]
    assert found.matters_not == [0, 5, 5, 0]
    assert found.relied_on == ["yes", "no", "no", "yes"]
    assert found.verdicts == ["confirmed", "refuted", "confirmed", "refuted"]


def test_no_verdict_hangs_on_a_hair() -> None:
    """Between the mean channel's effect and half of it nothing is said, however sure that is."""
    effects = [_images([0.40, 0.14, 0.06], seed, spread=0.001) for seed in range(3)]  # mean 0.2
    found = judge(np.array([HIGH, HIGH, LOW]), effects)
    assert found.relied_on == ["yes", "unclear", "no"]
    assert found.verdicts == ["confirmed", "undecided", "confirmed"]


def test_chance_decides_nothing() -> None:
    """Where the channels' effects can't be told apart, every bar is undecided."""
    found = judge(np.array([HIGH, HIGH, LOW, LOW]), [_images([0.1] * 4, n) for n in range(5)])
    assert found.relied_on == ["unclear"] * 4
    assert found.verdicts == ["undecided"] * 4


def test_most_must_say_so_and_at_most_one_the_contrary() -> None:
    """Of five: four against one decide, three against two do not, nor do two alone."""
    yes, no = [0.4, 0.0, 0.1, 0.1], [0.0, 0.4, 0.1, 0.1]
    weights = np.array([HIGH, LOW, LOW, LOW])

    def verdict(*means: list[float]) -> list[str]:
        effects = [_images(some, seed) for seed, some in enumerate(means)]
        return list(judge(weights, effects).relied_on[:2])

    even = [0.1] * 4
    assert verdict(yes, yes, yes, yes, no) == ["yes", "no"]
    assert verdict(yes, yes, yes, no, even) == ["yes", "no"]
    assert verdict(yes, yes, yes, no, no) == ["unclear", "unclear"]
    assert verdict(yes, yes, even, even, even) == ["unclear", "unclear"]


def test_where_the_ablations_gain_contrast_costing_nothing_is_no_reliance() -> None:
    """Though it is more than the mean channel costs."""
    found = judge(np.array([HIGH, LOW, LOW]), [_images([0.0, -0.4, -0.4], 6)])
    assert found.relied_on == ["unclear", "no", "no"]
    assert found.verdicts == ["undecided", "confirmed", "confirmed"]


def test_false_marks_are_rare_among_many_channels() -> None:
    """With 100 channels that matter equally, at most 5 runs in 100 mark any; here of 60."""
    weights = np.linspace(LOW, HIGH, 100)
    marked = 0
    for seed in range(60):
        found = judge(weights, [_images([0.1] * 100, seed)])
        marked += found.relied_on != ["unclear"] * 100
    assert marked <= 8


def test_without_images_nothing_is_decided() -> None:
    """No edited map with an inside: no verdict, and no error."""
    found = judge(np.array([HIGH, LOW]), [np.zeros((0, 2))] * 5)
    assert found.verdicts == ["undecided", "undecided"]
