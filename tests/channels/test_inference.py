import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from abn.channels.inference import Bootstrap, agreement, estimate, holm, p_values, spearman

PROBABILITIES = arrays(np.float64, st.integers(1, 8), elements=st.floats(0, 1))


@given(PROBABILITIES)
def test_holm_is_its_definition(p: np.ndarray) -> None:
    """The i-th smallest times the number of those not smaller, never less than the one before."""
    worst = 0.0
    for step, place in enumerate(np.argsort(p, kind="stable")):
        worst = min(1.0, max(worst, p[place] * (len(p) - step)))
        assert holm(p)[place] == pytest.approx(worst)


@given(arrays(np.float64, (4, 6), elements=st.integers(0, 5)))
@settings(max_examples=30)
def test_spearman_is_scipys(values: np.ndarray) -> None:
    """With ties; where one side is constant there is none."""
    for row, found in zip(values[1:], spearman(values[0], values[1:]), strict=True):
        if np.ptp(row) == 0 or np.ptp(values[0]) == 0:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(stats.spearmanr(values[0], row).statistic)


def test_p_values_are_students() -> None:
    """Against scipy's; no spread is either certain or nothing; one image tells nothing."""
    values = np.random.default_rng(1).normal(0.2, 1, (30, 5))
    assert p_values(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    still = np.array([[0.0, 0.5], [0.0, 0.5], [0.0, 0.5]])
    assert p_values(still).tolist() == [1, 0]
    assert p_values(values[:1]).tolist() == [1] * 5


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """95 of 100, on 60 images; 400 tries."""
    draws = np.random.default_rng(2).uniform(0, 2, (60, 400))
    found = estimate(draws, Bootstrap(400, 1))
    hits = ((found.low <= 1) & (found.high >= 1)).mean()
    assert 0.91 < hits < 0.98


def test_the_same_seed_draws_the_same_resamples() -> None:
    """And another seed others."""
    values = np.random.default_rng(3).normal(size=(50, 4))
    first, again, other = (Bootstrap(100, seed).means(values) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_agreement_of_what_agrees_and_of_noise() -> None:
    """Effects in the order of the weights agree wholly; effects of noise can't be told from 0."""
    generator = np.random.default_rng(4)
    weights = np.arange(10.0)
    noise = generator.normal(size=(200, 10))
    sure = agreement(weights, weights + 0.1 * noise, Bootstrap(300, 1))
    assert sure is not None
    assert (sure.value, sure.low) == (1, 1)
    unsure = agreement(weights, noise, Bootstrap(300, 1))
    assert unsure is not None
    assert unsure.low < 0 < unsure.high
    assert agreement(weights, np.ones((20, 10)), Bootstrap(300, 1)) is None
    assert agreement(weights, noise[:1], Bootstrap(300, 1)) is None
