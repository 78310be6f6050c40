from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from abn import paths
from abn.errors import AbnError
from abn.report import evidence
from tests.report.artefacts import Recipe
from tests.report.conftest import Read


@pytest.mark.parametrize(
    "path",
    [
        paths.ATTENTION / "maps.npy",
        paths.REFINED / "samples.csv",
        paths.EDITS / "edits.csv",
        paths.EDITS / "targets.npy",
        paths.CHANNELS,
        paths.PLOTS / "front.csv",
        paths.run_file("train_abn"),
    ],
    ids=str,
)
def test_a_missing_artefact_is_named(read: Read, path: Path) -> None:
    """The error names the file that is missing, and what to do."""
    params = read().params
    path.unlink()
    with pytest.raises(AbnError, match=f"{path.name}.*dvc repro"):
        evidence.read(params)


def test_tables_of_different_runs_are_refused(read: Read) -> None:
    """Samples that aren't the manifest's are an error rather than a wrong page."""
    params = read().params
    table = paths.REFINED / "samples.csv"
    pd.read_csv(table).iloc[1:].to_csv(table, index=False)
    with pytest.raises(AbnError, match="509 rows, the manifest 510"):
        evidence.read(params)


def test_pixels_stay_on_disk(read: Read) -> None:
    """Images, maps and targets are memory-mapped."""
    found = read()
    arrays = (found.prepared.images, found.maps_before, found.maps_after, found.targets)
    assert all(isinstance(array, np.memmap) for array in arrays)


def test_names_that_look_like_missing_values_are_names(read: Read) -> None:
    """A class called NA or None is a class like any other."""
    found = read(Recipe(classes=("NA", "None", "nan")))
    names = found.channels.loc[found.channels["conv"] == "map", "name"]
    assert list(names) == ["NA", "None", "nan"]


def test_an_edit_finds_its_image_and_its_target(read: Read) -> None:
    """Row and target of each edit in use are its own, with rejected edits in between."""
    found = read()
    for place, (_, edit) in enumerate(found.accepted.iterrows()):
        assert found.samples.loc[int(edit["row"]), "image_id"] == edit["image_id"]
        assert edit["target"] == place


def test_edited_test_images_are_left_out_of_the_test_figures(read: Read) -> None:
    """An image that somebody edited is none of the unedited ones."""
    found = read()
    edited = set(found.accepted["image_id"])
    assert len(edited) == 48
    assert edited.isdisjoint(found.unedited("train")["image_id"])
    assert len(found.unedited("train")) == 240 - 48
