"""What earlier rounds left in data/rounds/<n>: the edited images, their edits, what was measured.

A frozen round holds all that is needed of its predecessors too, so that whoever starts from it
depends on the one folder: abn.safetensors and abn.json (the refined model), images.csv (image_id,
role, edited: every image selected or edited so far), export.json (all edits so far), round.json
(what it rests on, and its predecessors), summary.json and front.csv (what was measured).
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from abn import paths
from abn.errors import AbnError

MODEL, IMAGES, EXPORT = "abn.safetensors", "images.csv", "export.json"
ROUND, SUMMARY, FRONT = "round.json", "summary.json", "front.csv"
COLUMNS = ("image_id", "role", "edited")
"""Of images.csv; edited is 1 where the image's edit was accepted, else 0."""
ROLES = ("finetune", "choose", "report")
"""Edits to learn from, to choose the epoch by, to report by."""


@dataclass(frozen=True)
class Earlier:
    """What the rounds up to the base model left; nothing where it is trained from scratch."""

    roles: Mapping[str, str] = field(default_factory=dict)
    """By image_id, of every image selected or edited so far: it keeps its role for good."""
    edited: frozenset[str] = frozenset()
    """image_id of those that people need not be asked for again."""
    exports: Sequence[Path] = ()
    """Label Studio exports that hold the edits."""
    history: Sequence[Mapping[str, Any]] = ()
    """A round each, oldest first: its number, base, model's name, edited_images, summary."""


NOTHING = Earlier()


def folder(number: int) -> Path:
    """Give the folder of a frozen round."""
    return paths.ROUNDS / str(number)


def load(base: int | None) -> Earlier:
    """Read what the rounds up to ``base`` left; ``AbnError`` if it is missing or malformed."""
    if base is None:
        return NOTHING
    frozen = folder(base)
    try:
        with (frozen / IMAGES).open(encoding="utf-8", newline="") as stream:
            images = list(csv.DictReader(stream))
        return Earlier(
            roles={row["image_id"]: _role(row["role"]) for row in images},
            edited=frozenset(row["image_id"] for row in images if row["edited"] == "1"),
            exports=[frozen / EXPORT],
            history=_history(frozen),
        )
    except FileNotFoundError as error:
        raise AbnError(
            f"{error.filename}: not found, and model.base is {base}; get the round with "
            f"`dvc pull {frozen}`, or name another in params.yaml"
        ) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AbnError(
            f"{frozen}: not as `abn round start` left it ({error!r}); "
            f"get it back with `dvc checkout {frozen}`"
        ) from None


def _history(frozen: Path) -> list[Mapping[str, Any]]:
    own, summary = (
        json.loads((frozen / name).read_text(encoding="utf-8")) for name in (ROUND, SUMMARY)
    )
    earlier: list[Mapping[str, Any]] = own.pop("earlier")
    return [*earlier, own | {"summary": summary}]


def _role(role: str) -> str:
    if role not in ROLES:
        raise ValueError(f"{IMAGES}: role {role!r}")
    return role
