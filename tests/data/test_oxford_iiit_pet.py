from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import OxfordIIITPet

from abn.data.sources.catalogue import open_source
from abn.errors import AbnError
from abn.params import Params
from tests.data import photographs
from tests.data.photographs import photograph, samples

BREEDS = (("Abyssinian", 1, 1), ("american_bulldog", 2, 2), ("Egyptian_Mau", 2, 1))
"""Name, breed's number, species: 1 a cat, whose name is capital, 2 a dog."""


def publish(base: Path, each: int = 6) -> Path:
    """Write a small tree of the published layout; give its base folder."""
    random = np.random.default_rng(8)
    (base / "images").mkdir(parents=True)
    (base / "annotations/trimaps").mkdir(parents=True)
    (base / "annotations/xmls").mkdir()
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for number, (breed, of_species, species) in enumerate(BREEDS, start=1):
        for place in range(1, 2 * each + 1):
            image, mask = photograph(random, 60, 50, number)
            name = f"{breed}_{place * 7}"
            image.save(base / f"images/{name}.jpg")
            inner = np.asarray(Image.fromarray(mask).resize((56, 46)).resize((60, 50)))
            trimap = np.where(mask == 0, 2, np.where(inner == mask, 1, 3)).astype(np.uint8)
            trimap[:2, :2] = 3
            Image.fromarray(trimap).save(base / f"annotations/trimaps/{name}.png")
            (base / f"annotations/trimaps/._{name}.png").write_bytes(b"\0\5\x16\7")
            split = "trainval" if place <= each else "test"
            lists[split].append(f"{name} {number} {species} {of_species}\n")
    for split, lines in lists.items():
        (base / f"annotations/{split}.txt").write_text("".join(lines))
    (base / "annotations/list.txt").write_text("#Image CLASS-ID SPECIES BREED ID\n")
    (base / "images/Abyssinian_100.mat").write_bytes(b"MATLAB")
    return base


def test_it_is_read_as_torchvision_reads_it(tmp_path: Path, default_params: Params) -> None:
    """The same classes, the same images with the same labels, each in its split."""
    publish(tmp_path / "oxford-iiit-pet")
    params = photographs.params(
        default_params, tmp_path, "oxford_iiit_pet",
        splits={"train": None, "val": 3, "test": None},
    )  # fmt: skip
    found, source = samples(params)
    for theirs, ours in (("trainval", {"train", "val"}), ("test", {"test"})):
        expected = OxfordIIITPet(tmp_path, theirs, download=False)
        assert source.classes == expected.classes
        pairs = {(path.name, label) for path, label in zip(
            expected._images, expected._labels, strict=True)}  # fmt: skip
        mine = {(Path(one.file).name, one.label) for one in found if one.split in ours}
        assert mine == pairs
    assert sum(sample.split == "val" for sample in found) == 3


@pytest.mark.parametrize("outline", ["object", "background"])
def test_trimaps_are_masks(tmp_path: Path, default_params: Params, outline: str) -> None:
    """1 is the pet, 2 is not; 3, between them, is what params.yaml says."""
    publish(tmp_path)
    params = photographs.params(
        default_params, tmp_path, "oxford_iiit_pet", image_size=50,
        splits={"train": None, "val": 3, "test": None}, oxford_iiit_pet={"outline": outline},
    )  # fmt: skip
    found, _ = samples(params)
    for sample in found:
        name = Path(sample.file).stem
        trimap = np.asarray(Image.open(tmp_path / f"annotations/trimaps/{name}.png"))[:, 5:55]
        assert sample.mask is not None
        wanted = trimap != 2 if outline == "object" else trimap == 1
        assert np.array_equal(sample.mask, wanted)


def test_what_is_missing_or_malformed_is_named(tmp_path: Path, default_params: Params) -> None:
    """The list, and the line of it; a missing trimap takes its image with it."""
    publish(tmp_path)
    params = photographs.params(
        default_params, tmp_path, "oxford_iiit_pet", splits={"train": None, "val": 3, "test": None}
    )
    (tmp_path / "annotations/trimaps/Abyssinian_7.png").unlink()
    _, source = samples(params)
    (lost,) = source.rejected
    assert (lost.file, lost.class_name) == ("images/Abyssinian_7.jpg", "Abyssinian")
    assert lost.reason.endswith("Abyssinian_7.png: No such file or directory")
    text = (tmp_path / "annotations/test.txt").read_text()
    (tmp_path / "annotations/test.txt").write_text(text + "Bengal_1 six 1 3\n")
    with pytest.raises(AbnError, match=r"test\.txt, line 19: 'Bengal_1 six 1 3' is not of the"):
        open_source(params.data, 1)
    (tmp_path / "annotations/test.txt").unlink()
    with pytest.raises(AbnError, match=r"test\.txt: not found"):
        open_source(params.data, 1)
