from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from abn.data.sources.catalogue import open_source
from abn.errors import AbnError
from abn.params import Params
from tests.data import photographs
from tests.data.photographs import photograph, samples


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of images 0.png to 17.png, and masks m0.png to m17.png."""
    random = np.random.default_rng(4)
    for number in range(18):
        image, mask = photograph(random, 40, 30, number)
        image.save(tmp_path / f"{number}.png")
        Image.fromarray(mask * np.uint8(255)).save(tmp_path / f"m{number}.png")
    return tmp_path


def read(base: Params, root: Path, text: str, **data: Any) -> tuple[list[Any], Any]:
    (root / "manifest.csv").write_text(text, encoding="utf-8")
    return samples(photographs.params(base, root, "csv", **data))


LABELS = ("disc", "a, b", "雨")
PLAIN = [f'{number}.png,"{LABELS[number % 3]}"' for number in range(18)]


def test_a_list_gives_files_labels_masks_and_splits(root: Path, default_params: Params) -> None:
    """Columns in any order; a mask may be lacking."""
    splits = ["train"] * 9 + ["val"] * 3 + ["test"] * 6
    lines = [
        f"{split},{line},{f'm{number}.png' if number % 2 else ''}"
        for number, (line, split) in enumerate(zip(PLAIN, splits, strict=True))
    ]
    found, source = read(
        default_params, root, "\n".join(["split,path,label,mask", *lines]),
        splits={"train": None, "val": None, "test": None},
    )  # fmt: skip
    assert source.classes == sorted(LABELS)
    assert [sample.file for sample in found] == [f"{number}.png" for number in range(18)]
    assert [sample.split for sample in found] == splits
    assert [source.classes[sample.label] for sample in found] == [*LABELS] * 6
    assert [sample.mask is not None for sample in found] == [False, True] * 9


def test_without_a_split_column_splits_are_drawn(root: Path, default_params: Params) -> None:
    """And without a mask column there are no masks."""
    found, source = read(
        default_params, root, "\ufeffpath,label\n" + "\n".join(PLAIN),
        splits={"train": None, "val": 3, "test": 6},
    )  # fmt: skip
    assert [sample.split for sample in found] == ["train"] * 9 + ["val"] * 3 + ["test"] * 6
    assert not source.has_masks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its header is empty; it takes path and label"),
        ("path\n0.png", "its header is path; it takes path and label"),
        ("path,label,lable\n0.png,a,b", "its header is path, label, lable"),
        ("path,label,path\n0.png,a,1.png", "its header is path, label, path"),
        ("path,label\ngone.png,a", r"line 2: path 'gone\.png' is no file"),
        ("path,label\n../manifest.csv,a", r"line 2: path '../manifest.csv' leads out of data.root"),
        ("path,label\n/etc/passwd,a", "line 2: path '/etc/passwd' leads out of data.root"),
        ("path,label,mask\n0.png,a,../m", r"line 2: mask '\.\./m' leads out of data.root"),
        ("path,label\n0.png,a\n,b", "line 3: path '' is empty"),
        ("path,label\n0.png, ", "line 2: no label"),
        ("path,label\n0.png,a,b", "line 2: more or fewer fields"),
        ("path,label\n0.png", "line 2: more or fewer fields"),
        ("path,label,split\n0.png,a,dev", "line 2: split is 'dev', expected train, val or test"),
        ("path,label\n0.png,a\n0.png,a", r"line 3: path '0\.png' stands on line 2 too"),
        ('path,label\n0.png,"a', "not valid CSV"),
    ],
)
def test_a_mistake_is_told_with_its_line(
    root: Path, default_params: Params, text: str, message: str
) -> None:
    """Every line that is not what it should be."""
    with pytest.raises(AbnError, match=message):
        read(default_params, root, text)


def test_mistakes_are_told_together(root: Path, default_params: Params) -> None:
    """Ten of them, and how many more there are."""
    text = "path,label\n" + "\n".join(f"gone{number}.png,a" for number in range(30))
    with pytest.raises(AbnError, match=r"30 mistake\(s\)") as caught:
        read(default_params, root, text)
    assert str(caught.value).count("\n") == 11
    assert str(caught.value).endswith("and 20 more")


def test_a_list_that_is_no_text_is_told(root: Path, default_params: Params) -> None:
    """Saved by a spreadsheet in its own encoding, or not there."""
    params = photographs.params(default_params, root, "csv")
    with pytest.raises(AbnError, match=r"manifest\.csv: not found; see data.root and data.csv"):
        open_source(params.data, 1)
    (root / "manifest.csv").write_bytes("path,label\n0.png,ü".encode("latin-1"))
    with pytest.raises(AbnError, match="not a text in UTF-8"):
        open_source(params.data, 1)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(text=st.text('path,label\nm0.png"\r\0;/x', max_size=60))
def test_any_text_is_read_or_is_our_error(root: Path, default_params: Params, text: str) -> None:
    """Nothing that stands in a list brings anything but AbnError."""
    with pytest.raises(AbnError):
        read(default_params, root, f"path,label\n{text}")
