from dataclasses import replace
from pathlib import Path

import pytest
import torch

from abn.errors import AbnError
from abn.model import checkpoint
from abn.model.adoption import adopt
from abn.model.build import build
from tests.model.test_checkpoint import CARD


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    path = tmp_path / "1/abn.safetensors"
    checkpoint.save(build(CARD.architecture), CARD, path)
    return path


def test_a_model_is_taken_over_bit_for_bit(frozen: Path, tmp_path: Path) -> None:
    """Weights and card; the network is the one that loads from the copy."""
    path = tmp_path / "models/abn.safetensors"
    network = adopt(frozen, CARD, path)
    for suffix in (".safetensors", ".json"):
        assert path.with_suffix(suffix).read_bytes() == frozen.with_suffix(suffix).read_bytes()
    copied = checkpoint.load(path)[0].state_dict()
    assert all(torch.equal(value, copied[name]) for name, value in network.state_dict().items())


def test_all_that_differs_is_listed_and_nothing_written(frozen: Path, tmp_path: Path) -> None:
    """Architecture, classes and data at once, there and here."""
    path = tmp_path / "models/abn.safetensors"
    wanted = replace(CARD, map_kernel=3, classes=["a", "c"], data="other")
    with pytest.raises(AbnError) as error:
        adopt(frozen, wanted, path)
    lines = str(error.value).splitlines()
    assert lines[1:4] == [
        "  map_kernel: 1 there, 3 here",
        "  classes: ['a', 'b'] there, ['a', 'c'] here",
        "  data: data there, other here",
    ]
    assert not path.exists()


def test_a_round_that_was_not_pulled_says_so(tmp_path: Path) -> None:
    """The folder is there, the weights are not."""
    with pytest.raises(AbnError, match="dvc pull"):
        adopt(tmp_path / "abn.safetensors", CARD, tmp_path / "models/abn.safetensors")
