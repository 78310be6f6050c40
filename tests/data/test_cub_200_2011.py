from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from abn.errors import AbnError
from abn.params import Params
from tests.data import photographs
from tests.data.photographs import photograph, samples

SPECIES = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "118.House_Sparrow")
SPLITS = {"train": None, "val": 3, "test": None}


def publish(root: Path, each: int = 8) -> Path:
    """Write a small tree of the published layout: both archives unpacked in one folder."""
    random = np.random.default_rng(9)
    base = root / "CUB_200_2011"
    for folder in ("attributes", "parts"):
        (base / folder).mkdir(parents=True)
    (root / "attributes.txt").touch()
    lists: dict[str, list[str]] = {}
    number = 0
    for kind, species in enumerate(SPECIES):
        for folder in (base / "images", root / "segmentations"):
            (folder / species).mkdir(parents=True)
        lists.setdefault("classes.txt", []).append(f"{kind + 1} {species}")
        for place in range(each):
            number += 1
            name = f"{species}/{species[4:]}_{place:04d}_{796000 + number}"
            image, mask = photograph(random, 50, 50, kind)
            image.save(base / f"images/{name}.jpg")
            levels = mask * np.uint8(204) + (1 - mask) * np.uint8(51 * (place % 3))
            Image.fromarray(levels).save(root / f"segmentations/{name}.png")
            y, x = np.nonzero(mask)
            box = (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)
            entries = {
                "images.txt": f"{name}.jpg",
                "image_class_labels.txt": kind + 1,
                "train_test_split.txt": int(place < each // 2),
                "bounding_boxes.txt": " ".join(f"{value:.1f}" for value in box),
            }
            for file, entry in entries.items():
                lists.setdefault(file, []).append(f"{number} {entry}")
    for file, lines in lists.items():
        (base / file).write_text("\n".join(lines) + "\n")
    return root


def read(base: Params, root: Path, **data: Any) -> tuple[list[Any], Any]:
    params = photographs.params(base, root, "cub_200_2011", image_size=50, splits=SPLITS, **data)
    return samples(params)


def test_it_is_read_as_it_is_published(tmp_path: Path, default_params: Params) -> None:
    """Species, labels, and the published test set; validation comes from training."""
    found, source = read(default_params, publish(tmp_path))
    assert source.classes == ["Black footed Albatross", "Laysan Albatross", "House Sparrow"]
    assert [sum(one.split == name for one in found) for name in ("train", "val", "test")] == [
        9,
        3,
        12,
    ]
    for sample in found:
        species = Path(sample.file).parent.name
        assert sample.file.startswith("CUB_200_2011/images/")
        assert SPECIES[sample.label] == species
        place = int(sample.file.split("_")[-2])
        assert (sample.split == "test") == (place >= 4)


def test_segmentations_are_masks_where_most_saw_the_bird(
    tmp_path: Path, default_params: Params
) -> None:
    """Their grey levels are annotators: one or two of five are not the bird."""
    found, _ = read(default_params, publish(tmp_path))
    for sample in found:
        name = Path(sample.file).relative_to("CUB_200_2011/images").with_suffix(".png")
        grey = np.asarray(Image.open(tmp_path / "segmentations" / name))
        assert np.array_equal(sample.mask, grey == 204)


def test_segmentations_may_lie_in_the_sets_own_folder(
    tmp_path: Path, default_params: Params
) -> None:
    """Where many people put them; data.root may be that folder itself."""
    publish(tmp_path)
    (tmp_path / "segmentations").rename(tmp_path / "CUB_200_2011/segmentations")
    inner, _ = read(default_params, tmp_path / "CUB_200_2011")
    outer, _ = read(default_params, tmp_path)
    for one, other in zip(inner, outer, strict=True):
        assert one.image_id == other.image_id
        assert np.array_equal(one.mask, other.mask)


def test_boxes_are_masks(tmp_path: Path, default_params: Params) -> None:
    """The box around the bird, filled; segmentations need not be there."""
    publish(tmp_path)
    (tmp_path / "segmentations").rename(tmp_path / "elsewhere")
    found, _ = read(default_params, tmp_path, cub_200_2011={"masks": "boxes"})
    for sample in found:
        name = Path(sample.file).relative_to("CUB_200_2011/images").with_suffix(".png")
        y, x = np.nonzero(np.asarray(Image.open(tmp_path / "elsewhere" / name)) == 204)
        expected = np.zeros((50, 50), np.uint8)
        expected[y.min() : y.max() + 1, x.min() : x.max() + 1] = 1
        assert np.array_equal(sample.mask, expected)


def test_what_is_missing_or_does_not_fit_is_named(tmp_path: Path, default_params: Params) -> None:
    """The archive that was forgotten, the list that is of another set."""
    base = publish(tmp_path) / "CUB_200_2011"
    with (base / "images.txt").open("a") as stream:
        stream.write("99 002.Laysan_Albatross/x.jpg\n")
    with pytest.raises(AbnError, match="its lists do not fit together: 99 stands in one"):
        read(default_params, tmp_path)
    (base / "bounding_boxes.txt").write_text("1 2.0 3.0 4.0\n")
    with pytest.raises(AbnError, match=r"bounding_boxes\.txt, line 1: '1 2\.0 3\.0 4\.0' is not"):
        read(default_params, tmp_path)
    (tmp_path / "segmentations").rename(tmp_path / "elsewhere")
    publish(tmp_path / "again")
    (tmp_path / "again/segmentations").rename(tmp_path / "gone")
    with pytest.raises(AbnError, match=r"abn fetch cub_200_2011.*masks: boxes"):
        read(default_params, tmp_path / "again")
