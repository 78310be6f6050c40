"""A list of tasks is read one by one, as json.loads reads it at once."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abn.edits import task_file
from abn.errors import AbnError

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@SAME_FOLDER
@given(st.lists(VALUES, max_size=5), st.integers(1, 12), st.sampled_from([None, 1]))
def test_reads_as_json_does(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], chunk: int, indent: int | None
) -> None:
    """However small the pieces that are read, the items are those of the list."""
    path = tmp_path_factory.mktemp("json") / "export.json"
    path.write_text(json.dumps(values, indent=indent), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_file, "CHUNK", chunk)
        assert list(task_file.read(path)) == values


@SAME_FOLDER
@given(st.binary(max_size=40))
def test_any_bytes_are_a_list_or_raise(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Any bytes are read as json.loads reads them, or raise the one error."""
    path = tmp_path_factory.mktemp("json") / "export.json"
    path.write_bytes(content)
    try:
        values = list(task_file.read(path))
    except AbnError:
        return
    assert values == json.loads(content.decode("utf-8-sig"))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A task a line, valid JSON."""
    tasks = [{"id": 1, "data": {"image_id": "ä"}}, {"id": 2}]
    task_file.write(tmp_path / "tasks.json", tasks)
    assert json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8")) == tasks
    assert len((tmp_path / "tasks.json").read_text(encoding="utf-8").splitlines()) == 4
    assert list(task_file.read(tmp_path / "tasks.json")) == tasks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: a list of tasks must begin here"),
        ('{"id": 1}', "line 1, column 1: a list of tasks must begin here"),
        ("id,image\n1,a.png", "line 1, column 1: a list of tasks must begin here"),
        ('[{"id": 1},\n {"id": 2', "line 2, column 10: malformed JSON or truncated"),
        ('[{"id": 1},\n {"id" 2}]', "line 2, column 8: malformed JSON or truncated"),
        ('[{"id": 1}\n {"id": 2}]', "line 2, column 2: a comma or the end"),
        ("[1, 2", "line 1, column 6: a comma or the end"),
        ("[]\n[]", "line 2, column 1: something stands after"),
        ("[" * 100_000, "line 1, column 2: no task of Label Studio's"),
        (f"[{'9' * 5000}]", "line 1, column 2: no task of Label Studio's"),
    ],
)
def test_malformed_json_is_located(tmp_path: Path, text: str, message: str) -> None:
    """The error names file, line and column."""
    path = tmp_path / "export.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AbnError, match=f"export.json: {message}"):
        list(task_file.read(path))


def test_lines_are_counted_across_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is right where the file was read in many pieces."""
    monkeypatch.setattr(task_file, "CHUNK", 16)
    path = tmp_path / "export.json"
    path.write_text("[" + '{"id": 1},\n' * 100 + '  {"id": oh}]', encoding="utf-8")
    with pytest.raises(AbnError, match="line 101, column 10: malformed"):
        list(task_file.read(path))


def test_what_is_no_text_or_no_file(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, and a file that isn't there, are named."""
    (tmp_path / "export.json").write_bytes(b'["\xff"]')
    with pytest.raises(AbnError, match=r"export.json: not UTF-8 text"):
        list(task_file.read(tmp_path / "export.json"))
    with pytest.raises(AbnError, match=r"none.json: can't be read: No such file"):
        list(task_file.read(tmp_path / "none.json"))
