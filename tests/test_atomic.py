import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from abn import atomic

HALF_WRITTEN = """
import sys
from pathlib import Path
from abn import atomic
with atomic.{kind}(Path(sys.argv[1])) as aside:
    target = aside if {kind!r} == "file" else aside / "part.txt"
    target.write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_file_takes_its_place_when_the_block_succeeds(tmp_path: Path) -> None:
    """The new file stands where the old one stood, folders made, nothing else left beside it."""
    path = tmp_path / "made" / "file.txt"
    atomic.write_text(path, "old")
    atomic.write_text(path, "new é")
    assert path.read_text(encoding="utf-8") == "new é"
    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """An exception while writing leaves the old file and nothing beside it."""
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic.file(path) as aside:
            aside.write_text("half")
            raise RuntimeError("while writing")

    with pytest.raises(RuntimeError, match="while writing"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """What only the old folder held is gone, and a block that fails leaves the old one."""
    path = tmp_path / "folder"
    with atomic.folder(path) as aside:
        (aside / "old.txt").write_text("old")
    with atomic.folder(path) as aside:
        (aside / "new.txt").write_text("new")
    assert [one.name for one in path.iterdir()] == ["new.txt"]

    def fail() -> None:
        with atomic.folder(path) as aside:
            (aside / "half.txt").write_text("half")
            raise RuntimeError("while writing")

    with pytest.raises(RuntimeError, match="while writing"):
        fail()
    assert [one.name for one in path.iterdir()] == ["new.txt"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_while_writing_leaves_the_old_one(tmp_path: Path, kind: str) -> None:
    """After SIGKILL in the middle of a write the old content is there, and can be replaced."""
    path = tmp_path / "out"
    content = path if kind == "file" else path / "part.txt"
    content.parent.mkdir(exist_ok=True)
    content.write_text("old")
    writer = subprocess.Popen(
        [sys.executable, "-c", HALF_WRITTEN.format(kind=kind), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    assert content.read_text() == "old"
    with atomic.file(path) if kind == "file" else atomic.folder(path) as aside:
        (aside if kind == "file" else aside / "part.txt").write_text("new")
    assert content.read_text() == "new"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A write that the system refuses raises OSError, and the old file stays."""
    path = tmp_path / "file.txt"
    path.write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            atomic.write_text(path, "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]  # noqa: PTH208


def test_json_refuses_what_json_does_not_have(tmp_path: Path) -> None:
    """NaN and infinity raise ValueError before the file is touched."""
    path = tmp_path / "metrics.json"
    atomic.write_json(path, {"b": 1.5, "a": "é"})
    assert path.read_text(encoding="utf-8") == '{\n "b": 1.5,\n "a": "é"\n}\n'
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON compliant"):
            atomic.write_json(path, {"value": value})
    assert '"b": 1.5' in path.read_text(encoding="utf-8")


def test_csv_fields_have_one_form(tmp_path: Path) -> None:
    """Floats have six significant digits, None is empty, columns stand in the order given."""
    path = tmp_path / "table.csv"
    rows = [{"step": 1, "loss": 1 / 3, "name": 'a "b", c'}, {"step": 2, "loss": None, "extra": 1}]
    atomic.write_csv(path, rows, ["step", "name", "loss"])
    assert path.read_text() == 'step,name,loss\n1,"a ""b"", c",0.333333\n2,,\n'
