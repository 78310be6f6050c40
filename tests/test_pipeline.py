"""What dvc.yaml says of the stages, and their keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from abn import params, pipeline
from abn.errors import AbnError
from tests import two_stages
from tests.two_stages import key_of, replace


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two stages, with the tests' process standing in it."""
    monkeypatch.chdir(tmp_path)
    two_stages.write()
    return tmp_path


def test_only_what_dvc_yaml_names_can_be_read(repository: Path) -> None:
    """Whole sections and leaves that are named; any other parameter raises, naming both."""
    own = pipeline.restricted(params.load(), pipeline.read_pipeline()["first"])
    assert own.seed == 1
    assert own.train == params.load().train
    assert own.finetune.max_accuracy_drop == 0.05
    with pytest.raises(AbnError) as caught:
        _ = own.finetune.unedited
    assert str(caught.value) == (
        "the stage first reads the parameter finetune.unedited, which dvc.yaml does not name: "
        "add it to the stage's params"
    )
    with pytest.raises(AbnError, match="first reads the parameter model, which"):
        _ = own.model
    with pytest.raises(AttributeError):
        _ = own.trian  # type: ignore[attr-defined]


def test_dvc_yaml_may_name_only_parameters_that_there_are(repository: Path) -> None:
    """A leftover name in dvc.yaml is an error, not a parameter that silently never changes."""
    with pytest.raises(AbnError, match=r"^dvc.yaml: names finetune.rate, which is not a parameter"):
        pipeline.values(params.load(), [("finetune", "rate")])


@pytest.mark.parametrize("text", ["", "stages: [a]", "stages: {a: 1}", "stages: {a: {params: 3}}"])
def test_a_malformed_dvc_yaml_is_an_error_that_names_it(repository: Path, text: str) -> None:
    """No traceback for a pipeline file that says something else."""
    Path("dvc.yaml").write_text(text)
    with pytest.raises(AbnError, match=r"^dvc\.yaml: "):
        pipeline.read_pipeline()


# The key.


CHANGES: dict[str, Callable[[], Any]] = {
    "a named leaf": lambda: replace("params.yaml", "drop: 0.05", "drop: 0.06"),
    "a leaf of a named section": lambda: replace("params.yaml", "epochs: 8", "epochs: 9"),
    "a dep's content": lambda: Path("data/raw/deep/b.txt").write_text("c"),
    "a dep's new file": lambda: Path("data/raw/c.txt").write_text(""),
    "a dep's file's name": lambda: Path("data/raw/a.txt").rename("data/raw/z.txt"),
    "a dep's file gone": lambda: Path("data/raw/a.txt").unlink(),
    "another param named": lambda: replace(
        "dvc.yaml", "finetune.max_accuracy_drop,", "finetune.max_accuracy_drop, report,"
    ),
    "the stage's name": lambda: replace("dvc.yaml", "  first:", "  second:"),
}

NO_CHANGES: dict[str, Callable[[], Any]] = {
    "an unnamed parameter": lambda: replace("params.yaml", "gallery: 24", "gallery: 9"),
    "tracking": lambda: replace("params.yaml", "experiment: abn", "experiment: other"),
    "a way to write a number": lambda: replace("params.yaml", "drop: 0.05", "drop: 5e-2"),
    "a dep's time": lambda: Path("data/raw/a.txt").touch(),
    "a file beside": lambda: Path("data/other.txt").write_text(""),
    "the order of params": lambda: replace(
        "dvc.yaml", "finetune.max_accuracy_drop, train", "train, finetune.max_accuracy_drop"
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_key_changes_with_what_the_result_depends_on(
    repository: Path, change: Callable[[], Any]
) -> None:
    """Another value of a named parameter, another content or name of a dep: another key."""
    before = key_of("first")
    change()
    after = key_of("second" if "second" in Path("dvc.yaml").read_text() else "first")
    assert len(before) == len(after) == 32
    assert before != after


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES.keys())
def test_the_key_stays_with_what_it_does_not_depend_on(
    repository: Path, change: Callable[[], Any]
) -> None:
    """Params that are not named, tracking's, times and notation leave the key as it is."""
    before = key_of("first")
    change()
    assert key_of("first") == before


def test_a_prepared_folder_is_what_its_dataset_json_says(repository: Path) -> None:
    """Arrays beside a dataset.json, which holds their digest, are not read; the file is."""
    described = Path("data/raw/dataset.json")
    described.write_text('{"digest": 1}')
    before = key_of("first")
    Path("data/raw/a.txt").write_text("big array")
    assert key_of("first") == before
    described.write_text('{"digest": 2}')
    assert key_of("first") != before


def test_a_missing_dep_is_named(repository: Path) -> None:
    """A dep that is not there gives an error with the command that makes it."""
    with pytest.raises(AbnError) as caught:
        key_of("report")
    assert str(caught.value) == (
        "data/runs/first.json: missing; make what the stage depends on with: dvc repro"
    )
