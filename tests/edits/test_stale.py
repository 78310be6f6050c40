"""Strokes survive a new model: what was painted stays, what was not shows the new map."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from abn.edits import targets
from abn.edits.export import Edit, Provenance
from abn.edits.stale import Outcome, Stale, resolve

GRID, SIDE = 3, 6
maps = arrays(np.float32, (GRID, GRID), elements=st.floats(0, 1, width=32))
canvases = arrays(np.uint8, (SIDE, SIDE), elements=st.integers(0, 255))


@pytest.fixture(autouse=True, scope="module")
def small_canvas() -> Iterator[None]:
    """Let a map of 3×3 be edited on 6×6 pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "CANVAS_SIDE", SIDE)
        yield


def resolved(
    painted: NDArray[np.uint8], shown: NDArray[np.uint8], own: NDArray[np.float32], how: Stale
) -> Outcome:
    of = Provenance(
        task=1, image_id="a", annotation=1, annotator="1", updated_at="2026-01-02T10:00:00Z",
        lead_time=None, simulated=False, model="old", sha256=None,
    )  # fmt: skip
    return resolve(Edit(of, painted, from_nothing=False, shown=lambda: shown), own, "new", how)


@given(canvases, maps)
def test_rebased_onto_the_same_map_is_kept(
    painted: NDArray[np.uint8], own: NDArray[np.float32]
) -> None:
    """If the new model's map is the old one's, rebase and keep are the same."""
    shown = targets.to_canvas(own)
    rebased, kept = (resolved(painted, shown, own, how) for how in ("rebase", "keep"))
    assert (rebased.stale, kept.stale) == ("rebased", "kept")
    np.testing.assert_array_equal(rebased.target, kept.target)


@given(canvases, maps)
def test_untouched_is_the_new_map(shown: NDArray[np.uint8], own: NDArray[np.float32]) -> None:
    """An annotation that changed nothing becomes the new model's own map, within 1/255."""
    np.testing.assert_allclose(resolved(shown, shown, own, "rebase").target, own, atol=1 / 255)


@given(canvases, canvases, maps)
def test_strokes_survive(
    painted: NDArray[np.uint8], shown: NDArray[np.uint8], own: NDArray[np.float32]
) -> None:
    """Each pixel that was changed is as it was painted, each other one the new map's."""
    rebased = targets.rebase(painted, shown, own)
    changed = painted != shown
    np.testing.assert_array_equal(rebased[changed], painted[changed])
    np.testing.assert_array_equal(rebased[~changed], targets.to_canvas(own)[~changed])
    np.testing.assert_array_equal(
        resolved(painted, shown, own, "rebase").target, targets.from_canvas(rebased, GRID)
    )
