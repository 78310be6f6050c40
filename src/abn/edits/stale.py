"""What becomes of an edit whose map was another model's than the present one."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from abn.edits import targets
from abn.edits.export import Edit
from abn.errors import AbnError

Stale = Literal["keep", "rebase", "drop"]


class Outcome(NamedTuple):
    """An edit as a target map."""

    target: NDArray[np.float32]
    """h×h in [0, 1]."""
    stale: str = ""
    """Empty (made on the present model's map), kept or rebased."""
    reason: str = ""
    """Why it is not what ``edits.stale`` leads one to expect, if so."""


def resolve(edit: Edit, own: NDArray[np.float32], model: str | None, stale: Stale) -> Outcome:
    """Make an edit's target map, by ``stale`` if it was made on another model's map.

    ``keep`` takes the canvas as the annotator left it; ``rebase`` takes the pixels that the
    annotator changed, and the present model's map elsewhere. Kept under ``rebase`` too is an edit

    - that was drawn after the map had been deleted: it says "only here", or "nowhere";
    - whose old map is not in the export, so that the strokes can't be told from the map;
    - that says "fine as it is": of the map that was shown, which is then the target. The present
      model's map nobody has approved; if the old one is not in the export, there is no target.

    An edit that doesn't name its model is taken for one of the present model's.

    Args:
        edit: From an export.
        own: The present model's map, float32 h×h in [0, 1].
        model: The present model's name; None if there is none to compare with.
        stale: What to do.

    Raises:
        AbnError: It is stale, and ``drop`` or the lack of the old map leaves no target.
    """
    made_on = edit.provenance.model
    if made_on is None or model is None or made_on == model:
        return Outcome(own if edit.painted is None else _averaged(edit.painted, own))
    if stale == "drop":
        raise AbnError(f"made on the map of {made_on}, the model is {model}; edits.stale: drop")
    if edit.painted is None:
        return Outcome(_averaged(_approved(edit), own), "kept", f"{made_on}'s map is called fine")
    kept = Outcome(_averaged(edit.painted, own), "kept")
    if stale == "keep":
        return kept
    if edit.from_nothing:
        return kept._replace(reason="not rebased: drawn anew, the map shown was deleted")
    try:
        rebased = targets.rebase(edit.painted, edit.shown(), own)
    except AbnError as error:
        return kept._replace(reason=f"not rebased: {error}")
    return Outcome(_averaged(rebased, own), "rebased")


def _approved(edit: Edit) -> NDArray[np.uint8]:
    try:
        return edit.shown()
    except AbnError as error:
        raise AbnError(f"calls a map of {edit.provenance.model} fine; {error}") from None


def _averaged(canvas: NDArray[np.uint8], own: NDArray[np.float32]) -> NDArray[np.float32]:
    return targets.from_canvas(canvas, len(own))
