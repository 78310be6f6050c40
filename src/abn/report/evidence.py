"""What the stages left behind, opened for the report: tables in memory, pixels on disk."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from abn import paths
from abn.data import prepared, rounds
from abn.data.prepared import Prepared
from abn.errors import AbnError
from abn.params import Params

STAGES = (
    "prepare", "train_abn", "export_attention", "import_edits", "finetune_attention",
    "analyze_channels",
)  # fmt: skip
SAMPLES = (
    "image_id", "split", "label", "before_predicted", "before_confidence", "after_predicted",
    "after_confidence", "before_alignment", "after_alignment",
)  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """All that the report is made from; nothing here depends on the day or the machine."""

    params: Params
    prepared: Prepared
    maps_before: NDArray[np.float16]
    """N×h×w in [0, 1], memory-mapped."""
    maps_after: NDArray[np.float16]
    samples: pd.DataFrame
    """Row by row as the manifest; ``edited`` says which images people edited."""
    edits: pd.DataFrame
    """edits.csv; ``row`` is the image's row in the manifest, ``target`` its row in ``targets``."""
    targets: NDArray[np.float32]
    """n×h×w in [0, 1], memory-mapped; one row for each accepted edit."""
    channels: pd.DataFrame
    training: pd.DataFrame
    finetuning: pd.DataFrame
    front: pd.DataFrame
    trained: dict[str, Any]
    """The training stage's metrics."""
    finetuned: dict[str, Any]
    """The fine-tuning stage's metrics."""
    analysed: dict[str, Any]
    """The channel analysis's metrics."""
    keys: dict[str, str]
    """By stage."""
    earlier: Sequence[Mapping[str, Any]] = ()
    """The rounds before this one, oldest first (``abn.data.rounds``)."""

    @property
    def has_masks(self) -> bool:
        """Whether any test image has an alignment with a mask."""
        return bool(self.unedited("test")["before_alignment"].notna().any())

    @property
    def simulated(self) -> bool:
        """Whether a program made any of the edits in use."""
        return bool((self.accepted["origin"] == "simulated").any())

    @property
    def accepted(self) -> pd.DataFrame:
        """The edits in use."""
        return self.edits[self.edits["status"] == "accepted"]

    def unedited(self, split: str) -> pd.DataFrame:
        """Give the samples of a split that nobody edited."""
        return self.samples[(self.samples["split"] == split) & ~self.samples["edited"]]


def read(params: Params) -> Evidence:
    """Open every artefact; raise ``AbnError`` that names the first one missing."""
    data = prepared.load(paths.PREPARED)
    samples = _table(paths.REFINED / "samples.csv", SAMPLES)
    if len(samples) != len(data.manifest):
        raise AbnError(
            f"{paths.REFINED / 'samples.csv'} has {len(samples)} rows, the manifest "
            f"{len(data.manifest)}; run `dvc repro`"
        )
    edits = _table(paths.EDITS / "edits.csv")
    edits["row"] = edits["image_id"].map(pd.Series(samples.index, samples["image_id"]))
    accepted = edits["status"] == "accepted"
    edits["target"] = (accepted.cumsum() - 1).where(accepted)
    samples["edited"] = samples["image_id"].isin(edits["image_id"][accepted])
    for side in ("before", "after"):
        samples[f"{side}_correct"] = samples[f"{side}_predicted"] == samples["label"]
    return Evidence(
        params=params,
        prepared=data,
        maps_before=_array(paths.ATTENTION / "maps.npy"),
        maps_after=_array(paths.REFINED / "maps.npy"),
        samples=samples,
        edits=edits,
        targets=_array(paths.EDITS / "targets.npy"),
        channels=_table(paths.CHANNELS),
        training=_table(paths.PLOTS / "train_abn.csv"),
        finetuning=_table(paths.PLOTS / "finetune_attention.csv"),
        front=_table(paths.PLOTS / "front.csv"),
        trained=_json(paths.metrics_file("train_abn")),
        finetuned=_json(paths.metrics_file("finetune_attention")),
        earlier=rounds.load(params.model.base).history,
        analysed=_json(paths.metrics_file("analyze_channels")),
        keys={stage: _json(paths.run_file(stage))["key"] for stage in STAGES},
    )


def _table(path: Path, columns: tuple[str, ...] | None = None) -> pd.DataFrame:
    # Only an empty field is a missing value: a class may be called "None" or "NA".
    texts = dict.fromkeys(("image_id", "annotator", "name", "reason", "updated_at"), str)
    try:
        return pd.read_csv(
            path, usecols=columns, dtype=texts, keep_default_na=False, na_values=[""]
        )
    except FileNotFoundError:
        raise AbnError(f"{path}: not found; run `dvc repro`") from None


def _array(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise AbnError(f"{path}: not found; run `dvc repro`") from None
    return array


def _json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AbnError(f"{path}: not found; run `dvc repro`") from None
    return value
