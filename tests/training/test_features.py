from pathlib import Path

import numpy as np
import pytest
import torch

from abn.data.loading import batch
from abn.data.prepared import Prepared
from abn.model.build import Architecture, build
from abn.model.network import AttentionBranchNetwork
from abn.params import Params
from abn.training import engine, features
from abn.training.engine import Engine

ROWS = np.array([5, 3, 8, 1])


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path / ".abn/features"


@pytest.fixture
def machine(tiny_params: Params) -> Engine:
    return engine.start(tiny_params.runtime, 1)


@pytest.fixture
def network(machine: Engine) -> AttentionBranchNetwork:
    return build(Architecture("resnet8", 1, 10, 1)).eval()


@pytest.mark.parametrize(("number_format", "tolerance"), [("fp32", 1e-5), ("fp16", 2e-3)])
def test_kept_features_are_those_of_the_extractor(
    number_format: str,
    tolerance: float,
    network: AttentionBranchNetwork,
    machine: Engine,
    tiny_set: Prepared,
    scratch: Path,
) -> None:
    """In the order of the rows; to rounding in fp32, coarser in fp16."""
    kept = features.cached(network, "w", tiny_set, ROWS, machine, number_format)
    with torch.inference_mode():
        fresh = network.feature_extractor(batch(tiny_set, ROWS, machine.device))
        outputs = network(batch(tiny_set, ROWS, machine.device))
    everything = np.arange(4)
    assert torch.allclose(kept(everything), fresh, atol=tolerance, rtol=tolerance)
    logits = kept.logits(everything)
    assert torch.allclose(logits.perception, outputs.perception_logits, atol=1e-5)
    assert torch.allclose(logits.attention, outputs.attention_logits, atol=1e-5)
    some = kept.take(np.array([1, 3]))
    assert len(some) == 2
    assert torch.equal(some(np.array([1])), kept(np.array([3])))
    assert torch.equal(some.take(np.array([1]))(np.array([0])), kept(np.array([3])))


def test_features_are_computed_once(
    network: AttentionBranchNetwork, machine: Engine, tiny_set: Prepared, scratch: Path
) -> None:
    """A second use reads the file, whatever the network in hand."""
    first = features.cached(network, "w", tiny_set, ROWS, machine, "fp32")(np.arange(4))
    network.feature_extractor.requires_grad_(False)
    for weight in network.feature_extractor.parameters():
        weight.zero_()
    again = features.cached(network, "w", tiny_set, ROWS, machine, "fp32")(np.arange(4))
    assert torch.equal(first, again)
    assert len(list(scratch.glob("*/features.npy"))) == 1


def test_other_weights_rows_or_formats_are_other_files(
    network: AttentionBranchNetwork, machine: Engine, tiny_set: Prepared, scratch: Path
) -> None:
    """Nothing stale is ever taken for fresh."""
    features.cached(network, "w", tiny_set, ROWS, machine, "fp32")
    features.cached(network, "v", tiny_set, ROWS, machine, "fp32")
    features.cached(network, "w", tiny_set, ROWS[:2], machine, "fp32")
    features.cached(network, "w", tiny_set, ROWS, machine, "fp16")
    assert len(list(scratch.glob("*/features.npy"))) == 4


def test_all_caches_together_stay_within_the_bound(
    network: AttentionBranchNetwork,
    machine: Engine,
    tiny_set: Prepared,
    scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The longest unused go first; the one in use never."""
    features.cached(network, "a", tiny_set, ROWS, machine, "fp32")
    size = sum(file.stat().st_size for file in scratch.glob("*/*.npy"))
    monkeypatch.setattr(features, "BOUND", 2.5 * size)
    for weights in "bcd":
        last = features.cached(network, weights, tiny_set, ROWS, machine, "fp32")
    assert len(list(scratch.glob("*/features.npy"))) == 2
    assert last(np.arange(4)).shape[0] == 4


def test_a_computation_that_breaks_off_leaves_no_file(
    network: AttentionBranchNetwork, machine: Engine, tiny_set: Prepared, scratch: Path
) -> None:
    """Half a cache is never taken for a whole one."""
    with pytest.raises(IndexError):
        features.cached(network, "w", tiny_set, np.array([1, 10_000]), machine, "fp32")
    assert not list(scratch.glob("*/features.npy"))
    assert not list(scratch.glob("*.part*"))
