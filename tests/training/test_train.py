from pathlib import Path

import pytest
import torch

from abn.data.prepared import Prepared
from abn.errors import AbnError
from abn.model.build import Architecture, build
from abn.params import Params
from abn.training import engine
from abn.training.evaluation import accuracy
from abn.training.train import Trainer
from tests.conftest import changed


def _trainer(params: Params, data: Prepared) -> Trainer:
    machine = engine.start(params.runtime, params.seed)
    network = build(Architecture("resnet8", 1, 10, 1))
    return Trainer(network, data, params.train, machine, params.seed)


class _Killed(BaseException):
    """Stands for the end of the process."""


def test_interrupted_training_ends_bit_for_bit_where_the_uninterrupted_one_ends(
    tiny_params: Params, tiny_set: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It resumes by itself from the last whole epoch."""
    params = changed(tiny_params, train={"epochs": 3})
    whole = _trainer(params, tiny_set)
    history = whole.fit(tmp_path / "whole.pt")

    broken = _trainer(params, tiny_set)
    step, steps = broken._step, iter(range(10))

    def dies_in_the_second_epoch(*args: object) -> torch.Tensor:
        if next(steps) == 9:
            raise _Killed
        return step(*args)

    monkeypatch.setattr(broken, "_step", dies_in_the_second_epoch)
    with pytest.raises(_Killed):
        broken.fit(tmp_path / "broken.pt")
    assert (tmp_path / "broken.pt").exists()

    resumed = _trainer(params, tiny_set)
    torch.manual_seed(99)
    assert resumed.fit(tmp_path / "broken.pt") == history
    expected = whole.network.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in resumed.network.state_dict().items())
    assert not (tmp_path / "broken.pt").exists()


def test_the_best_epoch_by_validation_is_kept(
    tiny_params: Params, tiny_set: Prepared, tmp_path: Path
) -> None:
    """Never the last one for being last; never chosen on the test split."""
    trainer = _trainer(changed(tiny_params, train={"epochs": 4, "lr": 0.02}), tiny_set)
    history = trainer.fit(tmp_path / "c.pt")
    found = accuracy(trainer.network, tiny_set, tiny_set.rows("val"), trainer.engine)
    assert found.accuracy == max(row["val_accuracy"] for row in history)


def test_the_learning_rate_follows_the_authors_steps(
    tiny_params: Params, tiny_set: Prepared
) -> None:
    """A tenth after half and after three quarters of the epochs."""
    recipe = {"schedule": "step", "epochs": 300, "lr": 0.1, "warmup": 0}
    trainer = _trainer(changed(tiny_params, train=recipe), tiny_set)
    rates = [trainer._learning_rate(epoch) for epoch in (0, 149, 150, 224, 225, 299)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_a_loss_that_is_not_finite_ends_the_training_with_the_way_out(
    tiny_params: Params, tiny_set: Prepared, tmp_path: Path
) -> None:
    """NaN never goes on for hours."""
    params = changed(tiny_params, train={"lr": 1e20, "optimiser": "sgd", "warmup": 0})
    with pytest.raises(AbnError, match=r"not finite; lower train\.lr"):
        _trainer(params, tiny_set).fit(tmp_path / "c.pt")
