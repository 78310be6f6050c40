import torch

from abn.training.front import Front, alignment_of, interpolated, table

BASE = {"epoch": 0, "interpolation": 1.0, "val_accuracy": 0.90, "val_iou": 0.99}


def _front(*points: tuple[float, float], drop: float = 0.01) -> Front:
    front = Front(drop)
    front.add(BASE, {})
    for epoch, (accuracy, iou) in enumerate(points, start=1):
        row = {"epoch": epoch, "interpolation": 1.0, "val_accuracy": accuracy, "val_iou": iou}
        front.add(row, {"w": torch.tensor(float(epoch))})
    return front


def test_the_best_aligned_point_within_the_drop_is_chosen() -> None:
    """With its own weights; the base model, which needs no fine-tuning, never is."""
    row, weights, qualified = _front((0.895, 0.6), (0.891, 0.7), (0.88, 0.9)).choose()
    assert (row["epoch"], weights["w"].item(), qualified) == (2, 2.0, True)


def test_where_none_is_within_it_the_most_accurate_is_chosen() -> None:
    """Of equals the better aligned, and it says that the bound was missed."""
    row, _, qualified = _front((0.7, 0.9), (0.8, 0.5), (0.8, 0.6)).choose()
    assert (row["epoch"], qualified) == (3, False)


def test_alignment_is_with_masks_where_there_are_any() -> None:
    """Else with edited maps held out: their IoU, or where none is above 0.5 their distance."""
    assert alignment_of({"val_iou": 0.3, "choose_iou": 0.4, "choose_mse": 0.1}) == 0.3
    assert alignment_of({"choose_iou": 0.4, "choose_mse": 0.1}) == 0.4
    assert alignment_of({"choose_mse": 0.1}) == -0.1


def test_interpolation_goes_from_base_to_refined() -> None:
    """Weights and running statistics along the line; counters are taken over."""
    base = {"w": torch.tensor([0.0, 4.0]), "n": torch.tensor(3)}
    refined = {"w": torch.tensor([1.0, 0.0]), "n": torch.tensor(9)}
    between = interpolated(base, refined, 0.25)
    assert between["w"].tolist() == [0.25, 3.0]
    assert between["n"].item() == 9


def test_the_table_marks_one_point_of_each_recipe() -> None:
    """A row a point, in the order of the recipes."""
    one, other = _front((0.9, 0.5)), _front((0.9, 0.5), (0.9, 0.6))
    fronts = {"paper": (one.rows, one.choose()[0]), "guarded": (other.rows, other.choose()[0])}
    rows = list(table(fronts))
    marked = [(row["recipe"], row["epoch"]) for row in rows if row["chosen"]]
    assert marked == [("paper", 1), ("guarded", 2)]
    assert [row["recipe"] for row in rows] == ["paper"] * 2 + ["guarded"] * 3
