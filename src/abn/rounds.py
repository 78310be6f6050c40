"""``abn round start``: freeze the refined model as what the next round of guidance starts from."""

import csv
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abn import atomic, params, paths
from abn.data import rounds
from abn.errors import AbnError
from abn.model import checkpoint
from abn.model.checkpoint import Card
from abn.params import Params
from abn.pipeline import flatten, read_key, read_pipeline, stage_key, values

FROZEN = {
    paths.REFINED_MODEL: rounds.MODEL,
    paths.REFINED_MODEL.with_suffix(".json"): Path(rounds.MODEL).with_suffix(".json").name,
    paths.EDITS / "export.json": rounds.EXPORT,
    paths.metrics_file("summary"): rounds.SUMMARY,
    paths.PLOTS / "front.csv": rounds.FRONT,
}
"""What is copied as it is."""


@dataclass(frozen=True)
class Started:
    """A round that was frozen."""

    number: int
    model: str
    edited: int
    """Images."""
    people: bool
    """Whether the next edits are to come from people."""

    def summary(self) -> str:
        """Say what was frozen and what to do next."""
        folder = rounds.folder(self.number)
        by_people = (
            "dvc repro export_attention",
            "abn annotate push, edit, abn annotate pull",
        )
        steps = (
            f"dvc add {folder}",
            f"git add {folder}.dvc {folder.parent / '.gitignore'}",
            "dvc push, where other machines are to have it",
            f"set model.base: {self.number} in params.yaml",
            *(by_people if self.people else ()),
            "dvc repro",
        )
        head = f"{folder}: {self.model}, refined by the edits of {self.edited} images\nNext:"
        return "\n".join([head, *(f"  {step}" for step in steps)])


def start() -> Started:
    """Freeze the refined model, its edits and its summary as ``data/rounds/<n>``, n counted up.

    Raises:
        AbnError: the pipeline is not up to date, or a round with the same weights is there.
    """
    every = params.load()
    keys = _keys(every)
    _, card = checkpoint.load(paths.REFINED_MODEL)
    _refuse_same(card)
    number = 1 + max(_numbers(), default=0)
    earlier = rounds.load(every.model.base)
    images = _images(earlier)
    about = {
        "round": number,
        "base": every.model.base,
        "model": card.name,
        "weights": card.weights,
        "params": _digest(every),
        "keys": keys,
        "edited_images": sum(row["edited"] for row in images),
        "earlier": earlier.history,
    }
    with atomic.folder(rounds.folder(number)) as aside:
        for source, name in FROZEN.items():
            shutil.copyfile(source, aside / name)
        atomic.write_csv(aside / rounds.IMAGES, images, rounds.COLUMNS)
        atomic.write_json(aside / rounds.ROUND, about)
    people = every.edits.source == "annotations"
    return Started(number, card.name, about["edited_images"], people)


def _keys(every: Params) -> dict[str, str]:
    """Give each stage's key; ``AbnError`` if a stage is not up to date."""
    keys = {}
    for name, declared in read_pipeline().items():
        keys[name] = read_key(name)
        if keys[name] != stage_key(name, values(every, declared.params), declared.deps):
            raise AbnError(
                f"{name}: params, data or code have changed since it ran, so that the refined "
                "model on disk is not what they give; run `dvc repro`, then `abn round start`"
            )
    return keys


def _refuse_same(card: Card) -> None:
    for path in sorted(paths.ROUNDS.glob(f"*/{rounds.ROUND}")):
        if json.loads(path.read_text(encoding="utf-8"))["weights"] == card.weights:
            raise AbnError(
                f"nothing to freeze: {path.parent} is this model, {card.name}, already; "
                f"set model.base: {path.parent.name} and go on from it"
            )


def _numbers() -> list[int]:
    """Give the rounds that are there or, as their .dvc files say, elsewhere."""
    return [int(path.stem) for path in paths.ROUNDS.glob("*") if path.stem.isdecimal()]


def _images(earlier: rounds.Earlier) -> list[dict[str, Any]]:
    """Give images.csv's rows: the roles of all rounds, and whose edits are accepted now."""
    with (paths.EDITS / "edits.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    roles = {**{row["image_id"]: row["role"] for row in rows if row["role"]}, **earlier.roles}
    accepted = {row["image_id"] for row in rows if row["status"] == "accepted"}
    return [
        {"image_id": image_id, "role": role, "edited": int(image_id in accepted)}
        for image_id, role in roles.items()
    ]


def _digest(every: Params) -> str:
    counted = flatten(every.model_dump(exclude={"tracking"}))
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:16]
