import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abn import params
from abn.errors import AbnError

COMPLETE = Path(__file__).parents[1] / "params.yaml"
VALUES: dict[str, Any] = yaml.safe_load(COMPLETE.read_text(encoding="utf-8"))


def leaves(values: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name)


LEAVES = list(leaves(VALUES))


def changed(place: tuple[str, ...], value: object) -> dict[str, Any]:
    values = yaml.safe_load(COMPLETE.read_text(encoding="utf-8"))
    section = values
    for name in place[:-1]:
        section = section[name]
    section[place[-1]] = value
    return values


def mistakes(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AbnError) as caught:
        params.load(path)
    return str(caught.value).replace(str(path), "params.yaml")


def edited(**lines: str) -> str:
    """Give the repository's params.yaml with other lines in the place of those of some keys."""
    text = COMPLETE.read_text(encoding="utf-8")
    for key, line in lines.items():
        text, found = re.subn(rf"(?m)^( +){key}: .*$", rf"\1{line}", text)
        assert found == 1, key
    return text


def line_of(text: str, start: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if line.strip().startswith(start))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def test_the_repositorys_own_file_is_complete() -> None:
    """params.yaml as it is in git loads, and holds what it says."""
    loaded = params.load(COMPLETE)
    assert loaded.model_dump() == VALUES


def test_an_unknown_key_is_named_with_the_nearest_one(path: Path) -> None:
    """A mistyped key gives two mistakes, each with its line: what is unknown, what is missing."""
    text = edited(gallery="galery: 24")
    line = line_of(text, "galery")
    assert mistakes(path, text) == (
        "params.yaml: 2 mistake(s)\n"
        f"  line {line - 1}: report.gallery is missing\n"
        f"  line {line}: report.galery is not a parameter; did you mean gallery?"
    )


def test_a_wrong_type_says_what_was_found_and_expected(path: Path) -> None:
    """A text where a number belongs is quoted as it was found."""
    text = edited(budget="budget: many")
    assert mistakes(path, text) == (
        "params.yaml: 1 mistake(s)\n"
        f"  line {line_of(text, 'budget')}: selection.budget is 'many': "
        "Input should be a valid integer"
    )


def test_all_mistakes_are_told_at_once(path: Path) -> None:
    """An unknown section, a number out of range and an impossible choice stand in one message."""
    text = edited(holdout="holdout: 2", schedule="schedule: linear")
    text += "extra: {a: 1}\n"
    assert mistakes(path, text) == (
        "params.yaml: 3 mistake(s)\n"
        f"  line {line_of(text, 'schedule')}: train.schedule is 'linear': "
        "Input should be 'step' or 'cosine'\n"
        f"  line {line_of(text, 'holdout')}: selection.holdout is 2: "
        "Input should be less than or equal to 1\n"
        f"  line {line_of(text, 'extra')}: extra is not a parameter"
    )


def test_a_key_that_stands_twice_is_an_error(path: Path) -> None:
    """The second of two equal keys is named with its line instead of winning silently."""
    text = edited(gallery="gallery: 24\n  gallery: 12")
    assert mistakes(path, text) == (
        "params.yaml: not valid YAML: "
        f"line {line_of(text, 'gallery') + 1}: the key report.gallery stands there twice"
    )


def test_an_impossible_pair_names_both(path: Path) -> None:
    """The simulated annotator without masks is refused with the way out."""
    text = edited(masks="masks: false")
    assert mistakes(path, text) == (
        "params.yaml: 1 mistake(s)\n"
        "  line 1: params: edits.source: simulated paints what the masks show, and data.masks is "
        "false; put a Label Studio export into data/annotations and set edits.source: annotations"
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "- a\n", "seed", "seed: [1", "? [a]\n: b\n", "&a {b: *a}", "seed: 2001-99-99", "1: 2",
        "seed: !!binary é",
    ],
)  # fmt: skip
def test_a_file_that_is_no_mapping_of_names_is_an_error(path: Path, text: str) -> None:
    """Nothing, a list, half a file, a list as a key… each give an AbnError that names the file."""
    assert mistakes(path, text).startswith("params.yaml: ")


def test_a_missing_file_says_where_to_stand(tmp_path: Path) -> None:
    """Started in another folder, the message says so."""
    with pytest.raises(AbnError, match=r"params\.yaml: not found; run from the root"):
        params.load(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("written", "meant"), [("1e-3", 1e-3), ("1E3", 1e3), ("1.5e+2", 150.0), (".5", 0.5), ("1", 1.0)]
)
def test_numbers_are_those_of_yaml_1_2(path: Path, written: str, meant: float) -> None:
    """1e-3 is a number, as DVC writes it, and not a text as in YAML 1.1."""
    values = changed(("train", "lr"), 12345.5)
    path.write_text(yaml.safe_dump(values).replace("12345.5", written), encoding="utf-8")
    assert params.load(path).train.lr == meant


WRONG = st.one_of(
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.lists(st.none(), min_size=1, max_size=3),
    st.text("xyz", min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), -1, None]),
)


def fits(place: tuple[str, ...], wrong: object) -> bool:
    """Whether the value is one that the leaf's type takes."""
    right = VALUES
    for name in place:
        right = right[name]
    nullable = place[:2] == ("data", "splits") or place == ("data", "stored_size")
    same = type(wrong) is type(right) and isinstance(wrong, str | bool)
    a_choice_of_numbers = place == ("model", "map_kernel") and wrong is True  # read as 1
    return same or a_choice_of_numbers or (wrong is None and nullable)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.sampled_from(LEAVES), wrong=WRONG)
def test_any_leaf_of_a_wrong_type_is_named(
    path: Path, place: tuple[str, ...], wrong: object
) -> None:
    """Whatever of a type that does not fit stands at a leaf, every mistake told names that leaf."""
    if fits(place, wrong):
        return
    text = yaml.safe_dump(changed(place, wrong))
    message, *told = mistakes(path, text).splitlines()
    assert message.startswith("params.yaml: ")
    assert told
    line = line_of_place(text, place)
    for mistake in told:
        assert mistake.startswith(f"  line {line}: {'.'.join(place)}"), mistake


def line_of_place(text: str, place: tuple[str, ...]) -> int:
    node = yaml.compose(text)
    for name in place:
        assert isinstance(node, yaml.MappingNode)
        key, node = next(pair for pair in node.value if pair[0].value == name)
    return int(key.start_mark.line) + 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text("ab:- \n{}[]&*!?|>#'\"%@`1.2eE,~0x-", max_size=40))
def test_any_text_loads_or_is_an_error_that_names_the_file(path: Path, text: str) -> None:
    """No text, however malformed, gets past as params or raises anything but AbnError."""
    assert mistakes(path, text).startswith("params.yaml: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source": "image_folder", "image_folder": {"masks": "none"}},
            "data.image_folder.masks is none; set it to alpha or tree, or set edits.source",
        ),
        ({"stored_size": 40}, "stored_size 40 is below image_size 48"),
        ({"stored_size": 64}, "stored_size: fashion_mnist is drawn at image_size"),
        ({"splits": {"val": 1.5}}, "1.5 is neither a number of images, nor a fraction, nor null"),
        ({"splits": {"val": 0}}, "0 is neither a number of images, nor a fraction, nor null"),
        ({"object_size": [20, 60]}, "must be ascending and within image_size 48"),
    ],
)
def test_data_params_that_do_not_fit_say_so(
    path: Path, changes: dict[str, Any], message: str
) -> None:
    """With the key and the way out."""
    values = changed(("seed",), 1)
    for name, value in changes.items():
        old = values["data"][name]
        values["data"][name] = old | value if isinstance(value, dict) else value
    assert message in mistakes(path, yaml.safe_dump(values))


def test_other_sources_need_not_fit_what_fashion_mnist_needs(path: Path) -> None:
    """A folder at 16 pixels: the object's size and the patch are Fashion-MNIST's alone."""
    values = changed(("data", "source"), "image_folder")
    values["data"] |= {"image_size": 16, "stored_size": 24, "root": "data/raw/mine"}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    data = params.load(path).data
    assert (data.prepared_size, data.splits.test) == (24, None)
