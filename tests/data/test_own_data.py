"""The source that docs/own_data.md shows, as it stands there."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from abn.data.sources import catalogue
from abn.params import Params
from tests.conftest import ROOT
from tests.data import photographs
from tests.data.photographs import photograph, samples


def test_the_source_in_the_documentation_works(
    tmp_path: Path, default_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels from its list, masks from its folder, splits drawn, a broken file listed."""
    text = (ROOT / "docs/own_data.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "leaves.py").write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("leaves", tmp_path / "leaves.py")
    assert spec is not None
    assert spec.loader is not None
    leaves = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "leaves", leaves)
    spec.loader.exec_module(leaves)
    monkeypatch.setitem(catalogue.SOURCES, "csv", leaves.open_source)

    root = tmp_path / "leaves"
    for folder in ("images", "damage"):
        (root / folder).mkdir(parents=True)
    random = np.random.default_rng(6)
    for number in range(20):
        image, mask = photograph(random, 40, 40, number % 2)
        image.save(root / f"images/{number}.jpg")
        Image.fromarray(mask).save(root / f"damage/{number}.png")
    lines = [f"{number} {('oak', 'ash')[number % 2]}\n" for number in range(20)]
    (root / "labels.txt").write_text("".join(lines))
    (root / "images/4.jpg").write_bytes(b"")

    found, source = samples(photographs.params(default_params, root, "csv"))
    assert source.classes == ["ash", "oak"]
    assert [one.file for one in source.rejected] == ["images/4.jpg"]
    assert len(found) == 19
    assert {sample.split for sample in found} == {"train", "val", "test"}
    for sample in found:
        assert (sample.label == 0) == (int(Path(sample.file).stem) % 2 == 1)
        assert sample.mask is not None
        assert 0.05 < sample.mask.mean() < 0.4
