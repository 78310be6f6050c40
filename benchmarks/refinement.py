"""What the refinement moves and what it costs, by data set, over several seeds.

Every row is a whole pipeline run by `dvc exp run --temp` on the committed code and params, with the
overrides below and a seed of its own (data layout, weights, order of the images, held-out edits).
All runs use the simulated annotator.

Run on a clean checkout: python benchmarks/refinement.py [--seeds 1 2 3] [--cases default decoy …]
"""

import argparse
import csv
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

RESULT = Path("benchmarks/results/refinement.csv")
CENTRED = ["data.image_size=32", "data.placement=centred", "data.object_size=[28,28]"]
CASES = {
    "default": [],
    "decoy": [*CENTRED, "data.decoy.size=4", "data.decoy.correlation=1.0"],
    "plain": [*CENTRED, "data.decoy.size=0"],
    "no_gate_jitter": ["train.gate_jitter=0.0", "finetune.max_accuracy_drop=0.02"],
}
"""decoy: the published Decoy Fashion-MNIST; plain: centred Fashion-MNIST without any patch."""
FIGURES = ("accuracy", "branch_accuracy", "iou", "contrast")


def main() -> None:
    """Run what is asked for, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    asked = parser.parse_args()
    rows = list(_known())
    for case in asked.cases:
        for seed in asked.seeds:
            rows = [row for row in rows if (row["case"], row["seed"]) != (case, str(seed))]
            rows.append(_run(case, seed))
            _write(rows)
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    for case in CASES:
        _summarise(case, [row for row in rows if row["case"] == case])


def _run(case: str, seed: int) -> dict[str, str]:
    name = f"benchmark-{case.replace('_', '-')}-{seed}"
    overrides = [f"--set-param={one}" for one in (*CASES[case], f"seed={seed}")]
    command = ["dvc", "exp", "run", "--temp", "--force", "--name", name, *overrides]
    subprocess.run([*command, "--quiet"], check=True)
    listed = subprocess.run(
        ["git", "for-each-ref", "--format=%(objectname) %(refname:lstrip=-1)", "refs/exps"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    commits = {line.split()[1]: line.split()[0] for line in listed.stdout.splitlines()}
    shown = subprocess.run(
        ["git", "show", f"{commits[name]}:reports/metrics/finetune_attention.json"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return {"case": case, "seed": str(seed), **_figures(json.loads(shown.stdout))}


def _figures(metrics: dict[str, Any]) -> dict[str, str]:
    found = {
        f"{when}_{name}": metrics[when]["test"][name]
        for name in FIGURES
        for when in ("before", "after")
    }
    for when in ("before", "after"):
        found[f"{when}_shifted_accuracy"] = metrics[when].get("test_shifted", {}).get("accuracy")
    for name, values in metrics["baselines"]["test"].items():
        found[f"{name}_iou"] = values["iou"]
    found["edited_images"] = metrics["edited_images"]
    return {
        name: "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
        for name, value in found.items()
    }


def _known() -> Iterator[dict[str, str]]:
    if RESULT.exists():
        with RESULT.open(encoding="utf-8", newline="") as stream:
            yield from csv.DictReader(stream)


def _write(rows: list[dict[str, str]]) -> None:
    with RESULT.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: (row["case"], int(row["seed"]))))


def _summarise(case: str, rows: list[dict[str, str]]) -> None:
    if not rows:
        return
    print(f"{case}: {len(rows)} seed(s), mean ± standard deviation")
    for name in list(rows[0])[2:]:
        values = [float(row[name]) for row in rows if row[name]]
        if values:
            spread = np.std(values, ddof=1) if len(values) > 1 else float("nan")
            print(f"  {name:28} {np.mean(values):.4f} ± {spread:.4f}")


if __name__ == "__main__":
    main()
