import subprocess
import sys
from pathlib import Path

import numpy as np

from abn.data import arrays

FILL = """
import resource, sys
from pathlib import Path
from abn.data import arrays
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    arrays.create(Path(sys.argv[1]), (100, 100, 100), "uint8")[:] = 1
except OSError as error:
    print("refused:", error.strerror)
"""


def test_an_array_reads_back_as_numpy_has_it(tmp_path: Path) -> None:
    """A plain .npy file."""
    array = arrays.create(tmp_path / "a.npy", (3, 4), np.float16)
    array[:] = 2
    del array
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.full((3, 4), 2, np.float16))


def test_too_little_space_is_an_error_at_once_and_not_the_end_of_the_process(
    tmp_path: Path,
) -> None:
    """A bound on the size of files stands for the full disk."""
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path / "a.npy")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert "refused: File too large" in done.stdout


def test_an_array_that_is_shortened_holds_its_first_rows(tmp_path: Path) -> None:
    """As if it had been made so."""
    for rows, name in ((12_345, "long.npy"), (7, "short.npy")):
        array = arrays.create(tmp_path / name, (rows, 3, 2), np.uint8)
        array[:7] = np.arange(42).reshape(7, 3, 2)
        array.flush()
    arrays.shorten(tmp_path / "long.npy", 7)
    assert (tmp_path / "long.npy").read_bytes() == (tmp_path / "short.npy").read_bytes()
