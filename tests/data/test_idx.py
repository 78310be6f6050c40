import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from abn.data import idx
from abn.errors import AbnError


def _write(path: Path, content: bytes) -> Path:
    with gzip.open(path, "wb") as stream:
        stream.write(content)
    return path


def _idx(array: np.ndarray) -> bytes:
    return (
        bytes((0, 0, 8, array.ndim))
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


def test_images_come_back_as_written(tmp_path: Path) -> None:
    """The format holds unsigned bytes in row-major order behind a big-endian shape."""
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    assert np.array_equal(idx.read(_write(tmp_path / "a.gz", _idx(images)), 3), images)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (_idx(np.zeros((2, 3, 3), np.uint8))[:-1], "promises 18 bytes (2×3×3), it holds 17"),
        (_idx(np.zeros((2, 3, 3), np.uint8)) + b"x", "it holds 19"),
        (_idx(np.zeros(4, np.uint8)), "not an IDX file of unsigned bytes in 3 dimension(s)"),
        (b"", "not an IDX file"),
    ],
)
def test_a_file_that_is_not_what_its_header_says_is_named(
    content: bytes, says: str, tmp_path: Path
) -> None:
    """Truncated, overlong and foreign files are an error that names the file."""
    path = _write(tmp_path / "images.gz", content)
    with pytest.raises(AbnError) as error:
        idx.read(path, 3)
    assert str(path) in str(error.value)
    assert says in str(error.value)


def test_truncated_or_corrupt_compression_is_named(tmp_path: Path) -> None:
    """A download that broke off, and a file that is no gzip at all."""
    whole = _write(tmp_path / "a.gz", _idx(np.ones((9, 9, 9), np.uint8))).read_bytes()
    for broken in (whole[:-9], b"<html>not found</html>", whole[:12] + b"\xff" * 20):
        path = tmp_path / "broken.gz"
        path.write_bytes(broken)
        with pytest.raises(AbnError, match=r"broken\.gz: truncated or corrupt"):
            idx.read(path, 3)


def test_a_missing_file_is_named_with_the_parameter_to_mend(tmp_path: Path) -> None:
    """The way out stands in the message."""
    with pytest.raises(AbnError, match=r"none\.gz: not found; see data\.root"):
        idx.read(tmp_path / "none.gz", 3)
