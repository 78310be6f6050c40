"""What the report takes for 1,000, 20,000 and 100,000 images: time, memory, size of the page.

Artefacts as the stages leave them are written to a temporary folder (tests/report/artefacts.py, no
pixels drawn: holes in files); each size is rendered by a process of its own, three times, in turns:
page, text and headline. The imports are counted apart. Pixels and maps of 100,000 images would take
0.7 GB: what memory grows by is the tables' rows.

Bias: no stage around it (params, key, MLflow: benchmarks/pipeline.py), no encoding of noisy photos.

Run: python benchmarks/report.py
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from abn import atomic

ROOT = Path(__file__).resolve().parents[1]
SIZES = (1_000, 20_000, 100_000)
ROUNDS = 3
COLUMNS = ("images", "seconds", "import_seconds", "private_mb", "page_mb")
RENDER = """
import time
began = time.perf_counter()
from pathlib import Path
from abn import params
from abn.report import evidence, page
from abn.report.headline import headline
imported = time.perf_counter()
found = evidence.read(params.load(Path({params!r})))
text = page.render(found)
Path("page.html").write_text(text, encoding="utf-8")
Path("page.md").write_text(page.render_text(found), encoding="utf-8")
headline(found)
done = time.perf_counter()
status = Path("/proc/self/status").read_text()
private = int(status.split("RssAnon:")[1].split()[0]) * 1024
print(done - imported, imported - began, private / 1e6, Path("page.html").stat().st_size / 1e6)
"""


def main() -> None:
    """Measure, print a table and write it to benchmarks/results/report.csv."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.report.artefacts import Recipe, write  # noqa: PLC0415 (beside src, not in it)

    with tempfile.TemporaryDirectory() as folder:
        for images in SIZES:
            test = images * 3 // 10
            counts = (("train", images // 2), ("val", images - images // 2 - test), ("test", test))
            write(Path(folder, str(images)), Recipe(counts=counts, sparse=True))
        found: dict[int, list[list[float]]] = {images: [] for images in SIZES}
        for images in SIZES * ROUNDS:
            found[images].append(rendered(Path(folder, str(images))))
    rows = [
        dict(
            zip(COLUMNS, (images, *map(statistics.median, zip(*rounds, strict=True))), strict=True)
        )
        for images, rounds in found.items()
    ]
    atomic.write_csv(arguments.results / "report.csv", rows, COLUMNS)
    show(rows)


def rendered(folder: Path) -> list[float]:
    """Render in a process of its own; give the columns after ``images``."""
    done = subprocess.run(
        [sys.executable, "-c", RENDER.format(params=str(ROOT / "params.yaml"))],
        cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    return [float(value) for value in done.stdout.split()]


def show(rows: list[dict[str, float]]) -> None:
    """Print a table."""
    table = Table(title="report", caption=f"{os.cpu_count()} cores; medians of {ROUNDS}")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(f"{row['images']:,}", *(f"{row[column]:.2f}" for column in COLUMNS[1:]))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
