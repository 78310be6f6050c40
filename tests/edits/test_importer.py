"""Exports become one target an edited image, and a row for whatever can't be used."""

import copy
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from abn.edits import importer, targets, task_file
from abn.edits.stale import Stale
from abn.errors import AbnError
from tests.edits.exports import GRID, annotation, brush, choice, painted, shape, task

MUTATIONS = 10_000
IDS = ["train-00001", "train-00002", "train-00003", "val-00000", "train-00004"]
MAPS = np.linspace(0, 1, len(IDS) * GRID * GRID).reshape(-1, GRID, GRID).astype(np.float16)
IMAGES = importer.Images(
    ids=IDS,
    splits=["train", "train", "train", "val", "train"],
    roles={"train-00003": "finetune", "train-00001": "choose", "train-00002": "finetune"},
    maps=MAPS,
)
OWN = {image_id: MAPS[row].astype(np.float32) for row, image_id in enumerate(IDS)}
TOP = painted((0, 7, 255))
ALL = painted((0, 15, 255))


@pytest.fixture(autouse=True)
def small_canvas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a map of 4×4 be edited on 16×16 pixels."""
    monkeypatch.setattr(targets, "CANVAS_SIDE", 16)


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., importer.Imported]:
    """Give a function that imports tasks."""

    def run(
        *tasks: Any, merge: importer.Merge = "latest", stale: Stale = "rebase", **images: Any
    ) -> importer.Imported:
        task_file.write(tmp_path / "export.json", tasks)
        return importer.import_edits(
            [tmp_path / "export.json"], replace(IMAGES, **images), merge, stale
        )

    return run


Import = Callable[..., importer.Imported]


def test_every_selected_image_has_a_row(imported: Import) -> None:
    """Accepted, rejected with its reason, not annotated: worst first, targets in that order."""
    result = imported(
        task(annotation(brush(TOP)), image_id="train-00001"),
        task(annotation(brush(TOP, image_rotation=90)), image_id="train-00002", id=13),
    )
    assert [(row["image_id"], row["role"], row["status"]) for row in result.rows] == [
        ("train-00003", "finetune", "not annotated"),
        ("train-00001", "choose", "accepted"),
        ("train-00002", "finetune", "rejected"),
    ]
    assert result.rows[2]["reason"] == (
        "task 13, annotations.0.result.0.image_rotation: is 90.0, must be 0"
    )
    expected = np.zeros((1, GRID, GRID), np.float32)
    expected[:, :2] = 1
    np.testing.assert_array_equal(result.targets, expected)
    assert result.targets.dtype == np.float32


def test_an_accepted_row_says_who_when_and_how_much(imported: Import) -> None:
    """Annotator, time, lead time, origin and the share of the map that was changed."""
    row = imported(task(annotation(brush(TOP)))).rows[1]
    target = np.repeat([1.0, 1.0, 0.0, 0.0], GRID).reshape(GRID, GRID)
    assert row == {
        "image_id": "train-00001",
        "role": "choose",
        "annotator": "3",
        "updated_at": "2026-01-02T10:00:30.500000Z",
        "lead_time": 12.5,
        "origin": "annotation",
        "changed": (np.abs(target - OWN["train-00001"]) > 1 / 255).mean(),
        "agreement": None,
        "stale": "",
        "status": "accepted",
        "reason": "",
    }
    assert set(row) == set(importer.COLUMNS)


@pytest.mark.parametrize("image_id", ["train-00001", "train-00003"])
def test_untouched_or_fine_is_the_models_own_map(imported: Import, image_id: str) -> None:
    """Submitting the pre-annotation as it came, or saying that it is fine, changes nothing."""
    untouched = brush(targets.to_canvas(OWN[image_id]), origin="prediction")
    for regions in ([untouched], [choice()]):
        result = imported(task(annotation(*regions), image_id=image_id))
        np.testing.assert_allclose(result.targets[0], OWN[image_id], atol=1 / 255)
        assert result.metrics["mean_changed"] == 0


def test_an_empty_result_is_an_edit(imported: Import) -> None:
    """No region at all says nowhere."""
    np.testing.assert_array_equal(imported(task(annotation())).targets, np.zeros((1, GRID, GRID)))


def test_unknown_images_and_other_splits_are_rejected(imported: Import) -> None:
    """An image that the prepared set lacks, and one of another split, are listed by their ids."""
    result = imported(
        task(annotation(brush(TOP))),
        task(annotation(brush(TOP)), image_id="train-99999"),
        task(annotation(brush(TOP)), image_id="val-00000"),
    )
    reasons = {row["image_id"]: row["reason"] for row in result.rows if row["status"] == "rejected"}
    assert reasons["train-99999"].startswith("task 12, data.image_id: unknown image")
    assert reasons["val-00000"].startswith("task 12, data.image_id: image of the val split")
    assert result.metrics["rejected"] == 2


def test_an_edit_outlives_the_selection(imported: Import) -> None:
    """An edited image of the training split that isn't selected any more is learned from."""
    row = imported(task(annotation(brush(TOP)), image_id="train-00004")).rows[-1]
    assert (row["image_id"], row["role"], row["status"]) == ("train-00004", "finetune", "accepted")


def test_an_image_keeps_the_role_of_an_earlier_round(imported: Import) -> None:
    """Held out once, held out for good, also where the edit can't be used this time."""
    earlier = {"train-00004": "report", "train-00002": "finetune"}
    edit, broken = annotation(brush(TOP)), annotation(brush(TOP, image_rotation=90), id=71)
    for annotations in ([edit], [broken], [edit, broken]):
        rows = imported(
            task(annotation(brush(TOP))), task(*annotations, image_id="train-00004", id=13),
            earlier=earlier,
        ).rows  # fmt: skip
        of_image = [row["role"] for row in rows if row["image_id"] == "train-00004"]
        assert of_image == ["report"] * len(annotations)


def test_files_are_matched_by_image_id_alone(imported: Import) -> None:
    """The file's name plays no part."""
    one = task(annotation(brush(TOP)), image_id="train-00002")
    one["data"]["image"] = "/data/upload/1/train-00001.png"
    assert imported(one).rows[2]["status"] == "accepted"


LATER = {"id": 71, "completed_by": 4, "updated_at": "2026-01-03T00:00:00Z", "lead_time": 1.5}
TWO = (annotation(brush(ALL), **LATER), annotation(brush(TOP)))


@pytest.mark.parametrize("tasks", [[task(*TWO)], [task(TWO[0]), task(TWO[1], id=99)]])
@pytest.mark.parametrize(
    ("merge", "below", "annotator", "lead_time"),
    [("latest", 1, "4", 1.5), ("mean", 0.5, "3+4", 14.0), ("agreement", None, "3+4", 14.0)],
)
def test_several_annotators(
    imported: Import,
    tasks: list[Any],
    merge: importer.Merge,
    below: float | None,
    annotator: str,
    lead_time: float,
) -> None:
    """They are merged as the parameter says, from one task or several; their agreement is told."""
    result = imported(*tasks, merge=merge)
    expected = OWN["train-00001"].copy() if below is None else np.full((GRID, GRID), below)
    expected[:2] = 1
    np.testing.assert_allclose(result.targets[0], expected)
    row = result.rows[1]
    assert (row["annotator"], row["lead_time"], row["agreement"]) == (annotator, lead_time, 0.5)
    assert row["updated_at"] == LATER["updated_at"]
    assert result.metrics["annotators"] == 2
    assert result.metrics["agreement"] == 0.5


def test_an_annotation_exported_twice_counts_once(imported: Import) -> None:
    """Of two states of one annotation the later one counts, in whatever order they come."""
    before = annotation(brush(ALL), updated_at="2026-01-01T00:00:00Z")
    after = annotation(brush(TOP))
    for tasks in ([task(before), task(after)], [task(after), task(before)]):
        result = imported(*tasks, merge="mean")
        assert result.targets.mean() == 0.5
        assert result.rows[1]["agreement"] is None


def test_a_simulated_export_is_never_called_peoples(imported: Import) -> None:
    """One simulated edit among people's is called so, and the whole no longer people's."""
    simulated = task(annotation(brush(TOP)), image_id="train-00002", id=13)
    simulated["data"]["simulated"] = True
    result = imported(task(annotation(brush(TOP))), simulated)
    assert [row.get("origin") for row in result.rows] == [None, "annotation", "simulated"]
    assert result.metrics["edits_from_people"] == 0


def test_metrics(imported: Import) -> None:
    """The counts add up, and say whether people made the edits."""
    metrics = imported(task(annotation(brush(TOP)))).metrics
    assert metrics | {"mean_changed": 1.0} == {
        "selected": 3, "accepted": 1, "rejected": 0, "not_annotated": 2, "annotators": 1,
        "agreement": None, "mean_changed": 1.0, "edits_from_people": 1,
    }  # fmt: skip


DIGEST = {"image_id": "train-00001", "sha256": "a" * 64}


def test_an_edit_of_an_image_that_has_changed_is_rejected(imported: Import) -> None:
    """The digest in the task must be the manifest's; a task or an image without one is taken."""
    good = task(annotation(brush(TOP)), image_id="train-00002")
    changed_ = task(annotation(brush(TOP)), id=13, data=DIGEST)
    result = imported(good, changed_, digests={"train-00001": "b" * 64, "train-00002": "c" * 64})
    assert [row["status"] for row in result.rows[1:]] == ["rejected", "accepted"]
    assert result.rows[1]["reason"] == (
        "task 13, data.sha256: the image has changed since it was edited: edit it anew"
    )
    for digests in ({}, {"train-00001": "a" * 64}):
        assert imported(changed_, digests=digests).rows[1]["status"] == "accepted"


SHOWN = painted((0, 3, 90), (8, 11, 200))
STROKE = painted((0, 3, 90), (4, 7, 255))
"""SHOWN with a stroke painted below its first band, and its second one erased."""


def stale_task(*regions: Any, **changes: Any) -> dict[str, Any]:
    """Give a task that was made with an earlier model, and edited."""
    shown = {"id": 9, "model_version": "model-a", "result": [brush(SHOWN)]}
    data = {"image_id": "train-00001", "model": "model-a"}
    return task(annotation(*regions), **{"data": data, "predictions": [shown], **changes})


def edited(canvas: Any) -> dict[str, Any]:
    return brush(canvas, origin="prediction-changed")


def on_grid(canvas: Any) -> Any:
    return targets.from_canvas(canvas, GRID)


REBASED = np.stack([OWN["train-00001"][0], np.ones(GRID), np.zeros(GRID), OWN["train-00001"][3]])
NO_MAP = "predictions: the map that was shown is not in the export"


@pytest.mark.parametrize(
    ("made", "how", "target", "stale", "reason"),
    [
        (stale_task(edited(STROKE)), "keep", on_grid(STROKE), "kept", ""),
        (stale_task(edited(STROKE)), "rebase", REBASED, "rebased", ""),
        (
            stale_task(edited(STROKE), predictions=[9]), "rebase", on_grid(STROKE), "kept",
            f"task 12: not rebased: {NO_MAP}",
        ),
        (
            stale_task(), "rebase", on_grid(painted()), "kept",
            "task 12: not rebased: drawn anew, the map shown was deleted",
        ),
        (
            stale_task(choice()), "keep", on_grid(SHOWN), "kept",
            "task 12: model-a's map is called fine",
        ),
        (
            stale_task(choice()), "rebase", on_grid(SHOWN), "kept",
            "task 12: model-a's map is called fine",
        ),
    ],
)  # fmt: skip
def test_a_stale_edit(
    imported: Import, made: Any, how: Stale, target: Any, stale: str, reason: str
) -> None:
    """It becomes what edits.stale says, and edits.csv says what became of it."""
    result = imported(made, model="model-b", stale=how)
    row = result.rows[1]
    assert (row["status"], row["stale"], row["reason"]) == ("accepted", stale, reason)
    np.testing.assert_allclose(result.targets[0], target, atol=1 / 255)


@pytest.mark.parametrize(
    ("made", "how", "reason"),
    [
        (
            stale_task(edited(STROKE)), "drop",
            "made on the map of model-a, the model is model-b; edits.stale: drop",
        ),
        (stale_task(choice(), predictions=[]), "keep", f"calls a map of model-a fine; {NO_MAP}"),
        (stale_task(choice(), predictions=[]), "rebase", f"calls a map of model-a fine; {NO_MAP}"),
    ],
)  # fmt: skip
def test_a_stale_edit_that_is_dropped(imported: Import, made: Any, how: Stale, reason: str) -> None:
    """It is listed with its reason, and the others are taken."""
    result = imported(made, task(annotation(), image_id="train-00002"), model="model-b", stale=how)
    row = result.rows[1]
    assert (row["status"], row["stale"]) == ("rejected", "dropped")
    assert row["reason"] == f"task 12, data.model: {reason}"
    assert result.metrics["accepted"] == 1


@pytest.mark.parametrize("model", ["model-a", None])
def test_an_edit_of_the_present_models_map_is_not_stale(imported: Import, model: Any) -> None:
    """Nor is one where the present model is unknown, or that doesn't say of which model it is."""
    for made in (stale_task(edited(STROKE)), task(annotation(edited(STROKE)))):
        result = imported(made, model=model, stale="drop")
        assert (result.rows[1]["status"], result.rows[1]["stale"]) == ("accepted", "")


def test_stale_and_fresh_edits_of_one_image_are_merged(imported: Import) -> None:
    """What became of each that counts is said: only of the latest, if that is the one that does."""
    fresh = task(
        annotation(brush(ALL), id=80, updated_at="2026-02-01T00:00:00Z"),
        data={"image_id": "train-00001", "model": "model-b"}, id=13,
    )  # fmt: skip
    tasks = (fresh, stale_task(edited(STROKE)), stale_task(id=14))
    assert imported(*tasks, model="model-b", merge="mean").rows[1]["stale"] == "kept+rebased"
    assert imported(*tasks, model="model-b", merge="latest").rows[1]["stale"] == ""


def test_nothing_usable_is_an_error_that_counts_the_reasons(imported: Import) -> None:
    """The reasons come most frequent first."""
    bad = annotation(brush(TOP, original_width=64))
    with pytest.raises(AbnError) as caught:
        imported(task(bad, bad), task(annotation(brush(TOP)), image_id="nobody"))
    first, *reasons = str(caught.value).splitlines()
    assert first.endswith("export.json: none of the edits in it can be used")
    assert reasons == [
        "  2 × annotations.result.original_width: is 64, must be 16",
        "  1 × data.image_id: unknown image: the prepared set has none of this image_id",
    ]


@pytest.mark.parametrize("tasks", [[], [task()], [task(annotation(was_cancelled=True))]])
def test_no_annotation_is_an_error_that_says_how_to_get_some(
    imported: Import, tasks: list[Any]
) -> None:
    """An empty export, tasks that nobody annotated, and skipped ones are no edits."""
    with pytest.raises(AbnError, match=r"no annotation in it .* edits\.source: simulated"):
        imported(*tasks)


def test_all_exports_in_the_folder_are_read(tmp_path: Path) -> None:
    """Any *.json is an export but hidden ones; several become one, a single one stays as it is."""
    (tmp_path / "export.json").write_text("[\n]")
    (tmp_path / ".state.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("")
    assert importer.exports(tmp_path) == [tmp_path / "export.json"]
    importer.combine(importer.exports(tmp_path), tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "[\n]"
    one, other = task(annotation(brush(TOP))), task(annotation(brush(TOP)), image_id="train-00002")
    task_file.write(tmp_path / "project-1.json", [one])
    task_file.write(tmp_path / "project-2.json", [other])
    files = importer.exports(tmp_path)
    importer.combine(files, tmp_path / "copy")
    assert json.loads((tmp_path / "copy").read_text()) == [one, other]
    assert importer.import_edits(files, IMAGES, "latest").metrics["accepted"] == 2


def test_a_folder_without_export_is_an_error(tmp_path: Path) -> None:
    """The error says where and what to do."""
    with pytest.raises(AbnError, match=r"no export \(\*\.json\); edit data/attention/tasks.json"):
        importer.exports(tmp_path)


WHOLE = [
    task(
        annotation(brush(TOP)),
        annotation(brush(painted((3, 9, 77)), origin="prediction"), id=71),
    ),
    task(
        annotation(
            shape("rectangle", x=10.5, y=10.5, width=50.0, height=20.0, rotation=15.0),
            shape("ellipse", x=50.0, y=50.0, radiusX=20.0, radiusY=10.0, rotation=0),
        ),
        image_id="train-00002", id=13,
    ),
    task(
        annotation(
            shape("polygon", points=[[10.0, 10.0], [90.0, 10.0], [50.0, 90.0]]),
            shape("keypoint", x=50.0, y=50.0, width=3.0),
        ),
        annotation(choice(), id=75),
        image_id="train-00003", id=14,
    ),
    stale_task(edited(STROKE), id=15),
]  # fmt: skip
STRANGE = [
    None,
    True,
    0,
    -1,
    1e308,
    10**30,
    "",
    "foo",
    "\ud800",
    [],
    {},
    [[]],
    {"id": 1},
    float("nan"),
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Give all containers in a value with each of their keys, but not each byte of an RLE."""
    keys = range(len(value)) if isinstance(value, list) else list(value)
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], list | dict) and key != "rle":
            found += places(value[key])
    return found


def mutated(random_: random.Random) -> bytes:
    """Give an export truncated, with flipped bits, keys missing, or types or values swapped."""
    kind = random_.choice(["truncated", "flipped", "missing", "swapped", "strange", "rle"])
    if kind in ("truncated", "flipped"):
        text = bytearray(TEXT)
        if kind == "truncated":
            return bytes(text[: random_.randrange(len(text))])
        for _ in range(random_.randint(1, 4)):
            text[random_.randrange(len(text))] ^= 1 << random_.randrange(8)
        return bytes(text)
    whole = json.loads(TEXT)
    for _ in range(random_.randint(1, 3)):
        container, key = random_.choice(places(whole))
        if kind == "missing":
            del container[key]
        elif kind == "swapped":
            other, name = random_.choice(places(whole))
            container[key], other[name] = copy.deepcopy((other[name], container[key]))
        elif kind == "strange":
            container[key] = random_.choice(STRANGE)
        else:
            rle = whole[0]["annotations"][0]["result"][0]["value"]["rle"]
            rle[random_.randrange(len(rle))] = random_.randrange(256)
    return json.dumps(whole).encode()


TEXT = json.dumps(WHOLE).encode()


def test_mutated_exports_never_crash_and_never_give_an_impossible_target(tmp_path: Path) -> None:
    """10,000 mutated exports: the one error, or targets of the map's size with values in [0, 1]."""
    random_ = random.Random(1)
    path = tmp_path / "export.json"
    merges: list[importer.Merge] = ["latest", "mean", "agreement"]
    stales: list[Stale] = ["rebase", "keep"]
    images = replace(IMAGES, model="model-b", digests={"train-00001": "a" * 64})
    refusals = []
    for n in range(MUTATIONS):
        path.unlink(missing_ok=True)
        path.write_bytes(mutated(random_))
        try:
            result = importer.import_edits([path], images, merges[n % 3], stales[n % 2])
        except AbnError as error:
            refusals.append(str(error))
            continue
        accepted = [row for row in result.rows if row["status"] == "accepted"]
        assert result.targets.shape == (len(accepted), GRID, GRID)
        assert result.targets.dtype == np.float32
        assert ((result.targets >= 0) & (result.targets <= 1)).all()
        assert {row["image_id"] for row in accepted} <= set(IDS)
        for row in result.rows:
            json.dumps(row, allow_nan=False).encode()
            assert str(row.get("reason", "")).isprintable()
    assert 0 < len(refusals) < MUTATIONS
    assert all(line.isprintable() for refusal in refusals for line in refusal.splitlines())
