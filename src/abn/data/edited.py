"""What import_edits leaves: the edited images and their target maps."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from abn.data.prepared import Prepared


class Edited(NamedTuple):
    """Edited images of one role."""

    rows: NDArray[np.int64]
    """Of the prepared set."""
    targets: NDArray[np.float32]
    """n×h×w in [0, 1]."""


def load(folder: Path, prepared: Prepared) -> dict[str, Edited]:
    """Read the accepted edits by their role: finetune, choose, report."""
    table = pd.read_csv(folder / "edits.csv", dtype={"image_id": str}, keep_default_na=False)
    accepted = table[table["status"] == "accepted"].reset_index(drop=True)
    targets = np.load(folder / "targets.npy")
    row_of = {image_id: row for row, image_id in enumerate(prepared.manifest["image_id"])}
    rows = np.array([row_of[image_id] for image_id in accepted["image_id"]], np.int64)
    of_role = {
        role: np.flatnonzero((accepted["role"] == role).to_numpy())
        for role in ("finetune", "choose", "report")
    }
    return {role: Edited(rows[at], targets[at]) for role, at in of_role.items()}
