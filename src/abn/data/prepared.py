"""The prepared set on disk: a manifest and memory-mapped arrays whose rows are the manifest's.

manifest.csv, images.npy (uint8 N×H×W×C), masks.npy (uint8 N×H×W of 0 and 1, where the source has
masks), dataset.json (classes, mean and standard deviation of the training split, origin, digest),
rejected.csv (files of the source that are not in it, and why).
"""

import hashlib
import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from abn import atomic, progress
from abn.data import arrays
from abn.data.source import Rejected, Sample, Source
from abn.errors import AbnError

COLUMNS = (
    "image_id", "split", "label", "class_name", "file", "width", "height", "sha256", "has_mask",
)  # fmt: skip
REJECTED_TOLD = 3
"""Files named where a class is missing."""
IMAGE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True)
class Prepared:
    """The prepared set, opened: nothing is in memory but the manifest."""

    manifest: pd.DataFrame
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8] | None
    classes: list[str]
    mean: list[float]
    std: list[float]
    digest: str
    image_size: int = 0
    """Side of what the network gets, pixels; ``images`` may be larger."""
    alpha_is_mask: bool = False
    """How alpha channels of its images were read."""

    def rows(self, split: str) -> NDArray[np.int64]:
        """Give the rows of a split."""
        return np.flatnonzero(self.manifest["split"].to_numpy() == split)

    @property
    def splits(self) -> list[str]:
        """The splits there are, in the manifest's order."""
        return list(self.manifest["split"].unique())

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each row."""
        return self.manifest["label"].to_numpy(np.int64)


def write(
    source: Source, image_size: int, folder: Path, stored_size: int | None = None
) -> dict[str, Any]:
    """Write ``source`` as a prepared set and give what dataset.json says.

    Args:
        source: Gives images of the stored size.
        image_size: Side of what the network gets, pixels.
        folder: Where to.
        stored_size: Side of the images as they are stored; none for ``image_size``.

    Raises:
        AbnError: A split has no image of some class, or an image_id is malformed or stands twice.
    """
    with atomic.folder(folder) as aside:
        shape = (source.total, *2 * (stored_size or image_size,))
        images = arrays.create(aside / "images.npy", (*shape, source.channels), np.uint8)
        masks = arrays.create(aside / "masks.npy", shape, np.uint8) if source.has_masks else None
        tally = _Tally(source)
        atomic.write_csv(aside / "manifest.csv", _fill(source, images, masks, tally), COLUMNS)
        tally.check(aside / "manifest.csv")
        if masks is not None and not tally.masks:
            progress.say("no image of the source has a mask")
            masks = None
            (aside / "masks.npy").unlink()
        atomic.write_csv(
            aside / "rejected.csv",
            (one._asdict() for one in sorted(source.rejected)), Rejected._fields,
        )  # fmt: skip
        written = sum(tally.images.values())
        mean, std = _statistics(tally.levels)
        dataset = {
            "source": source.name,
            "licence": source.licence,
            "classes": source.classes,
            "mean": mean,
            "std": std,
            "image_size": image_size,
            "alpha_is_mask": source.alpha_is_mask,
            "images": dict(tally.images),
            "digest": _digest(aside / "manifest.csv", None if masks is None else masks[:written]),
        }
        atomic.write_json(aside / "dataset.json", dataset)
        images.flush()
        if written < source.total:
            arrays.shorten(aside / "images.npy", written)
            if masks is not None:
                arrays.shorten(aside / "masks.npy", written)
    return dataset


def load(folder: Path) -> Prepared:
    """Open a prepared set; raise ``AbnError`` if there is none."""
    try:
        dataset = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        manifest = pd.read_csv(
            folder / "manifest.csv", dtype={"image_id": str, "class_name": str},
            keep_default_na=False,
        )  # fmt: skip
        images = np.load(folder / "images.npy", mmap_mode="r")
    except FileNotFoundError as error:
        raise AbnError(f"{error.filename}: not found; run `dvc repro prepare`") from None
    masks_file = folder / "masks.npy"
    return Prepared(
        manifest=manifest,
        images=images,
        masks=np.load(masks_file, mmap_mode="r") if masks_file.exists() else None,
        classes=dataset["classes"],
        mean=dataset["mean"],
        std=dataset["std"],
        digest=dataset["digest"],
        image_size=dataset["image_size"],
        alpha_is_mask=dataset["alpha_is_mask"],
    )


class _Tally:
    """What has been written so far, and what is wrong with it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._of_class: Counter[tuple[str, int]] = Counter()
        self._image_ids = array("q")  # their hashes: a tenth of the memory
        self.images: Counter[str] = Counter()
        """Of each split."""
        self.masks = 0
        self.levels = np.zeros((source.channels, 256), np.int64)
        """Pixels of the training split by channel and value."""

    def add(self, sample: Sample) -> None:
        if not IMAGE_ID.fullmatch(sample.image_id):
            raise AbnError(
                f"image_id {sample.image_id!r} of {sample.file}: letters, digits, '.', '_', '-' "
                "alone"
            )
        self._image_ids.append(hash(sample.image_id))
        self._of_class[sample.split, sample.label] += 1
        self.masks += sample.mask is not None
        self.images[sample.split] += 1
        if sample.split == "train":
            for channel in range(self._source.channels):
                values = sample.image[..., channel].ravel()
                self.levels[channel] += np.bincount(values, minlength=256)

    def check(self, manifest: Path) -> None:
        """Raise ``AbnError`` if a split lacks a class, or an image_id stands twice."""
        hashes = np.sort(np.array(self._image_ids))
        if (hashes[1:] == hashes[:-1]).any():
            ids = pd.read_csv(manifest, dtype=str, keep_default_na=False)["image_id"]
            for twice in ids[ids.duplicated()]:
                raise AbnError(f"image_id {twice!r} stands more than once in the source")
        for split in ("train", "val", "test"):
            empty = [
                name
                for label, name in enumerate(self._source.classes)
                if not self._of_class[split, label]
            ]
            if empty:
                raise AbnError(
                    f"split {split} has no image of class(es) {', '.join(empty)}; "
                    "enlarge data.splits or remove the class from the source"
                    f"{self._rejected(empty)}"
                )

    def _rejected(self, classes: list[str]) -> str:
        """Tell of broken files, since one of them may have been the class's only one there."""
        told = [one for one in self._source.rejected if one.class_name in classes]
        return "".join(f"\n  {one.file}: {one.reason}" for one in told[:REJECTED_TOLD])


def _fill(
    source: Source, images: NDArray[np.uint8], masks: NDArray[np.uint8] | None, tally: _Tally
) -> Iterator[dict[str, Any]]:
    """Write each sample's pixels to its row and give its entry of the manifest."""
    samples = progress.track(source.samples, "preparing images", source.total)
    for row, sample in enumerate(samples):
        tally.add(sample)
        images[row] = sample.image
        if masks is not None and sample.mask is not None:
            masks[row] = sample.mask
        yield {
            "image_id": sample.image_id,
            "split": sample.split,
            "label": sample.label,
            "class_name": source.classes[sample.label],
            "file": sample.file,
            "width": sample.width,
            "height": sample.height,
            "sha256": hashlib.sha256(sample.image.tobytes()).hexdigest(),
            "has_mask": int(sample.mask is not None),
        }


def _statistics(levels: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, pixels scaled to [0, 1]."""
    grey = np.arange(256) / 255
    share = levels / levels.sum(axis=1, keepdims=True)
    mean = share @ grey
    std = np.sqrt(share @ grey**2 - mean**2)
    return [round(float(m), 6) for m in mean], [round(max(float(s), 1e-3), 6) for s in std]


def _digest(manifest: Path, masks: NDArray[np.uint8] | None) -> str:
    """Digest of the manifest, which holds every image's, and of the masks."""
    digest = hashlib.sha256(manifest.read_bytes())
    if masks is not None:
        for start in range(0, len(masks), 4096):
            digest.update(masks[start : start + 4096].tobytes())
    return digest.hexdigest()[:32]
