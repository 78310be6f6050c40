"""Reading the IDX files of the MNIST family."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from abn.errors import AbnError

UNSIGNED_BYTE = 0x08


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read a gzip-compressed IDX file of unsigned bytes.

    Args:
        path: The file.
        dimensions: 3 for images (N×H×W), 1 for labels (N).

    Raises:
        AbnError: The file is missing, truncated, corrupt or of another kind; the message names it.
    """
    try:
        with gzip.open(path) as stream:
            content = stream.read()
    except FileNotFoundError:
        raise AbnError(f"{path}: not found; see data.root in params.yaml") from None
    except (EOFError, OSError, zlib.error) as error:
        raise AbnError(f"{path}: truncated or corrupt ({error}); fetch the file anew") from None
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, UNSIGNED_BYTE, dimensions)):
        raise AbnError(f"{path}: not an IDX file of unsigned bytes in {dimensions} dimension(s)")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = int(np.prod(shape, dtype=np.int64))
    if len(content) - header != expected:
        raise AbnError(
            f"{path}: its header promises {expected} bytes ({'×'.join(map(str, shape))}), "
            f"it holds {len(content) - header}; fetch the file anew"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
