import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from abn.data import prepared
from abn.data.prepared import Prepared
from abn.data.source import Sample, Source
from abn.errors import AbnError


def _sample(image_id: str, split: str, label: int) -> Sample:
    image = np.full((6, 6, 3), 10 * label + 5, np.uint8)
    return Sample(image_id, split, label, "f.png", 9, 7, image, np.eye(6, dtype=np.uint8))


def _source() -> Source:
    samples = [
        _sample(f"{split}-{label}", split, label)
        for split in ("train", "val", "test")
        for label in (0, 1)
    ]
    return Source("made", "none", ["cat", "dog"], 3, len(samples), True, iter(samples))


def test_a_prepared_set_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Rows of the arrays are the manifest's rows; statistics are the training split's."""
    prepared.write(_source(), 6, tmp_path / "set")
    found = prepared.load(tmp_path / "set")
    assert list(found.manifest["class_name"]) == ["cat", "dog"] * 3
    assert found.images.shape == (6, 6, 6, 3)
    assert found.masks is not None
    assert np.array_equal(found.masks[3], np.eye(6))
    assert found.mean == pytest.approx([10 / 255] * 3, abs=1e-6)
    assert found.std == pytest.approx([5 / 255] * 3, abs=1e-6)
    assert list(found.rows("val")) == [2, 3]
    digest = hashlib.sha256(found.images[0].tobytes()).hexdigest()
    assert found.manifest["sha256"][0] == digest


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """The set is a function of its source alone."""
    for name in ("one", "two"):
        prepared.write(_source(), 6, tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_the_digest_tells_sets_apart_that_differ_in_a_mask_alone(tmp_path: Path) -> None:
    """Masks decide the selection and the edits: they are part of the set's identity."""
    one = prepared.write(_source(), 6, tmp_path / "one")
    other = _source()
    samples = [s._replace(mask=np.zeros((6, 6), np.uint8)) for s in other.samples]
    two = prepared.write(replace(other, samples=iter(samples)), 6, tmp_path / "two")
    assert one["digest"] != two["digest"]


def test_a_class_without_images_is_named_with_its_split(tmp_path: Path) -> None:
    """A network cannot learn or be judged on a class that is not there."""
    source = _source()
    samples = [s for s in source.samples if s.image_id != "val-1"]
    with pytest.raises(AbnError, match=r"split val has no image of class\(es\) dog"):
        prepared.write(replace(source, samples=iter(samples), total=5), 6, tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("image_id", ["../etc", "a b", "", "<script>", "x" * 200])
def test_an_image_id_that_could_not_name_a_file_is_refused(image_id: str, tmp_path: Path) -> None:
    """Image ids become file names and parts of addresses."""
    source = replace(_source(), samples=iter([_sample(image_id, "train", 0)]), total=1)
    with pytest.raises(AbnError, match="image_id"):
        prepared.write(source, 6, tmp_path / "set")


def test_a_write_that_breaks_off_leaves_the_old_set(tmp_path: Path) -> None:
    """Old or new, never half."""
    prepared.write(_source(), 6, tmp_path / "set")
    before = (tmp_path / "set/manifest.csv").read_bytes()

    def breaking() -> Iterator[Sample]:
        yield _sample("train-0", "train", 0)
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        prepared.write(replace(_source(), samples=breaking()), 6, tmp_path / "set")
    assert (tmp_path / "set/manifest.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_set_that_is_not_there_names_the_command_that_makes_it(tmp_path: Path) -> None:
    """The way out stands in the message."""
    with pytest.raises(AbnError, match="dvc repro prepare"):
        prepared.load(tmp_path)


def test_the_real_sample_has_masks_and_all_classes(tiny_set: Prepared) -> None:
    """The embedded sample serves every test of the later stages."""
    assert tiny_set.masks is not None
    assert set(tiny_set.labels[tiny_set.rows("train")]) == set(range(10))


def test_an_image_id_that_stands_twice_is_named(tmp_path: Path) -> None:
    """Edits are of an image_id: two images of one would share them."""
    samples = list(_source().samples)
    source = replace(_source(), samples=iter([*samples, samples[2]]), total=7)
    with pytest.raises(AbnError, match="image_id 'val-0' stands more than once"):
        prepared.write(source, 6, tmp_path / "set")


def test_a_source_that_finds_no_mask_makes_a_set_without_masks(tmp_path: Path) -> None:
    """And fewer samples than it promised make shorter arrays."""
    samples = [sample._replace(mask=None) for sample in _source().samples]
    source = replace(_source(), samples=iter(samples), total=9)
    prepared.write(source, 6, tmp_path / "set")
    found = prepared.load(tmp_path / "set")
    assert found.masks is None
    assert found.images.shape == (6, 6, 6, 3)
    assert np.array_equal(found.images[5], samples[5].image)
    exact = replace(_source(), samples=iter(samples), has_masks=False)
    prepared.write(exact, 6, tmp_path / "exact")
    for file in (tmp_path / "exact").iterdir():
        assert file.read_bytes() == (tmp_path / "set" / file.name).read_bytes()
