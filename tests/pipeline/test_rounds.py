"""Two rounds of guidance, by the commands of docs/rounds.md."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.pipeline.rig import Repository

LINEAGE = ("data/models/abn.safetensors", "data/models/abn.json")
HELD_OUT = {"choose", "report"}


class TwoRounds:
    """What both rounds left in one repository, and what was said on the way."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.lock = repository.read("dvc.lock")
        self.first = self._state()
        self.said = repository.run("abn", "round", "start")
        repository.dvc("add", "data/rounds/1")
        repository.set_params({"model": {"base": 1}})
        self.repro = repository.dvc("repro")
        self.second = self._state()
        repository.commit("second round")

    def _state(self) -> dict[str, Any]:
        read = self.repository.read
        return {
            "base": self._bytes("abn"),
            "refined": self._bytes("abn_refined"),
            "selection": _table(read("data/attention/selection.csv")),
            "edits": _table(read("data/edits/edits.csv")),
            "metrics": json.loads(read("reports/metrics/finetune_attention.json")),
            "report": read("reports/report.md"),
        }

    def _bytes(self, model: str) -> tuple[bytes, str]:
        path = self.repository.root / f"data/models/{model}.safetensors"
        return path.read_bytes(), path.with_suffix(".json").read_text(encoding="utf-8")


def _table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _accepted(state: dict[str, Any]) -> dict[str, str]:
    return {row["image_id"]: row["role"] for row in state["edits"] if row["status"] == "accepted"}


@pytest.fixture(scope="module")
def rounds(finished: Repository) -> Iterator[TwoRounds]:
    """Two rounds; afterwards the repository is what other tests share."""
    before = finished.run("git", "rev-parse", "HEAD").strip()
    yield TwoRounds(finished)
    finished.run("git", "reset", "-q", "--hard", before)
    finished.dvc("checkout", "-q", "--force")


def test_the_second_round_starts_from_the_first_ones_refined_model(rounds: TwoRounds) -> None:
    """Bit for bit, without training; its own refinement goes on from there."""
    assert rounds.second["base"] == rounds.first["refined"]
    assert rounds.second["refined"] != rounds.first["refined"]
    metrics = json.loads(rounds.repository.read("reports/metrics/train_abn.json"))
    assert (metrics["epochs"], metrics["best_epoch"]) == (0, 0)
    before, after = (one["metrics"] for one in (rounds.second, rounds.first))
    assert before["before"]["test"] == after["after"]["test"]


def test_nobody_is_asked_again(rounds: TwoRounds) -> None:
    """The second round selects as many images as the first, all of them new."""
    first, second = (
        {row["image_id"] for row in one["selection"]} for one in (rounds.first, rounds.second)
    )
    assert len(first) == len(second) == 20
    assert first.isdisjoint(second)


def test_edits_of_both_rounds_are_learned_from_in_their_roles(rounds: TwoRounds) -> None:
    """Earlier strokes stand on the present model's map; what was held out stays held out."""
    first, second = _accepted(rounds.first), _accepted(rounds.second)
    assert first.items() < second.items()
    assert len(second) == 40
    assert set(first.values()) == {"finetune", *HELD_OUT}
    stale = {row["image_id"] for row in rounds.second["edits"] if row["stale"] == "rebased"}
    assert stale == set(first)
    learned = [list(one.values()).count("finetune") for one in (first, second)]
    assert [one["metrics"]["finetuned_on"] for one in (rounds.first, rounds.second)] == learned
    assert learned == [12, 24]


def test_the_report_shows_the_rounds_side_by_side(rounds: TwoRounds) -> None:
    """Base, first and present round, with the figures that each round's own metrics have."""
    assert "## Rounds" not in rounds.first["report"]
    lines = rounds.second["report"].partition("## Rounds")[2].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    shown = {row[0]: dict(zip(cells[0][1:], row[1:], strict=True)) for row in cells[2:5]}
    assert list(shown) == ["base", "round 1", "this round"]
    for name, side, state, edits in (
        ("base", "before", rounds.first, "0"),
        ("round 1", "after", rounds.first, "20"),
        ("this round", "after", rounds.second, "40"),
    ):
        test = state["metrics"][side]["test"]
        mse = state["metrics"]["attention_mse"][side]["report"]
        expected = {
            "accuracy": test["accuracy"], "IoU": test["iou"], "contrast": test["contrast"],
            "held-out MSE": mse,
        }  # fmt: skip
        assert shown[name].items() >= {key: f"{v:.4g}" for key, v in expected.items()}.items()
        assert shown[name]["images edited"] == edits
    assert 'id="plot-rounds"' in rounds.repository.read("reports/report.html")


def test_a_frozen_round_says_what_comes_next(rounds: TwoRounds) -> None:
    """Version it, name it in params.yaml, run."""
    for step in ("dvc add data/rounds/1", "git add data/rounds/1.dvc", "model.base: 1"):
        assert step in rounds.said


def test_the_same_model_is_not_frozen_twice(rounds: TwoRounds) -> None:
    """A round of nothing new is refused, and so is one of a pipeline that is not up to date."""
    repository = rounds.repository
    with repository.changed(finetune={"max_accuracy_drop": 0.5}):
        said = repository.run("abn", "round", "start", fails=True)
        assert "dvc repro" in said
    with repository.changed():
        repository.run("abn", "round", "start")
        assert (repository.root / "data/rounds/2/abn.safetensors").exists()
        said = repository.run("abn", "round", "start", fails=True)
        assert "data/rounds/2 is this model" in said
        repository.run("git", "clean", "-fdq", "data/rounds")


def test_a_temporary_workspace_finds_the_round(rounds: TwoRounds) -> None:
    """`dvc add`ed, it is there as any other data, and the model is taken from it."""
    said = rounds.repository.dvc("exp", "run", "--temp", "-S", "train.lr=0.5", "train_abn")
    assert "Running stage 'train_abn'" in said
    assert "Ran experiment" in said
    assert "epoch 1 of" not in said


def test_another_architecture_can_not_start_from_it(rounds: TwoRounds) -> None:
    """What differs, there and here; no traceback."""
    with rounds.repository.changed(model={"base": 1, "map_kernel": 3}):
        said = rounds.repository.dvc("repro", "train_abn", fails=True)
    assert "data/rounds/1/abn.safetensors can't be the base model" in said
    assert "map_kernel: 1 there, 3 here" in said
    assert "Traceback" not in said


def test_going_back_trains_nothing(rounds: TwoRounds) -> None:
    """With `model.base: null` all of the first round comes from DVC's cache."""
    repository = rounds.repository
    with repository.changed(model={"base": None}):
        said = repository.dvc("repro")
        assert yaml.safe_load(repository.read("dvc.lock")) == yaml.safe_load(rounds.lock)
        assert "Running stage 'report'" in said  # of which the run cache keeps nothing
        assert said.count("Running stage") == 1
        path = repository.root / LINEAGE[0]
        assert path.read_bytes() == rounds.first["base"][0]
        assert repository.read(LINEAGE[1]) == rounds.first["base"][1]
