import numpy as np
import pytest
from scipy.stats import ttest_rel

from abn.report.statistics import (
    accuracy_change,
    calibration_error,
    confusion,
    mean_change,
    overlaps,
    reliability,
    squared_errors,
)


def test_the_interval_of_a_mean_change_is_the_paired_t_tests() -> None:
    """The interval of a mean change is the one of scipy's paired t-test."""
    rng = np.random.default_rng(1)
    before, after = rng.random(30), rng.random(30) + 0.2
    found = mean_change(before, after)
    wanted = ttest_rel(after, before).confidence_interval(0.95)
    assert found is not None
    assert found == pytest.approx(((after - before).mean(), wanted.low, wanted.high))


def test_pairs_with_nan_count_for_nothing() -> None:
    """A pair of which one value is NaN changes nothing."""
    before, after = np.array([0.1, 0.2, np.nan, 0.3]), np.array([0.2, 0.4, 0.9, 0.4])
    assert mean_change(before, after) == mean_change(before[[0, 1, 3]], after[[0, 1, 3]])


def test_one_pair_has_no_interval() -> None:
    """Fewer than two pairs give no interval rather than a wrong one."""
    assert mean_change([0.1], [0.5]) is None
    assert mean_change([], []) is None
    assert accuracy_change([], []) is None


def test_the_accuracy_change_is_the_difference_of_the_accuracies() -> None:
    """The change is the difference of the two accuracies, and lies in its interval."""
    rng = np.random.default_rng(2)
    was, now = rng.random(500) < 0.8, rng.random(500) < 0.7
    found = accuracy_change(was, now)
    assert found is not None
    assert found.value == pytest.approx(now.mean() - was.mean())
    assert found.low < found.value < found.high


def test_two_models_that_agree_on_all_images_still_have_an_interval() -> None:
    """Agreement on twenty images doesn't prove that accuracies are equal."""
    found = accuracy_change([True] * 20, [True] * 20)
    assert found is not None
    assert found.value == 0
    assert found.low < -0.05
    assert found.high > 0.05


def test_the_accuracy_interval_holds_the_truth_in_95_of_100_samples() -> None:
    """Over 2,000 samples of 60 images the interval holds the true change as often as it says."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(2000):
        was = rng.random(60) < 0.9
        now = np.where(rng.random(60) < 0.06, ~was, was)
        found = accuracy_change(was, now)
        assert found is not None
        held += found.low <= -0.06 * 0.8 <= found.high
    assert held / 2000 > 0.94


def test_calibration_error_is_what_its_definition_says() -> None:
    """The error equals a literal sum over bins (n_b / n) · |accuracy − confidence|."""
    rng = np.random.default_rng(4)
    confidence, correct = rng.random(400), rng.random(400) < 0.6
    wanted = 0.0
    for bin_ in range(15):
        low, high = bin_ / 15, (bin_ + 1) / 15
        inside = [i for i in range(400) if low < confidence[i] <= high]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            wanted += len(inside) / 400 * abs(accuracy - mean)
    assert calibration_error(reliability(confidence, correct)) == pytest.approx(wanted)


def test_confidences_at_the_ends_fall_into_the_outer_bins() -> None:
    """A confidence of 0 or 1 is counted."""
    bins = reliability([0.0, 1.0], [False, True])
    assert [one.images for one in bins] == [1, 1]
    assert calibration_error(bins) == 0


def test_confusion_counts_class_by_prediction() -> None:
    """Rows are classes, columns predictions, of classes without images too."""
    assert confusion([0, 0, 2], [0, 2, 2], 3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]


def test_overlap_and_error_are_those_of_each_image() -> None:
    """IoU of the maps cut at 0.5 and mean squared error, image by image; empty targets are NaN."""
    maps = np.array([[[0.6, 0.6], [0.0, 0.0]], [[0.9, 0.0], [0.0, 0.0]]], np.float16)
    targets = np.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]], np.float32)
    found = overlaps(maps, targets)
    assert found[0] == pytest.approx(1 / 3)
    assert np.isnan(found[1])
    wanted = [(0.4**2 + 0.6**2 + 1) / 4, 0.9**2 / 4]
    assert squared_errors(maps, targets) == pytest.approx(wanted, rel=1e-3)
