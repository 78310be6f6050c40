import pytest
import torch

from abn.errors import AbnError
from abn.params import Runtime
from abn.training import engine


def _runtime(default: dict[str, object], **changes: object) -> Runtime:
    return Runtime.model_validate(default | changes)


@pytest.fixture
def default(default_params: object) -> dict[str, object]:
    return default_params.runtime.model_dump() | {"device": "cpu", "threads": 1}  # type: ignore[attr-defined]


def test_the_seed_decides_what_is_drawn(default: dict[str, object]) -> None:
    """The same seed, the same weights."""
    drawn = []
    for seed in (1, 1, 2):
        engine.start(_runtime(default), seed)
        drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_precision_is_that_of_the_params(
    precision: str, dtype: torch.dtype, default: dict[str, object]
) -> None:
    """fp32 switches autocast off: one code path for both."""
    machine = engine.start(_runtime(default, precision=precision), 1)
    with machine.autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_threads_are_those_of_the_params(default: dict[str, object]) -> None:
    """Another number changes the last digits: it is part of the recipe."""
    engine.start(_runtime(default, threads=2), 1)
    assert torch.get_num_threads() == 2
    engine.start(_runtime(default, threads=1), 1)
    assert torch.get_num_threads() == 1


def test_a_gpu_that_is_not_there_is_named_with_the_way_out(default: dict[str, object]) -> None:
    """A pipeline configured for a runner, run on a laptop."""
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(AbnError, match=r"runtime\.device: auto"):
        engine.start(_runtime(default, device=missing), 1)
