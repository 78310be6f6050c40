"""What `prepare` takes on many small photographs: time, processors kept busy, memory, restarts.

    python benchmarks/prepare.py [--images 10000 100000]

JPEG files of 160×120 in ten classes are written to a temporary folder, each of its own content;
then prepare's own calls run in a process of their own, on all processors.

- Memory is anonymous memory of the process and its workers together (Pss_Anon, which counts a page
  that they share once), the highest seen; the arrays that are written are mapped files.
- busy: time on a processor, of all processes of prepare, by wall-clock time and processors.
- busy_or_waiting: the same with the time in which they were ready to run and others had the
  processors. On a machine that nobody else uses both are the same; on another, the second is what
  would be busy there.
"""

import argparse
import contextlib
import csv
import io
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from PIL import Image

from abn import params
from abn.data import prepared
from abn.data.sources.catalogue import open_source
from abn.data.workers import processors

RESULT = Path("benchmarks/results/prepare.csv")
SIDE, WIDTH, HEIGHT, CLASSES = 64, 160, 120, 10
SECONDS_BETWEEN_LOOKS = 0.1


def main() -> None:
    """Run what is asked for, print it and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument(
        "--folder", type=Path, help="where to write images; default: a temporary one"
    )
    parser.add_argument("--only-prepare", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only_prepare:
        _prepare()
        return
    rows = []
    for images in asked.images:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_measure(Path(folder), images))
        print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    with RESULT.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _measure(folder: Path, images: int) -> dict[str, Any]:
    with ProcessPoolExecutor() as pool:
        chunks = [(folder / "photos", start, images) for start in range(0, images, 1000)]
        list(pool.map(_write_photographs, *zip(*chunks, strict=True)))
    _write_params(folder)
    command = [sys.executable, str(Path(__file__).resolve()), "--only-prepare"]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    watch = _Watch(process)
    wall = time.perf_counter() - start
    assert process.stdout is not None  # noqa: S101
    said = json.loads(process.stdout.read())
    places = wall * processors()
    return {
        "images": images,
        "processors": processors(),
        "seconds": round(wall, 1),
        "images_per_second": round(images / wall),
        "busy": round(watch.running / places, 3),
        "busy_or_waiting": round(min(1.0, (watch.running + watch.waiting) / places), 3),
        "processor_seconds": round(watch.running, 1),
        "peak_anonymous_mb": round(watch.peak / 2**20, 1),
        "prepared_mb": round(said["bytes"] / 2**20, 1),
    }


class _Watch:
    """Looks at a process and its children until it ends."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.peak = 0
        """Most anonymous memory of all together, bytes."""
        self._ran: dict[int, tuple[int, int]] = {}
        own = psutil.Process(process.pid)
        while process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._look([own, *own.children(recursive=True)])
            time.sleep(SECONDS_BETWEEN_LOOKS)

    @property
    def running(self) -> float:
        """Seconds on a processor."""
        return sum(ran for ran, _ in self._ran.values()) / 1e9

    @property
    def waiting(self) -> float:
        """Seconds ready to run while others had the processors."""
        return sum(waited for _, waited in self._ran.values()) / 1e9

    def _look(self, family: list[psutil.Process]) -> None:
        together = 0
        for one in family:
            folder = Path(f"/proc/{one.pid}")
            with contextlib.suppress(OSError):
                lines = (folder / "smaps_rollup").read_text(encoding="ascii").splitlines()
                kilobytes = [line.split()[1] for line in lines if line.startswith("Pss_Anon:")]
                together += 1024 * sum(map(int, kilobytes))
                ran, waited, _ = (folder / "schedstat").read_text(encoding="ascii").split()
                self._ran[one.pid] = (int(ran), int(waited))
        self.peak = max(self.peak, together)


def _prepare() -> None:
    """Do what the stage does, in a process that does nothing else."""
    every = params.load(Path("params.yaml"))
    source = open_source(every.data, every.seed)
    dataset = prepared.write(source, every.data.image_size, Path("prepared"))
    written = sum(path.stat().st_size for path in Path("prepared").iterdir())
    print(json.dumps({"bytes": written, "images": sum(dataset["images"].values())}))


def _write_params(folder: Path) -> None:
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    values["data"] |= {
        "source": "image_folder", "root": "photos", "image_size": SIDE,
        "splits": {"train": None, "val": 0.1, "test": 0.1},
    }  # fmt: skip
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


def _write_photographs(root: Path, start: int, images: int) -> None:
    """Write smooth, noisy JPEGs as a camera's, each different."""
    random = np.random.default_rng(start)
    for number in range(start, min(start + 1000, images)):
        folder = root / f"class {number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        image = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        noisy = np.asarray(image) + random.normal(0, 6, (HEIGHT, WIDTH, 1))
        stream = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=88)
        (folder / f"{number:06d}.jpg").write_bytes(stream.getvalue())


if __name__ == "__main__":
    main()
