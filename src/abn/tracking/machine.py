"""What a GPU does while a stage computes on it: MLflow's system metrics, beside the run."""

from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from abn.tracking import server
from abn.tracking.record import Record

if TYPE_CHECKING:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

SECONDS_BETWEEN_SAMPLES = 5.0


def watch(record: Record, run_id: str) -> "SystemMetricsMonitor | None":
    """Start to measure if the stage computes on a GPU and nvidia-ml-py is there to ask it."""
    if not record.tags.get("device", "").startswith("cuda") or find_spec("pynvml") is None:
        return None
    with suppress(Exception):  # a figure beside the run is not worth losing the run
        from mlflow.system_metrics.system_metrics_monitor import (  # noqa: PLC0415
            SystemMetricsMonitor,
        )

        monitor = SystemMetricsMonitor(
            run_id, SECONDS_BETWEEN_SAMPLES, tracking_uri=server.tracking_uri()
        )
        monitor.start()
        return monitor
    return None
