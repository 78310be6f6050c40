"""Writes what the stages leave behind, small: shapes on a dark canvas, maps that move onto them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from abn import paths

PLAIN = ("Circle", "Square", "Cross", "Ring", "Bar", "Diamond")
HOSTILE = (
    "<script>document.title='broken'</script>",
    "</script><img src=x onerror=\"document.title='broken'\">",
    "\"quotes' & {{ braces }} | pipes | `ticks`",
    "雨 ünïcödé \u202eكلمة 🦊",
    "x" * 300,
    "<b>bold</b> &amp; ${template}\\u003c%s",
)
STAGES = ("prepare", "train_abn", "export_attention", "import_edits", "finetune_attention",
          "analyze_channels")  # fmt: skip
EFFECTS = ("necessity_contrast", "necessity_iou", "necessity_accuracy", "sufficiency_contrast",
           "sufficiency_iou", "shapley")  # fmt: skip
SIDE, GRID, EDITED = 48, 24, 48
FRONT_OF_ONE = ("epoch", "accuracy", "alignment", "chosen")
ALIGNMENT = {
    "iou_validated": 1.02, "average_precision": 1.1, "energy_inside": 0.46,
    "energy_inside_above_floor": 0.8, "energy_over_chance": 2.4, "relevance_rank_accuracy": 1.05,
    "pointing_game": 1.15, "contrast": 0.68, "insertion": 0.9, "deletion": 0.3,
}  # fmt: skip
"""As multiples of the IoU."""
BASELINES = {"constant_map": {"iou": 0.34}, "class_mean_mask": {"iou": 0.35}}


@dataclass(frozen=True)
class Recipe:
    """What to write."""

    classes: Sequence[str] = PLAIN
    counts: Sequence[tuple[str, int]] = (("train", 240), ("val", 90), ("test", 180))
    masks: bool = True
    holdout: bool = True
    origin: str = "simulated"
    annotators: Sequence[str] = ("simulated annotator",)
    sparse: bool = False
    """Leave all pixels zero, as holes in the files: for sets too large to draw."""
    recipes: Sequence[str] = ("paper", "guarded")
    """Of the fine-tuning, the last one kept; none: written as before there were several."""
    colour: bool = False
    noise: bool = False
    """Images that no codec makes small."""


DEFAULT = Recipe()


def write(root: Path, recipe: Recipe = DEFAULT) -> None:
    """Write every artefact that the report reads under ``root``."""
    rng = np.random.default_rng(0)
    total = sum(count for _, count in recipe.counts)
    split = np.repeat([name for name, _ in recipe.counts], [count for _, count in recipe.counts])
    label = np.arange(total) % len(recipe.classes)
    ids = np.array([f"{name}-{row:05d}" for row, name in enumerate(split)])
    drawn = not recipe.sparse
    samples = _samples(rng, recipe, ids, split, label)
    masks = _pixels(root, rng, recipe, samples) if drawn else _holes(root, total)
    edits = _edits(root, rng, recipe, samples, masks)
    _prepared(root, recipe, samples, masks)
    samples.to_csv(_under(root, paths.REFINED / "samples.csv"), index=False)
    _channels(root, rng, recipe)
    _curves(root, rng, recipe)
    _metrics(root, recipe, samples, edits)
    for stage in STAGES:
        _json(root, paths.run_file(stage), {"stage": stage, "key": f"{hash_of(stage):032x}"})


def hash_of(text: str) -> int:
    """Give a number that is the same in every process."""
    return int.from_bytes(text.encode().ljust(16)[:16], "big")


def _samples(
    rng: np.random.Generator, recipe: Recipe, ids: Any, split: Any, label: Any
) -> pd.DataFrame:
    total, k = len(ids), len(recipe.classes)
    right = {"before": rng.random(total) < 0.87, "after": rng.random(total) < 0.5}
    right["after"] = np.where(rng.random(total) < 0.96, right["before"], right["after"])
    alignment = {"before": np.clip(rng.normal(0.28, 0.1, total), 0, 1),
                 "after": np.clip(rng.normal(0.82, 0.12, total), 0, 1)}  # fmt: skip
    worse = rng.random(total) < 0.05
    alignment["after"][worse] = alignment["before"][worse] * 0.6
    columns: dict[str, Any] = {"image_id": ids, "split": split, "label": label}
    for head in ("", "branch_"):
        for side, correct in right.items():
            wrong = (label + 1 + rng.integers(0, max(k - 1, 1), total)) % k
            columns[f"{head}{side}_predicted"] = np.where(correct, label, wrong)
            columns[f"{head}{side}_confidence"] = np.clip(
                rng.beta(6, 2, total) + 0.12 * correct, 0.2, 1
            )
    for side, values in alignment.items():
        columns[f"{side}_alignment"] = values if recipe.masks else np.nan
    return pd.DataFrame(columns)


def _pixels(root: Path, rng: np.random.Generator, recipe: Recipe, samples: pd.DataFrame) -> Any:
    total, channels = len(samples), 3 if recipe.colour else 1
    y, x = np.mgrid[:SIDE, :SIDE]
    images = rng.integers(0, 25, (total, SIDE, SIDE, channels)).astype(np.uint8)
    masks = np.zeros((total, SIDE, SIDE), np.uint8)
    for row in range(total):
        radius = rng.integers(9, 15)
        cy, cx = rng.integers(radius, SIDE - radius, 2)
        masks[row] = _shape(int(samples["label"][row]), np.abs(y - cy), np.abs(x - cx), radius)
        images[row][masks[row] == 1] = rng.integers(110, 250, channels)
        images[row, :6, :6] = 170
    if recipe.noise:
        images = rng.integers(0, 256, images.shape).astype(np.uint8)
    blocks = masks.reshape(total, GRID, 2, GRID, 2).mean(axis=(2, 4))
    gy, gx = np.mgrid[:GRID, :GRID] / GRID
    blob = np.exp(-((gy - 0.25) ** 2 + (gx - 0.3) ** 2) / 0.08)
    noise = rng.random((2, total, GRID, GRID)) * 0.15
    before = np.clip(0.65 * blob + 0.25 * blocks + noise[0], 0, 1)
    after = np.clip(0.08 + 0.75 * blocks + noise[1], 0, 1)
    for path, array in (
        (paths.PREPARED / "images.npy", images),
        (paths.ATTENTION / "maps.npy", before.astype(np.float16)),
        (paths.REFINED / "maps.npy", after.astype(np.float16)),
    ):
        np.save(_under(root, path), array)
    return masks


def _shape(label: int, dy: Any, dx: Any, radius: int) -> Any:
    distance = np.hypot(dy, dx)
    return (
        distance < radius,
        np.maximum(dy, dx) < radius,
        (np.minimum(dy, dx) < radius / 3) & (np.maximum(dy, dx) < radius),
        (distance < radius) & (distance > radius / 2),
        (dy < radius / 2) & (dx < radius),
        dy + dx < radius,
    )[label % 6]


def _holes(root: Path, total: int) -> Any:
    for path, kind, shape in (
        (paths.PREPARED / "images.npy", np.uint8, (total, SIDE, SIDE, 1)),
        (paths.ATTENTION / "maps.npy", np.float16, (total, GRID, GRID)),
        (paths.REFINED / "maps.npy", np.float16, (total, GRID, GRID)),
    ):
        open_memmap(_under(root, path), "w+", kind, shape)
    return open_memmap(
        _under(root, paths.PREPARED / "masks.npy"), "w+", np.uint8, (total, SIDE, SIDE)
    )


def _edits(
    root: Path, rng: np.random.Generator, recipe: Recipe, samples: pd.DataFrame, masks: Any
) -> pd.DataFrame:
    rows = np.flatnonzero(samples["split"] == "train")[:EDITED]
    roles = (
        ["finetune", "finetune", "finetune", "choose", "report"] if recipe.holdout else ["finetune"]
    )
    edits = pd.DataFrame(
        {
            "image_id": samples["image_id"].to_numpy()[rows],
            "role": [roles[i // len(recipe.classes) % len(roles)] for i in range(len(rows))],
            "annotator": [recipe.annotators[i % len(recipe.annotators)] for i in range(len(rows))],
            "updated_at": "2000-01-01T00:00:00Z",
            "lead_time": rng.uniform(4, 40, len(rows)).round(1),
            "origin": recipe.origin,
            "changed": rng.uniform(0.3, 0.9, len(rows)).round(3),
            "agreement": 0.83 if len(recipe.annotators) > 1 else np.nan,
            "status": "accepted",
            "reason": None,
        }
    )
    rejected = edits.iloc[:2].assign(
        image_id=["unknown-1", samples["image_id"].iloc[-1]], annotator=None, origin=None,
        status="rejected", changed=np.nan, role=None, reason="no image of this id <i>is</i> known",
    )  # fmt: skip
    edits = pd.concat([edits.iloc[:1], rejected, edits.iloc[1:]], ignore_index=True)
    edits.to_csv(_under(root, paths.EDITS / "edits.csv"), index=False)
    blocks = masks[rows].reshape(len(rows), GRID, 2, GRID, 2).mean(axis=(2, 4))
    np.save(_under(root, paths.EDITS / "targets.npy"), blocks.astype(np.float32))
    return edits


def _prepared(root: Path, recipe: Recipe, samples: pd.DataFrame, masks: Any) -> None:
    names = np.array(recipe.classes)[samples["label"]]
    pd.DataFrame(
        {
            "image_id": samples["image_id"], "split": samples["split"], "label": samples["label"],
            "class_name": names, "file": [f"{name}.png" for name in names], "width": SIDE,
            "height": SIDE, "sha256": "0" * 64, "has_mask": int(recipe.masks),
        }
    ).to_csv(_under(root, paths.PREPARED / "manifest.csv"), index=False)  # fmt: skip
    if recipe.masks and not recipe.sparse:
        np.save(_under(root, paths.PREPARED / "masks.npy"), masks)
    _json(root, paths.PREPARED / "dataset.json", {
        "source": "shapes", "licence": "none", "classes": list(recipe.classes), "mean": [0.2],
        "std": [0.3], "image_size": SIDE, "alpha_is_mask": False, "digest": "d" * 32,
    })  # fmt: skip


def _channels(root: Path, rng: np.random.Generator, recipe: Recipe) -> None:
    k = len(recipe.classes)
    outputs = [("map", 0)] + [("classes", output) for output in range(k)]
    table = pd.DataFrame([
        {"conv": conv, "output": output, "channel": channel,
         "name": recipe.classes[channel] if conv == "map" else None}
        for conv, output in outputs for channel in range(k)
    ])  # fmt: skip
    for measure in ("weight", "folded", "contribution"):
        table[f"{measure}_before"] = rng.normal(0, 0.5, len(table))
        table[f"{measure}_after"] = table[f"{measure}_before"] + rng.normal(0.2, 0.3, len(table))
    table["change"] = table["folded_after"] - table["folded_before"]
    _judge(root, np.random.default_rng(1), recipe, table)
    for side in ("before", "after"):
        table[f"rank_{side}"] = table.groupby(["conv", "output"])[f"folded_{side}"].rank()
    table.to_csv(_under(root, paths.CHANNELS), index=False)


def _judge(root: Path, rng: np.random.Generator, recipe: Recipe, table: pd.DataFrame) -> None:
    """Add what interventions say of the map's channels, and write the stage's metrics."""
    bars = table["conv"] == "map"
    k = int(bars.sum())
    for name in ("inside_before", "outside_before", "inside_after", "outside_after",
                 "change_by_weight", "change_by_activation"):  # fmt: skip
        table.loc[bars, name] = rng.normal(0, 0.3, k)
    for name in EFFECTS:
        middle = rng.normal(0.05, 0.06, k)
        for end, shift in (("", 0.0), ("_low", -0.02), ("_high", 0.03)):
            table.loc[bars, name + end] = middle + shift
        table.loc[bars, f"{name}_p"] = rng.choice([0.0004, 0.3], k)
    weight = table.loc[bars, "weight_after"]
    table.loc[bars, "high_weight"] = (weight > weight.mean()).astype(int)
    table["relied_on"], table["verdict"] = None, None
    table.loc[bars, "relied_on"] = [("yes", "no", "unclear")[i % 3] for i in range(k)]
    table.loc[bars, "matters"] = [(4, 1, 2)[i % 3] for i in range(k)]
    table.loc[bars, "matters_not"] = [(1, 4, 2)[i % 3] for i in range(k)]
    claimed = table.loc[bars, "high_weight"].map({1: "yes", 0: "no"})
    table.loc[bars, "verdict"] = [
        "undecided" if relied_on == "unclear"
        else "confirmed" if relied_on == claim
        else "refuted"
        for relied_on, claim in zip(table.loc[bars, "relied_on"], claimed, strict=True)
    ]  # fmt: skip
    agreed = {"value": 0.55, "low": 0.31, "high": 0.72}
    _json(root, paths.metrics_file("analyze_channels"), {
        "images": 180, "judged_images": 178 if recipe.masks else 12,
        "judged_by": "masks" if recipe.masks else "edits", "shapley_bias": -0.021,
        "agreement": {
            size: {name: agreed for name in EFFECTS if name != "necessity_accuracy"}
            for size in ("weight", "weight_size", "folded_size", "change_size")
        },
        "change": {"weight": 0.38, "activation": 1.54},
    })  # fmt: skip


def _curves(root: Path, rng: np.random.Generator, recipe: Recipe) -> None:
    epoch = np.arange(1, 9)
    pd.DataFrame({
        "epoch": epoch, "lr": 0.1 / epoch, "train_loss": 2.4 / epoch**0.6,
        "attention_loss": 1.3 / epoch**0.5, "perception_loss": 1.1 / epoch**0.7,
        "val_loss": 1.2 / epoch**0.6, "val_accuracy": 0.87 - 0.3 / epoch,
        "val_branch_accuracy": 0.82 - 0.3 / epoch,
    }).to_csv(_under(root, paths.PLOTS / "train_abn.csv"), index=False)  # fmt: skip
    epoch = np.arange(0, 101, 5)
    iou = 0.28 + 0.57 * (1 - np.exp(-epoch / 15))
    accuracy = 0.868 - 0.014 * (1 - np.exp(-epoch / 40)) + rng.normal(0, 0.001, len(epoch))
    mse = 0.02 + 0.2 * np.exp(-epoch / 12)
    pd.DataFrame({
        "epoch": epoch, "finetune_mse": mse, "val_accuracy": accuracy,
        "val_branch_accuracy": accuracy - 0.04, "val_iou": iou if recipe.masks else np.nan,
        "choose_mse": mse + 0.01,
    }).to_csv(_under(root, paths.PLOTS / "finetune_attention.csv"), index=False)  # fmt: skip
    _front(root, recipe, epoch, accuracy, iou if recipe.masks else -mse)


def _front(root: Path, recipe: Recipe, epoch: Any, accuracy: Any, alignment: Any) -> None:
    curves = [
        pd.DataFrame({
            "recipe": name, "epoch": epoch, "interpolation": 1.0,
            "accuracy": accuracy[0] + (accuracy - accuracy[0]) / (1 + place),
            "alignment": alignment, "chosen": (epoch == 60 - 20 * place).astype(int),
        })
        for place, name in enumerate(recipe.recipes or ("",))
    ]  # fmt: skip
    mixed = curves[-1].iloc[[8, 9]].assign(interpolation=0.5, chosen=0)
    mixed["accuracy"] += 0.001
    table = pd.concat([*curves, mixed]) if recipe.recipes else curves[0][[*FRONT_OF_ONE]]
    table.to_csv(_under(root, paths.PLOTS / "front.csv"), index=False)


def _metrics(root: Path, recipe: Recipe, samples: pd.DataFrame, edits: pd.DataFrame) -> None:
    accepted = edits[edits["status"] == "accepted"].reset_index(drop=True)
    rows_of_edits = accepted["image_id"].map(pd.Series(samples.index, samples["image_id"]))
    targets = np.load(root / paths.EDITS / "targets.npy")
    folders = {"before": paths.ATTENTION, "after": paths.REFINED}
    maps = {side: np.load(root / at / "maps.npy", mmap_mode="r") for side, at in folders.items()}
    squares = {side: (maps[side][rows_of_edits] - targets) ** 2 for side in folders}
    errors = {
        side: {
            role: float(squares[side][(accepted["role"] == role).to_numpy()].mean())
            for role in accepted["role"].unique()
        }
        for side in folders
    }

    def side(name: str) -> dict[str, Any]:
        found = {}
        for split, rows in samples.groupby("split", sort=False):
            found[split] = {
                head + "accuracy": float(
                    (rows[f"{prefix}{name}_predicted"] == rows["label"]).mean()
                )
                for head, prefix in (("", ""), ("branch_", "branch_"))
            }
            if recipe.masks:
                iou = float(rows[f"{name}_alignment"].mean())
                found[split] |= {"iou": iou} | {k: iou * v for k, v in ALIGNMENT.items()}
        held_out = accepted["role"].to_numpy() == "report"
        if held_out.any():
            seen, wanted = maps[name][rows_of_edits][held_out] > 0.5, targets[held_out] > 0.5
            shares = (seen & wanted).sum((1, 2)) / np.maximum((seen | wanted).sum((1, 2)), 1)
            found["held_out"] = {"iou": float(shares.mean())}
        return found

    after = side("after")
    of_recipes = {
        name: {
            split: {metric: value - 0.02 * place for metric, value in values.items()}
            for split, values in after.items()
        }
        for place, name in enumerate(reversed(recipe.recipes))
    }
    named = {"recipe": recipe.recipes[-1], "recipes": of_recipes} if recipe.recipes else {}
    _json(root, paths.metrics_file("finetune_attention"), {
        "before": side("before"), "after": after, **named,
        "baselines": dict.fromkeys(samples["split"].unique(), BASELINES) if recipe.masks else {},
        "attention_mse": errors, "edited_images": len(accepted), "best_epoch": 60,
        "qualified": 1, "annotator": "simulated" if recipe.origin == "simulated" else "people",
    })  # fmt: skip
    _json(root, paths.metrics_file("train_abn"), {
        "epochs": 8, "best_epoch": 8, "val": {"accuracy": 0.868, "branch_accuracy": 0.83},
    })  # fmt: skip


def _json(root: Path, path: Path, value: Any) -> None:
    _under(root, path).write_text(json.dumps(value), encoding="utf-8")


def _under(root: Path, path: Path) -> Path:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    return root / path
