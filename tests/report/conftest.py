"""Artefacts of a small pipeline, written and read as the report does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from abn import params
from abn.report import evidence
from abn.report.evidence import Evidence
from tests.report.artefacts import DEFAULT, Recipe, write

PARAMS = Path(__file__).parents[2] / "params.yaml"

Read = Callable[..., Evidence]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Write artefacts by a recipe into an empty repository, make it the current one, read them."""

    def written(recipe: Recipe = DEFAULT, **sections: dict[str, object]) -> Evidence:
        write(tmp_path, recipe)
        monkeypatch.chdir(tmp_path)
        loaded = params.load(PARAMS)
        changed = {
            name: getattr(loaded, name).model_copy(update=update)
            for name, update in sections.items()
        }
        return evidence.read(loaded.model_copy(update=changed))

    return written
