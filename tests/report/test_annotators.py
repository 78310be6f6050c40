import pandas as pd
import pytest

from abn import paths
from abn.report import annotators, evidence
from tests.report.artefacts import Recipe
from tests.report.conftest import Read

TWO = Recipe(origin="annotation", annotators=("1", "1+2"))


def test_merged_edits_count_for_each_who_made_them(read: Read) -> None:
    """Who edited alone and with others has both; the agreement is that of the shared images."""
    params = read(TWO).params
    table = pd.read_csv(paths.EDITS / "edits.csv", dtype={"annotator": str})
    table["agreement"] = table["agreement"].where(table["annotator"] == "1+2")
    table.to_csv(paths.EDITS / "edits.csv", index=False)
    first, second = annotators.read(evidence.read(params)).annotators
    assert (first.name, first.taken, first.shared) == ("annotator 1", 48, 24)
    assert (second.name, second.taken, second.shared) == ("annotator 2", 24, 24)
    assert first.agreement == pytest.approx(0.83)


def test_the_images_with_least_agreement_are_named(read: Read) -> None:
    """Mean over all images that several edited, and the five on which they differ most."""
    params = read(TWO).params
    table = pd.read_csv(paths.EDITS / "edits.csv", dtype={"annotator": str})
    accepted = table["status"] == "accepted"
    table.loc[accepted, "agreement"] = [0.9 - 0.01 * i for i in range(48)]
    table.to_csv(paths.EDITS / "edits.csv", index=False)
    found = annotators.read(evidence.read(params)).agreement
    assert found is not None
    assert found.images == 48
    assert found.mean == pytest.approx(0.9 - 0.01 * 23.5)
    assert [iou for _, iou in found.disputed] == pytest.approx([0.43, 0.44, 0.45, 0.46, 0.47])
    assert found.disputed[0][0] == table["image_id"][accepted].iloc[-1]


def test_one_annotator_has_nobody_to_agree_with(read: Read) -> None:
    """Without images that several edited there is no agreement, and a program is no person."""
    found = annotators.read(read())
    assert found.agreement is None
    (only,) = found.annotators
    assert (only.name, only.simulated, only.agreement) == ("simulated annotator", True, None)


def test_rejections_are_counted_by_reason(read: Read) -> None:
    """What could not be used is told with its reason and how often."""
    assert annotators.read(read()).rejections == [("no image of this id <i>is</i> known", 2)]


def test_a_crowd_is_listed_up_to_a_bound(read: Read) -> None:
    """The page lists those who edited most, and counts the others."""
    crowd = tuple(f"person {n}" for n in range(48))
    found = annotators.read(read(Recipe(origin="annotation", annotators=crowd)))
    assert (len(found.annotators), found.more) == (48, 0)
    many = tuple("+".join(f"{n}.{k}" for k in range(3)) for n in range(48))
    found = annotators.read(read(Recipe(origin="annotation", annotators=many)))
    assert (len(found.annotators), found.more) == (50, 94)
