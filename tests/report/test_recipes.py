import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abn import paths
from abn.report import evidence, recipes
from abn.report.evidence import Evidence
from abn.report.figures import Front, Point
from tests.report.artefacts import Recipe
from tests.report.conftest import Read

SHARES = st.integers(0, 8).map(lambda eighths: eighths / 8)


def _again(read: Read, change: Callable[[dict[str, Any]], None], recipe: Recipe) -> Evidence:
    """Read the artefacts anew after a change of the fine-tuning's metrics."""
    params = read(recipe).params
    path = paths.metrics_file("finetune_attention")
    metrics = json.loads(path.read_text())
    change(metrics)
    path.write_text(json.dumps(metrics))
    return evidence.read(params)


def test_every_recipe_that_was_run_has_its_column_the_one_kept_last(read: Read) -> None:
    """Each value is the one that the fine-tuning wrote, and the drop is before − after."""
    found = recipes.read(read(Recipe(recipes=("paper", "other", "guarded"))))
    assert list(found.after) == ["other", "paper", "guarded"]
    assert found.kept == "guarded"
    of_test = {row.metric: row for row in recipes.rows(found)["test"]}
    assert list(of_test) == list(recipes.COMPARED)
    for place, name in enumerate(found.after):
        assert of_test["iou"].after[place] == found.after[name]["test"]["iou"]
        lost = found.before["test"]["accuracy"] - found.after[name]["test"]["accuracy"]
        assert of_test["accuracy_drop"].after[place] == pytest.approx(lost)


@pytest.mark.parametrize("names", [(), ("guarded",)], ids=["not named", "one"])
def test_one_recipe_alone_is_before_and_after(read: Read, names: tuple[str, ...]) -> None:
    """Where one recipe was run, or none is named, its column holds the figures after."""
    given_ = read(Recipe(recipes=names))
    found = recipes.read(given_)
    assert list(found.after) == [names[0] if names else "after"]
    (values,) = found.after.values()
    assert values["test"] == given_.finetuned["after"]["test"]
    (front,) = recipes.fronts(given_)
    assert [point.name for point in front.points if point.kept] == ["epoch 60"]


def test_a_chosen_recipe_without_figures_of_its_own_has_those_after(read: Read) -> None:
    """A recipe that was kept is shown also where only the others are listed."""
    found = recipes.read(_again(read, lambda metrics: metrics["recipes"].pop("guarded"), Recipe()))
    assert list(found.after) == ["paper", "guarded"]


def test_a_split_or_measure_that_nobody_has_is_left_out(read: Read) -> None:
    """Without masks there is no IoU on test; held-out edits have nothing but alignment."""
    found = recipes.read(read(Recipe(masks=False)))
    compared = recipes.rows(found)
    assert list(compared) == ["test", "held_out"]
    assert [row.metric for row in compared["test"]] == [
        *("accuracy", "accuracy_drop", "branch_accuracy")
    ]
    assert [row.metric for row in compared["held_out"]] == ["iou"]
    assert all(one.iou == found.after[one.name]["held_out"]["iou"] for one in recipes.rivals(found))


def test_a_front_has_every_state_of_its_recipe(read: Read) -> None:
    """Points of the table, by recipe; a mix of weights says so, one state is kept of each."""
    found = read()
    table = pd.read_csv(paths.PLOTS / "front.csv")
    for front in recipes.fronts(found):
        assert len(front.points) == (table["recipe"] == front.name).sum()
        assert sum(point.kept for point in front.points) == 1
    mixed = [point.name for point in recipes.fronts(found)[-1].points if "," in point.name]
    assert mixed == ["epoch 40, 0.5 of its change", "epoch 45, 0.5 of its change"]
    assert recipes.start(found) == tuple(table[["accuracy", "alignment"]].iloc[0])


@given(st.lists(st.tuples(SHARES, SHARES), min_size=1))
def test_the_edge_of_a_front_is_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    """Literally: a point is on the edge if no other is better in one and as good in the other."""
    front = Front("paper", [Point(x, y, "", kept=False) for x, y in points])
    edge = [(one.accuracy, one.alignment) for one in front.edge]
    beaten = {
        one for one in points for other in points
        if other != one and other[0] >= one[0] and other[1] >= one[1]
    }  # fmt: skip
    assert edge == sorted(set(points) - beaten)
