"""System metrics of a GPU, with a stand-in for the driver: there is none where tests run."""

import sys
from pathlib import Path

import pytest

from abn.tracking import machine, owner, record, server
from tests.tracking.rig import finish, start_script, tracked, wait_until

DRIVER = """
from types import SimpleNamespace
class NVMLError(Exception): ...
nvmlInit = lambda: None
nvmlDeviceGetCount = lambda: 1
nvmlDeviceGetHandleByIndex = lambda index: index
nvmlDeviceGetMemoryInfo = lambda handle: SimpleNamespace(used=3 * 10**9, total=6 * 10**9)
nvmlDeviceGetUtilizationRates = lambda handle: SimpleNamespace(gpu=75)
nvmlDeviceGetPowerUsage = lambda handle: 100_000
nvmlDeviceGetEnforcedPowerLimit = lambda handle: 400_000
"""
COMPUTES = """
import sys
import time
from abn.tracking.run import Run

run = Run("abn", "train", "0" * 32, {}, {})
run.tag("device", sys.argv[1])
time.sleep(float(sys.argv[2]))
run.close("FINISHED")
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package ``pynvml`` where the sender finds it, and let it be asked often."""
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver/pynvml.py").write_text(DRIVER)
    monkeypatch.setenv("PYTHONPATH", ":".join([str(tmp_path / "driver"), *filter(None, sys.path)]))
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")


def test_what_the_gpu_does_is_measured_while_the_stage_runs(driver: None) -> None:
    """Use and memory of the GPU, under MLflow's own names; the run ends as any other."""
    stage = start_script(COMPUTES, "cuda:0", "60")
    wait_until(lambda: "system/gpu_0_utilization_percentage" in _metrics())
    assert _metrics()["system/gpu_0_utilization_percentage"] == 75
    assert _metrics()["system/gpu_0_memory_usage_percentage"] == 50
    stage.kill()
    stage.communicate()
    wait_until(lambda: tracked()["train"].info.status == "KILLED")


def test_on_a_processor_nothing_is_measured(driver: None) -> None:
    """What a GPU does that the stage does not use is none of its figures."""
    assert finish(start_script(COMPUTES, "cpu", "0")) == ""
    assert _metrics() == {}


def test_without_nvidia_ml_py_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed the run has what it has anyway."""
    monkeypatch.setattr(machine, "find_spec", {}.get)
    one = record.start("abn", "train", "1" * 32, {}, owner.process_tags() | {"device": "cuda"})
    client = server.connect()
    run_id = client.create_run(server.experiment(client, "abn")).info.run_id
    assert machine.watch(one, run_id) is None


def _metrics() -> dict[str, float]:
    found = tracked().get("train")
    return dict(found.data.metrics) if found else {}
