"""The prepared set on disk: a manifest and memory-mapped arrays whose rows are the manifest's.

manifest.csv, images.npy (uint8 N×H×W×C), masks.npy (uint8 N×H×W of 0 and 1, where the source has
masks), dataset.json (classes, mean and standard deviation of the training split, origin, digest).
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from abn import atomic, progress
from abn.data import arrays
from abn.data.source import Sample, Source
from abn.errors import AbnError

COLUMNS = (
    "image_id", "split", "label", "class_name", "file", "width", "height", "sha256", "has_mask",
)  # fmt: skip
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


def write(source: Source, image_size: int, folder: Path) -> dict[str, Any]:
    """Write ``source`` as a prepared set and give what dataset.json says.

    Raises:
        AbnError: A split has no image of some class, or an image_id is malformed or stands twice.
    """
    with atomic.folder(folder) as aside:
        shape = (source.total, image_size, image_size)
        images = arrays.create(aside / "images.npy", (*shape, source.channels), np.uint8)
        masks = arrays.create(aside / "masks.npy", shape, np.uint8) if source.has_masks else None
        entries = []
        samples = progress.track(source.samples, "preparing images", source.total)
        for row, sample in enumerate(samples):
            images[row] = sample.image
            if masks is not None and sample.mask is not None:
                masks[row] = sample.mask
            entries.append(_entry(sample, source))
        _check(entries, source.classes)
        atomic.write_csv(aside / "manifest.csv", entries, COLUMNS)
        train = np.array([entry["split"] == "train" for entry in entries])
        mean, std = _statistics(images, train)
        dataset = {
            "source": source.name,
            "licence": source.licence,
            "classes": source.classes,
            "mean": mean,
            "std": std,
            "image_size": image_size,
            "images": {split: int(n) for split, n in _count(entries).items()},
            "digest": _digest(aside / "manifest.csv", masks),
        }
        atomic.write_json(aside / "dataset.json", dataset)
        images.flush()
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
    )


def _entry(sample: Sample, source: Source) -> dict[str, Any]:
    if not IMAGE_ID.fullmatch(sample.image_id):
        raise AbnError(
            f"image_id {sample.image_id!r} of {sample.file}: letters, digits, '.', '_', '-' alone"
        )
    return {
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


def _count(entries: list[dict[str, Any]]) -> pd.Series:
    return pd.Series([entry["split"] for entry in entries]).value_counts(sort=False)


def _check(entries: list[dict[str, Any]], classes: list[str]) -> None:
    manifest = pd.DataFrame(entries, columns=list(COLUMNS))
    twice = manifest["image_id"][manifest["image_id"].duplicated()]
    if len(twice):
        raise AbnError(f"image_id {twice.iloc[0]!r} stands {len(twice) + 1} times in the source")
    for split in ("train", "val", "test"):
        labels = set(manifest["label"][manifest["split"] == split])
        empty = [name for label, name in enumerate(classes) if label not in labels]
        if empty:
            raise AbnError(
                f"split {split} has no image of class(es) {', '.join(empty)}; "
                "enlarge data.splits or remove the class from the source"
            )


def _statistics(
    images: NDArray[np.uint8], rows: NDArray[np.bool_]
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over ``rows``, pixels scaled to [0, 1]."""
    channels = images.shape[-1]
    counts = np.zeros((channels, 256), np.int64)
    for row in np.flatnonzero(rows):
        for channel in range(channels):
            counts[channel] += np.bincount(images[row, ..., channel].ravel(), minlength=256)
    grey = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
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
