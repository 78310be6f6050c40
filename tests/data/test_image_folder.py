import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from abn.data import prepared
from abn.data.sources.catalogue import open_source
from abn.errors import AbnError
from abn.params import Params
from tests.data import photographs
from tests.data.photographs import photograph, samples, with_alpha

HOSTILE = ("<script>alert(1)</script>".replace("/", "∕"), "a,b\"c'", "雨 ünï 🦊", "${x} {{y}} %s")


def a_tree(root: Path, names: tuple[str, ...] = ("cat", "dog"), each: int = 8) -> Path:
    """Write a folder a class, and masks of the same shape in masks/ for all but each first."""
    random = np.random.default_rng(7)
    for kind, name in enumerate(names):
        for folder in (root / name, root / "masks" / name):
            folder.mkdir(parents=True)
        for number in range(each):
            image, mask = photograph(random, 50, 40, kind)
            image.save(root / name / f"{number}.jpg")
            if number:
                Image.fromarray(mask * np.uint8(255)).save(root / "masks" / name / f"{number}.png")
    return root


def read(base: Params, root: Path, **data: Any) -> tuple[list[Any], Any]:
    return samples(photographs.params(base, root, "image_folder", **data))


def test_a_folder_is_a_class_at_any_depth(tmp_path: Path, default_params: Params) -> None:
    """Classes by name; what begins with a dot, and what lies beside the folders, is nobody's."""
    root = a_tree(tmp_path, ("dog", "cat"))
    deep = root / "dog/2024/May"
    deep.mkdir(parents=True)
    photograph(np.random.default_rng(1), 30, 30, 0)[0].save(deep / "x.PNG")
    (root / "dog/.DS_Store").touch()
    (root / ".cache").mkdir()
    (root / "notes.txt").touch()
    found, source = read(
        default_params,
        root,
        image_folder={"masks": "tree"},
        splits={"val": 4, "test": 4, "train": None},
    )
    assert source.classes == ["cat", "dog"]
    assert source.rejected == []
    assert {sample.file for sample in found} == {
        *(f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(8)),
        "dog/2024/May/x.PNG",
    }
    assert [sample.split for sample in found] == ["train"] * 9 + ["val"] * 4 + ["test"] * 4
    assert {sample.label for sample in found if sample.file.startswith("dog")} == {1}


def test_masks_come_from_a_tree_of_the_same_shape(tmp_path: Path, default_params: Params) -> None:
    """Each lies on the object; an image without one has none."""
    found, source = read(default_params, a_tree(tmp_path), image_folder={"masks": "tree"})
    assert source.has_masks
    assert {sample.file for sample in found if sample.mask is None} == {"cat/0.jpg", "dog/0.jpg"}
    for sample in found:
        if sample.mask is not None:
            grey = sample.image.astype(int).sum(2)
            assert grey[sample.mask == 1].mean() > grey[sample.mask == 0].mean() + 150


def test_a_mask_that_does_not_fit_is_listed(tmp_path: Path, default_params: Params) -> None:
    """Of other proportions, or broken: the image is not used, and both are named."""
    root = a_tree(tmp_path)
    Image.new("L", (40, 40)).save(root / "masks/cat/1.png")
    (root / "masks/cat/2.png").write_text("no mask")
    _, source = read(default_params, root, image_folder={"masks": "tree"})
    assert [(one.file, one.reason) for one in sorted(source.rejected)] == [
        ("cat/1.jpg", "mask masks/cat/1.png: 40×40 is not of the image's proportions, 50×40"),
        (
            "cat/2.jpg",
            "mask masks/cat/2.png: not an image, or of a kind that Pillow does not read",
        ),
    ]


def test_masks_come_from_the_alpha_channel(tmp_path: Path, default_params: Params) -> None:
    """The photograph is seen whole; one without alpha has no mask."""
    random = np.random.default_rng(7)
    for kind, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for number in range(6):
            image, mask = photograph(random, 40, 40, kind)
            both = image if number == 0 else with_alpha(image, mask)
            both.save(tmp_path / name / f"{number}.png")
    found, source = read(default_params, tmp_path, image_folder={"masks": "alpha"})
    assert source.alpha_is_mask
    assert {sample.file for sample in found if sample.mask is None} == {"cat/0.png", "dog/0.png"}
    for sample in found:
        if sample.mask is not None:
            assert 0.05 < sample.mask.mean() < 0.4
            assert len(np.unique(sample.image[sample.mask == 0])) > 20


def test_masks_are_left_alone_where_nobody_asks_for_them(
    tmp_path: Path, default_params: Params
) -> None:
    """data.masks: false, or masks: none."""
    root = a_tree(tmp_path)
    (root / "masks/cat/1.png").write_text("no mask")
    found, source = read(default_params, root, masks=False, image_folder={"masks": "tree"})
    assert not source.has_masks
    assert source.rejected == []
    assert {sample.mask for sample in found} == {None}


def test_the_folders_own_splits_are_taken(tmp_path: Path, default_params: Params) -> None:
    """Train, val and test, or train and test; a class is one wherever it lies."""
    for split in ("train", "test"):
        a_tree(tmp_path / "images" / split, ("cat", "dog"), 6)
    for masks in (tmp_path / "images").glob("*/masks"):
        masks.rename(tmp_path / f"masks-{masks.parent.name}")
    (tmp_path / "masks").mkdir()
    for split in ("train", "test"):
        (tmp_path / f"masks-{split}").rename(tmp_path / "masks" / split)
    random = np.random.default_rng(70)
    for file in (tmp_path / "images/test").glob("*/*.jpg"):
        photograph(random, 50, 40, 1)[0].save(file)
    found, source = read(
        default_params, tmp_path, splits={"train": None, "val": 0.34, "test": None},
        image_folder={"folder": "images", "masks": "tree"},
    )  # fmt: skip
    assert source.classes == ["cat", "dog"]
    splits = [sample.split for sample in found]
    assert [splits.count(name) for name in ("train", "val", "test")] == [8, 4, 12]
    for sample in found:
        folder = "test" if sample.split == "test" else "train"
        assert sample.file.startswith(f"images/{folder}/")
        assert (sample.mask is None) == sample.file.endswith("/0.jpg")


def test_a_folder_beside_train_that_is_no_split_is_an_error(
    tmp_path: Path, default_params: Params
) -> None:
    """It is a class in the wrong place, or a misspelt split."""
    for split in ("train", "valid"):
        a_tree(tmp_path / split)
    with pytest.raises(AbnError, match="there may be val and test, and there is 'valid'"):
        read(default_params, tmp_path)


def test_class_names_are_any_text(tmp_path: Path, default_params: Params) -> None:
    """They are what people call their folders."""
    _, source = read(default_params, a_tree(tmp_path, HOSTILE), image_folder={"masks": "tree"})
    assert source.classes == sorted(HOSTILE)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"image_folder": {"folder": "gone/x"}}, r"gone/x: no such folder; see data.root"),
        ({"image_folder": {"folder": "images"}}, "images: no such folder; .*image_folder.folder"),
        ({"image_folder": {"masks": "tree", "mask_folder": "gone"}}, "gone: no such folder"),
        ({"image_folder": {"folder": ".."}}, r"folder: \.\. leads out of data.root"),
        ({"image_folder": {"folder": "cat"}}, "each class is a folder"),
    ],
)
def test_a_folder_that_is_not_there_is_named_with_its_key(
    tmp_path: Path, default_params: Params, data: dict[str, Any], message: str
) -> None:
    """With what to look at in params.yaml."""
    root = a_tree(tmp_path / "photos")
    params = photographs.params(default_params, root, "image_folder", **data)
    with pytest.raises(AbnError, match=message):
        open_source(params.data, 1)


def test_images_without_alpha_make_a_set_without_masks(
    tmp_path: Path, default_params: Params
) -> None:
    """The default looks for an alpha channel; finding none is the usual case, and no mistake."""
    params = photographs.params(default_params, a_tree(tmp_path / "photos"), "image_folder")
    assert params.data.image_folder.masks == "alpha"
    prepared.write(open_source(params.data, 1), 24, tmp_path / "set")
    assert prepared.load(tmp_path / "set").masks is None


def test_masks_that_belong_to_no_image_are_an_error(tmp_path: Path, default_params: Params) -> None:
    """All of them lie elsewhere than they are looked for."""
    root = a_tree(tmp_path)
    for name in ("cat", "dog"):
        (root / "masks" / name).rename(root / "masks" / name.upper())
    with pytest.raises(AbnError, match="masks: no mask of any image there"):
        read(default_params, root, image_folder={"masks": "tree"})


def test_names_that_are_no_text_are_told(tmp_path: Path, default_params: Params) -> None:
    """A file of such a name is listed, a folder is an error: a class has to be called something."""
    root = a_tree(tmp_path)
    (root / "cat" / "0.jpg").rename(root / "cat" / os.fsdecode(b"\xff.jpg"))
    _, source = read(default_params, root, masks=False, image_folder={"folder": "."})
    assert (source.rejected[0].file, source.rejected[0].reason) == (
        "cat/\\udcff.jpg",
        "its name is not a text in UTF-8",
    )
    (root / "dog").rename(root / os.fsdecode(b"d\xf6g"))
    with pytest.raises(AbnError, match="is no text in UTF-8; rename it"):
        read(default_params, root)
