"""What earlier rounds left, and what is said where it is missing or spoilt."""

import json
from pathlib import Path
from typing import Any

import pytest

from abn.data import rounds
from abn.errors import AbnError

IMAGES = "image_id,role,edited\na,finetune,1\nb,report,1\nc,choose,0\n"


def freeze(number: int, base: int | None, earlier: list[Any]) -> Path:
    """Write what is read of a frozen round."""
    folder = rounds.folder(number)
    folder.mkdir(parents=True)
    (folder / "images.csv").write_text(IMAGES)
    about = {"round": number, "base": base, "model": f"abn-{number}", "earlier": earlier}
    (folder / "round.json").write_text(json.dumps(about))
    (folder / "summary.json").write_text(json.dumps({"edited_images": 2 * number}))
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_from_scratch_there_is_nothing_before() -> None:
    """No folder is looked for."""
    found = rounds.load(None)
    assert (found.roles, found.edited, found.exports, found.history) == ({}, frozenset(), (), ())


def test_a_round_gives_its_images_its_edits_and_its_whole_chain() -> None:
    """Roles of all images, those edited, the export, and a row for each round, oldest first."""
    freeze(1, None, [])
    first = rounds.load(1).history
    folder = freeze(4, 1, list(first))
    found = rounds.load(4)
    assert found.roles == {"a": "finetune", "b": "report", "c": "choose"}
    assert found.edited == {"a", "b"}
    assert found.exports == [folder / "export.json"]
    assert list(found.history) == [
        {"round": 1, "base": None, "model": "abn-1", "summary": {"edited_images": 2}},
        {"round": 4, "base": 1, "model": "abn-4", "summary": {"edited_images": 8}},
    ]


def test_a_missing_round_says_where_it_comes_from() -> None:
    """As in a fresh clone before `dvc pull`."""
    with pytest.raises(AbnError, match=r"model\.base is 3.*`dvc pull data/rounds/3`"):
        rounds.load(3)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("images.csv", "image_id,edited\na,1\n"),
        ("images.csv", "image_id,role,edited\na,teach,1\n"),
        ("round.json", "{"),
        ("round.json", "[]"),
        ("round.json", '{"round": 1}'),
        ("summary.json", b"\xff\xfe"),
    ],
)
def test_a_spoilt_round_says_how_to_get_it_back(name: str, content: str | bytes) -> None:
    """A column, a role, or the JSON is not as it was left."""
    folder = freeze(1, None, [])
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AbnError, match=r"not as `abn round start` left it.*dvc checkout"):
        rounds.load(1)
