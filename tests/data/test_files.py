"""What the sources of photographs share: broken files, duplicates, ids, and workers that differ."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from abn.data import files, prepared, workers
from abn.data.sources.catalogue import open_source
from abn.errors import AbnError
from abn.params import Params
from tests.conftest import ROOT
from tests.data import photographs
from tests.data.photographs import photograph, samples


def a_folder(root: Path, each: int = 12, split: str = "") -> Path:
    """Write three classes of photographs of several sizes."""
    random = np.random.default_rng(len(split))
    for kind, name in enumerate(("disc", "square", "cross")):
        folder = root / split / name
        folder.mkdir(parents=True)
        for number in range(each):
            width, height = (int(side) for side in random.integers(30, 120, 2))
            image, _ = photograph(random, width, height, kind)
            image.save(folder / f"{number:02d}.jpg", quality=90)
    return root


def test_broken_files_are_listed_and_hold_up_no_other(
    tmp_path: Path, default_params: Params
) -> None:
    """Empty, a text, half a JPEG, half a PNG: each with its reason in rejected.csv, in order."""
    root = a_folder(tmp_path / "photos")
    bad = photographs.broken(root / "square")
    params = photographs.params(default_params, root, "image_folder")
    prepared.write(open_source(params.data, 1), 24, tmp_path / "set")
    table = (tmp_path / "set/rejected.csv").read_text().splitlines()
    assert table[0] == "file,class_name,reason"
    assert [line.split(",")[:2] for line in table[1:]] == [[f"square/{n}", "square"] for n in bad]
    reasons = [line.split(",", 2)[2] for line in table[1:]]
    assert reasons[0] == "empty file"
    assert "truncated" in reasons[1]
    assert "truncated" in reasons[2]
    assert "not an image" in reasons[3]
    found = prepared.load(tmp_path / "set")
    assert len(found.manifest) == len(found.images) == 36
    assert not set(found.manifest["file"]) & {f"square/{name}" for name in bad}
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in found.images]
    assert list(found.manifest["sha256"]) == digests


def test_a_class_that_is_left_empty_is_an_error_with_the_reasons(
    tmp_path: Path, default_params: Params
) -> None:
    """Nothing could be learned of it."""
    root = a_folder(tmp_path / "photos")
    for file in (root / "cross").iterdir():
        file.write_bytes(b"")
    params = photographs.params(default_params, root, "image_folder")
    with pytest.raises(AbnError, match=r"class 'cross' .*cross/00.jpg: empty file; .* and 9 more"):
        open_source(params.data, 1)


def test_a_split_that_a_broken_file_left_empty_names_it(
    tmp_path: Path, default_params: Params
) -> None:
    """It looked whole until it was decoded."""
    for split in ("train", "val", "test"):
        a_folder(tmp_path / "photos", 2, split)
    for file in (tmp_path / "photos/val/disc").iterdir():
        file.write_bytes(file.read_bytes()[:-300])
    params = photographs.params(
        default_params, tmp_path / "photos", "image_folder",
        splits={"train": None, "val": None, "test": None},
    )  # fmt: skip
    with pytest.raises(AbnError, match=r"(?s)val has no image of .* disc;.*disc/00.jpg: .*trunc"):
        prepared.write(open_source(params.data, 1), 24, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_the_same_content_is_taken_once_and_the_test_set_keeps_it(
    tmp_path: Path, default_params: Params
) -> None:
    """A training image that is in the test set leaks it: it goes, the test image stays."""
    for split in ("train", "val", "test"):
        a_folder(tmp_path / "photos", 4, split)
    root = tmp_path / "photos"
    (root / "train/disc/leak.jpg").write_bytes((root / "test/disc/00.jpg").read_bytes())
    (root / "train/cross/twin.jpg").write_bytes((root / "train/cross/01.jpg").read_bytes())
    params = photographs.params(
        default_params, root, "image_folder", splits={"train": None, "val": None, "test": None}
    )
    found, source = samples(params)
    assert [(one.file, one.reason) for one in sorted(source.rejected)] == [
        ("train/cross/twin.jpg", "same content as train/cross/01.jpg"),
        ("train/disc/leak.jpg", "same content as test/disc/00.jpg"),
    ]
    assert "test/disc/00.jpg" in {sample.file for sample in found}


def test_the_same_content_in_two_classes_is_taken_in_neither(
    tmp_path: Path, default_params: Params
) -> None:
    """Nobody knows which label is right."""
    root = a_folder(tmp_path / "photos")
    (root / "disc/00.jpg").write_bytes((root / "cross/00.jpg").read_bytes())
    found, source = samples(photographs.params(default_params, root, "image_folder"))
    assert [(one.file, one.reason) for one in sorted(source.rejected)] == [
        ("cross/00.jpg", "same content as disc/00.jpg, which is of another class"),
        ("disc/00.jpg", "same content as cross/00.jpg, which is of another class"),
    ]
    assert len(found) == 34


def test_an_image_keeps_its_id_when_it_moves_and_loses_it_when_it_changes(tmp_path: Path) -> None:
    """Edits belong to the image; a name of any text gives an id that can name a file."""
    content = bytes(range(16))
    assert files.image_id("a/x 1.jpg", content) == files.image_id("b/c/x 1.png", content)
    assert files.image_id("a/x.jpg", content) != files.image_id("a/x.jpg", content[::-1])
    for name in ("<b>'\".jpg", "雨.png", "../..", "x" * 300 + ".jpg", ".jpg"):
        assert prepared.IMAGE_ID.fullmatch(files.image_id(name, content))


def test_a_link_that_leads_out_of_the_root_is_listed(
    tmp_path: Path, default_params: Params
) -> None:
    """DVC would not notice when such a file changes."""
    root = a_folder(tmp_path / "photos")
    elsewhere = a_folder(tmp_path / "elsewhere", 1)
    (root / "disc/link.jpg").symlink_to(elsewhere / "disc/00.jpg")
    _, source = samples(photographs.params(default_params, root, "image_folder"))
    assert [(one.file, one.reason) for one in source.rejected] == [
        ("disc/link.jpg", "leads out of data.root")
    ]


def test_any_number_of_workers_gives_the_same_bytes(
    tmp_path: Path, default_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One, two, five; the order of the files on the disk does not count either."""
    root = a_folder(tmp_path / "photos", 20)
    photographs.broken(root / "disc")
    params = photographs.params(default_params, root, "image_folder")
    contents = []
    for count in (1, 2, 5):
        monkeypatch.setattr(workers, "processors", lambda count=count: count)
        prepared.write(open_source(params.data, 1), 24, tmp_path / f"{count}")
        written = sorted((tmp_path / f"{count}").iterdir())
        contents.append({path.name: path.read_bytes() for path in written})
    assert contents[0] == contents[1] == contents[2]
    assert set(contents[0]) == {"dataset.json", "images.npy", "manifest.csv", "rejected.csv"}


def test_stored_images_may_be_larger_than_what_the_network_gets(
    tmp_path: Path, default_params: Params
) -> None:
    """For crops of them in training; the set knows both sizes."""
    root = a_folder(tmp_path / "photos")
    params = photographs.params(default_params, root, "image_folder", stored_size=40)
    prepared.write(open_source(params.data, 1), 24, tmp_path / "set", params.data.stored_size)
    found = prepared.load(tmp_path / "set")
    assert found.images.shape == (36, 40, 40, 3)
    assert found.image_size == 24


def test_a_killed_prepare_leaves_the_old_set_and_starts_anew(
    tmp_path: Path, default_params: Params
) -> None:
    """Killed while it decodes: the old set is whole, the next run gives what none had disturbed."""
    root = a_folder(tmp_path / "photos", 80)
    params = photographs.params(default_params, root, "image_folder", image_size=200)
    prepared.write(open_source(params.data, 1), 200, tmp_path / "whole")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params.model_dump()))
    (tmp_path / "set").mkdir()
    (tmp_path / "set/old").touch()
    code = (
        "from pathlib import Path\n"
        "from abn import params; from abn.data import prepared\n"
        "from abn.data.sources.catalogue import open_source\n"
        "data = params.load(Path('params.yaml')).data\n"
        "prepared.write(open_source(data, 1), 200, Path('set'))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    manifest = tmp_path / ".set.part/images.npy"
    end = time.monotonic() + 60
    while not manifest.exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["old"]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()} == whole
    assert not (tmp_path / ".set.part").exists()


def test_an_image_that_is_too_large_to_be_one_is_listed(
    tmp_path: Path, default_params: Params
) -> None:
    """A small file that would fill the memory when it is decoded."""
    root = a_folder(tmp_path / "photos")
    Image.new("1", (20_000, 20_000)).save(root / "disc/bomb.png")
    _, source = samples(photographs.params(default_params, root, "image_folder"))
    (rejected,) = source.rejected
    assert (rejected.file, "bomb" in rejected.reason) == ("disc/bomb.png", True)
