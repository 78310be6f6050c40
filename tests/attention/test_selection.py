from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from abn.attention.selection import select
from abn.data.rounds import Earlier
from abn.errors import AbnError
from abn.params import Selection

NOWHERE = Path("nowhere.csv")


def _params(strategy: str = "worst", budget: int = 30, holdout: float = 0.2) -> Selection:
    return Selection.model_validate({"strategy": strategy, "budget": budget, "holdout": holdout})


@pytest.fixture
def samples() -> pd.DataFrame:
    random = np.random.default_rng(0)
    n = 400
    table = pd.DataFrame(
        {
            "image_id": [f"image-{i:03d}" for i in range(n)],
            "split": np.where(np.arange(n) < 300, "train", "val"),
            "class_name": [f"class {i % 5}" for i in range(n)],
            "correct": random.random(n) < 0.8,
            "alignment": random.random(n),
            "disagreement": random.random(n),
        }
    )
    # One class is far worse than the others, as sandals are.
    table.loc[table["class_name"] == "class 2", "alignment"] /= 10
    return table


def test_the_worst_of_each_class_are_taken(samples: pd.DataFrame) -> None:
    """Equal shares: the worst overall would mostly be of one class."""
    chosen = select(samples, _params(), NOWHERE, 1)
    assert len(chosen) == 30
    assert set(chosen["class_name"].value_counts()) == {6}
    for name, some in chosen.groupby("class_name"):
        of_class = samples[
            (samples["class_name"] == name) & samples["correct"] & (samples["split"] == "train")
        ]
        assert set(some["image_id"]) == set(of_class.nsmallest(6, "alignment")["image_id"])


def test_only_correctly_classified_training_images_are_taken(samples: pd.DataFrame) -> None:
    """People correct images that the network classifies right for the wrong reason."""
    chosen = select(samples, _params(budget=1000), NOWHERE, 1)
    assert chosen["correct"].all()
    assert set(chosen["split"]) == {"train"}


def test_the_first_rank_is_the_worst(samples: pd.DataFrame) -> None:
    """People see the worst first."""
    chosen = select(samples, _params(), NOWHERE, 1)
    assert list(chosen["rank"]) == list(range(1, 31))
    assert chosen["score"].is_monotonic_decreasing


def test_held_out_images_come_evenly_from_the_classes_and_serve_two_ends(
    samples: pd.DataFrame,
) -> None:
    """Half to choose by, half to report by, none of them learned from."""
    chosen = select(samples, _params(budget=50, holdout=0.4), NOWHERE, 1)
    assert chosen["role"].value_counts().to_dict() == {"finetune": 30, "choose": 10, "report": 10}
    held = chosen[chosen["role"] != "finetune"]
    assert set(held["class_name"].value_counts()) == {4}


def test_without_masks_the_stand_in_decides_and_the_reason_says_so(samples: pd.DataFrame) -> None:
    """A data set without masks is the usual case."""
    chosen = select(samples.assign(alignment=np.nan), _params(budget=10), NOWHERE, 1)
    assert set(chosen["reason"]) == {"attention map and gradients disagree"}
    assert chosen["score"].equals(chosen["disagreement"])


def test_the_same_seed_selects_the_same_roles(samples: pd.DataFrame) -> None:
    """A rerun asks people for nothing new."""
    one, two = (select(samples, _params(), NOWHERE, 7) for _ in range(2))
    assert one.equals(two)


def test_peoples_own_list_is_taken_as_it_is(samples: pd.DataFrame, tmp_path: Path) -> None:
    """The manual strategy, as in the paper."""
    wanted = ["image-007", "image-001", "image-100", "image-200"]
    (tmp_path / "selected.csv").write_text("image_id\n" + "\n".join(wanted) + "\n")
    chosen = select(samples, _params("manual", holdout=0.5), tmp_path / "selected.csv", 1)
    assert set(chosen["image_id"]) == set(wanted)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("image_id\n", "list image_id, one a line"),
        ("name\nimage-001\n", "list image_id, one a line"),
        ("image_id\nimage-399\n", "not in the training split, as 'image-399'"),
        ("image_id\nimage-999\n", "not in the training split, as 'image-999'"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(
    content: str, says: str, samples: pd.DataFrame, tmp_path: Path
) -> None:
    """Empty, without the column, of another split, unknown."""
    path = tmp_path / "selected.csv"
    path.write_text(content)
    with pytest.raises(AbnError, match=says):
        select(samples, _params("manual"), path, 1)


def test_a_network_that_gets_nothing_right_has_nothing_to_edit(samples: pd.DataFrame) -> None:
    """The way out stands in the message."""
    with pytest.raises(AbnError, match="train longer"):
        select(samples.assign(correct=False), _params(), NOWHERE, 1)


def test_a_holdout_too_small_to_choose_and_report_by_is_refused(samples: pd.DataFrame) -> None:
    """One image cannot serve both."""
    with pytest.raises(AbnError, match="it takes 2"):
        select(samples, _params(budget=5, holdout=0.1), NOWHERE, 1)


def test_an_edited_image_is_not_asked_for_again(samples: pd.DataFrame, tmp_path: Path) -> None:
    """The next round takes the worst of the others, also from people's own list."""
    first = select(samples, _params(), NOWHERE, 1)
    earlier = _earlier(first, edited=first["image_id"])
    second = select(samples, _params(), NOWHERE, 1, earlier)
    assert len(second) == 30
    assert set(second["image_id"]).isdisjoint(first["image_id"])
    assert second["score"].max() <= first["score"].max()

    manual = tmp_path / "selected.csv"
    listed = [first["image_id"].iloc[0], second["image_id"].iloc[0], second["image_id"].iloc[1]]
    manual.write_text("image_id\n" + "\n".join(listed) + "\n")
    chosen = select(samples, _params("manual", holdout=0), manual, 1, earlier)
    assert set(chosen["image_id"]) == set(listed[1:])
    manual.write_text(f"image_id\n{listed[0]}\n")
    with pytest.raises(AbnError, match="edited in earlier rounds"):
        select(samples, _params("manual", holdout=0), manual, 1, earlier)


def test_a_role_is_kept_for_good(samples: pd.DataFrame) -> None:
    """What was selected and never edited is asked for again, in the role that it had."""
    first = select(samples, _params(holdout=0.4), NOWHERE, 1)
    again = select(samples, _params(holdout=0.4), NOWHERE, 2, _earlier(first, edited=[]))
    pd.testing.assert_series_equal(again["role"], first["role"])
    assert not select(samples, _params(holdout=0.4), NOWHERE, 2)["role"].equals(first["role"])


def _earlier(selection: pd.DataFrame, edited: Iterable[str]) -> Earlier:
    roles = dict(zip(selection["image_id"], selection["role"], strict=True))
    return Earlier(roles, frozenset(edited))
