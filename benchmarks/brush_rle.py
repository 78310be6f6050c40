"""Our brush RLE codec against label-studio-sdk's, on a canvas of 512×512.

    python benchmarks/brush_rle.py

Both code the same masks in turns in one process; what one writes the other must read. Of each pair
of timings the median and the quartiles are told. The soft mask is a Gaussian blob in all 256
levels, smooth as an enlarged map; on noise, which no person paints, the gain is smaller.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from label_studio_sdk.converter import brush
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from abn import atomic
from abn.edits import brush_rle

SIDE = 512
REPEATS = 9
RESULTS = Path(__file__).parent / "results" / "brush_rle.csv"
COLUMNS = (
    "mask", "operation", "integers", "ours_ms", "ours_low", "ours_high",
    "sdk_ms", "sdk_low", "sdk_high", "times_as_fast",
)  # fmt: skip


def main() -> None:
    """Measure, print a table and write it to benchmarks/results."""
    rows = list(measured())
    atomic.write_csv(RESULTS, rows, COLUMNS)
    title = f"{SIDE}×{SIDE}, ms (quartiles); numpy {np.__version__}, "
    table = Table(title=title + f"label-studio-sdk {version('label-studio-sdk')}")
    for column in ("mask", "operation", "integers", "ours", "SDK", "times as fast"):
        table.add_column(column, justify="right")
    for row in rows:
        times = [
            f"{row[f'{who}_ms']:.2f} ({row[f'{who}_low']:.2f} to {row[f'{who}_high']:.2f})"
            for who in ("ours", "sdk")
        ]
        first = [row["mask"], row["operation"], str(row["integers"])]
        table.add_row(*first, *times, f"{row['times_as_fast']:.1f}")
    Console(width=110).print(table)


def measured() -> Iterator[dict[str, Any]]:
    """Give a row for each mask and operation."""
    for name, mask in masks().items():
        ours, sdk = brush_rle.encode(mask), brush.mask2rle(mask)
        assert np.array_equal(brush_rle.decode(sdk, SIDE, SIDE), mask)  # noqa: S101
        assert np.array_equal(sdk_decode(ours), mask)  # noqa: S101
        first = {"mask": name, "integers": len(ours)}
        yield {
            **first,
            "operation": "decode",
            **compared(lambda rle=ours: brush_rle.decode(rle, SIDE, SIDE),  # type: ignore[misc]
                       lambda rle=ours: sdk_decode(rle)),  # type: ignore[misc]
        }  # fmt: skip
        yield {
            **first,
            "operation": "encode",
            **compared(lambda mask=mask: brush_rle.encode(mask),  # type: ignore[misc]
                       lambda mask=mask: brush.mask2rle(mask)),  # type: ignore[misc]
        }  # fmt: skip


def masks() -> dict[str, NDArray[np.uint8]]:
    """Give a blob in 256 levels, in 8, and hard."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    blob = np.rint(255 * np.exp(-8 * ((x - 0.45) ** 2 + (y - 0.4) ** 2))).astype(np.uint8)
    return {
        "binary": (blob > 127).astype(np.uint8) * np.uint8(255),
        "8 levels": (blob // 32 * 36).astype(np.uint8),
        "soft": blob,
    }


def sdk_decode(rle: list[int]) -> NDArray[np.uint8]:
    """Decode as the SDK's converter does."""
    mask: NDArray[np.uint8] = brush.decode_rle(rle).reshape(SIDE, SIDE, 4)[:, :, 3]
    return mask


def compared(ours: Callable[[], Any], sdk: Callable[[], Any]) -> dict[str, float]:
    """Time both in turns."""
    times: dict[str, list[float]] = {"ours": [], "sdk": []}
    for _ in range(REPEATS):
        for who, run in (("ours", ours), ("sdk", sdk)):
            start = time.perf_counter()
            run()
            times[who].append((time.perf_counter() - start) * 1000)
    row = {}
    for who, each in times.items():
        low, middle, high = statistics.quantiles(each, n=4)
        row |= {f"{who}_ms": middle, f"{who}_low": low, f"{who}_high": high}
    return {**row, "times_as_fast": row["sdk_ms"] / row["ours_ms"]}


if __name__ == "__main__":
    main()
