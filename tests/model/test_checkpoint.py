import json
from pathlib import Path

import pytest
import torch

from abn.errors import AbnError
from abn.model import checkpoint
from abn.model.build import build
from abn.model.checkpoint import Card

CARD = Card("resnet8", 1, ["a", "b"], 1, 32, [0.1], [0.2], "data")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "abn.safetensors"
    checkpoint.save(build(CARD.architecture), CARD, path)
    return path


def test_a_model_reads_back_bit_for_bit_and_in_eval_mode(saved: Path) -> None:
    """Weights and buffers, and the card with the digest of the weights."""
    network, card = checkpoint.load(saved)
    torch.manual_seed(0)
    original = build(CARD.architecture).state_dict()
    assert all(torch.equal(value, original[name]) for name, value in network.state_dict().items())
    assert not network.training
    assert card.classes == ["a", "b"]
    assert card.name == f"abn-{card.weights[:12]}"


def test_saving_the_same_model_twice_gives_the_same_files(saved: Path, tmp_path: Path) -> None:
    """Models are outs: nothing in them changes from run to run."""
    network, card = checkpoint.load(saved)
    again = tmp_path / "again.safetensors"
    checkpoint.save(network, card, again)
    assert again.read_bytes() == saved.read_bytes()
    assert again.with_suffix(".json").read_text() == saved.with_suffix(".json").read_text()


def test_weights_of_another_card_are_refused(saved: Path) -> None:
    """A half-copied pair is never taken for a model."""
    card = saved.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"weights": "0" * 64}))
    with pytest.raises(AbnError, match=r"is not the file that abn\.json describes"):
        checkpoint.load(saved)


def test_truncated_weights_are_refused(saved: Path) -> None:
    """A disk that filled up."""
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(AbnError, match=r"abn\.safetensors"):
        checkpoint.load(saved)


def test_a_missing_model_names_the_way_out(tmp_path: Path) -> None:
    """The pipeline makes it."""
    with pytest.raises(AbnError, match="dvc repro"):
        checkpoint.load(tmp_path / "abn.safetensors")
