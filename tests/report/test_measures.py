import json

import numpy as np
import pytest

from abn import paths
from abn.attention.metrics import METRICS
from abn.report import evidence, measures, recipes
from abn.report.measures import MEASURES, Split
from tests.report.artefacts import Recipe
from tests.report.conftest import Read

COUNTS = (("train", 240), ("val", 90), ("test", 180), ("test_shifted", 60))


def _table(found: evidence.Evidence) -> dict[str, Split]:
    return {split.name: split for split in measures.table(found, recipes.read(found))}


def test_everything_measured_is_in_the_table(read: Read) -> None:
    """Each split has each measure once, with its values before and after every recipe."""
    found = read(Recipe(counts=COUNTS))
    shown = _table(found)
    assert list(shown) == ["train", "val", "test", "test_shifted", "held_out"]
    for split, rows in shown.items():
        before = found.finetuned["before"][split]
        assert {row.name for row in rows.rows} - {"calibration_error"} == set(before)
        for row in rows.rows:
            if row.name != "calibration_error":
                after = [one[split][row.name] for one in found.finetuned["recipes"].values()]
                assert row.values[0] == before[row.name]
                assert sorted(row.values[1:3]) == sorted(after)


def test_every_measure_says_which_way_is_better(read: Read) -> None:
    """Less is better for errors and for deletion, more for all else."""
    rows = _table(read())["test"].rows
    less = {row.name for row in rows if row.measure.better == "less"}
    assert less == {"calibration_error", "deletion"}
    assert all(row.measure.better == "more" for row in rows if row.name not in less)


def test_chance_is_that_of_the_data(read: Read) -> None:
    """One class for all, the share that the masks cover, none for a difference."""
    found = read()
    masks = np.load(paths.PREPARED / "masks.npy")
    area = masks[(found.samples["split"] == "test").to_numpy()].mean()
    chance = {row.name: row.chance for row in _table(found)["test"].rows}
    assert chance["accuracy"] == pytest.approx(1 / 6)
    assert chance["pointing_game"] == pytest.approx(area)
    assert (chance["contrast"], chance["energy_over_chance"]) == (0, 1)
    assert chance["insertion"] is None


def test_a_measure_unknown_here_is_shown_by_its_bare_name(read: Read) -> None:
    """A metric that a stage adds appears without a change of the report."""
    params = read().params
    path = paths.metrics_file("finetune_attention")
    metrics = json.loads(path.read_text())
    metrics["after"]["test"]["brand_new"] = 0.5
    metrics["recipes"]["guarded"]["test"]["brand_new"] = 0.5
    path.write_text(json.dumps(metrics))
    row = _table(evidence.read(params))["test"].rows[-1]
    assert (row.name, row.measure.text, row.chance) == ("brand_new", "", None)
    assert row.values[:3] == [None, None, 0.5]


def test_the_measures_that_the_fine_tuning_writes_are_known() -> None:
    """Every alignment metric of the pipeline has a name for people and a direction here."""
    assert set(METRICS) <= set(MEASURES)
