"""``abn round start``; tests/pipeline/test_rounds.py freezes real ones."""

from pathlib import Path

import pytest

from abn import rounds
from abn.data.rounds import Earlier


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_round_kept_elsewhere_counts_too() -> None:
    """A clone in which round 7 was not pulled doesn't give its number to another."""
    for name in ("None", "1", ".2.part"):
        Path("data/rounds", name).mkdir(parents=True)
    Path("data/rounds/7.dvc").touch()
    assert max(rounds._numbers()) == 7


def test_roles_of_all_rounds_are_frozen() -> None:
    """Of images not selected any more too; edited is what is accepted now."""
    Path("data/edits").mkdir(parents=True)
    Path("data/edits/edits.csv").write_text(
        "image_id,role,status\nd,finetune,not annotated\ne,choose,accepted\nb,report,accepted\n"
        "a,finetune,rejected\nx,,rejected\n"
    )
    earlier = Earlier({"a": "finetune", "b": "report", "c": "choose"}, frozenset("abc"))
    found = {one["image_id"]: (one["role"], one["edited"]) for one in rounds._images(earlier)}
    assert found == {
        "a": ("finetune", 0), "b": ("report", 1), "c": ("choose", 0), "d": ("finetune", 0),
        "e": ("choose", 1),
    }  # fmt: skip
