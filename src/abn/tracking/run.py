"""A stage's run as the stage sees it: nothing here waits for MLflow, or fails because of it."""

import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abn.progress import say
from abn.tracking import notes, owner, record
from abn.tracking.record import Dataset, Record, Status

SECONDS_TO_WAIT_FOR_SENDING = 120


class Run:
    """A record, and the process beside the stage that sends it (``abn.tracking.sender``)."""

    def __init__(
        self,
        experiment: str,
        name: str,
        key: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> None:
        self._process = owner.process_tags()
        self._record = record.start(experiment, name, key, params, {**self._process, **tags})
        self._pipeline: Record | None = None
        self._incomplete = False
        self._save(self._record)
        self._sender = _start_sender(self._record.file)
        self._ring()

    def tag(self, name: str, value: str) -> None:
        """Set a tag."""
        self._record.tags[name] = value
        self._update()

    def log(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Add metrics by step, named as they are in every run."""
        self._record.log(rows)
        self._update()

    def log_dataset(self, dataset: Dataset) -> None:
        """Say which data set the run reads."""
        self._record.dataset = dataset
        self._update()

    def log_model(self, weights: Path, example: NDArray[np.uint8], registered: bool) -> None:
        """Keep a copy of a model and send it while the stage goes on.

        Args:
            weights: safetensors, the card beside it.
            example: an image H×W×C.
            registered: whether it goes into the registry if the stage finishes.
        """
        try:
            self._record.keep_model(weights, example, registered)
        except OSError as error:
            say(f"tracking: {error}; this model will be missing in MLflow")
        self._update()

    def log_artifact(self, path: Path) -> None:
        """Keep a copy of a file or folder, to be sent when the run ends."""
        _keep(path, self._record)

    def log_pipeline(
        self,
        stages: Mapping[str, str],
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Iterable[Path],
    ) -> None:
        """Say what the pipeline's run holds; it is sent after this run if this one finishes.

        Args:
            stages: each stage's key.
            params: every stage's, flattened.
            metrics: headline metrics, flattened.
            tags: what is no number.
            artifacts: files and folders to send with it.
        """
        own = self._record
        lasting = {name: own.tags[name] for name in own.tags.keys() - self._process.keys()}
        note = {notes.TAG: notes.of_pipeline(metrics, params)}
        self._pipeline = record.start_pipeline(
            own.experiment, stages, params, {**lasting, **tags, **note}
        )
        self._pipeline.dataset = own.dataset
        self._pipeline.log([(0, metrics)])
        for path in artifacts:
            _keep(path, self._pipeline)

    def close(self, status: Status) -> None:
        """End the run and wait, not for ever, until it is sent or known to be kept."""
        if self._pipeline is not None and status == "FINISHED":
            self._pipeline.close(status)
            self._save(self._pipeline)
        self._record.close(status)
        self._update()
        if self._sender is None or self._sender.stdin is None:
            return
        self._sender.stdin.close()
        try:
            if self._sender.wait(SECONDS_TO_WAIT_FOR_SENDING) != 0:
                say(f"tracking: the sending process died; the run is kept in {record.unsent()}")
        except subprocess.TimeoutExpired:
            say("tracking: MLflow is slow; sending goes on in the background")

    def _update(self) -> None:
        self._save(self._record)
        self._ring()

    def _ring(self) -> None:
        if self._sender is not None and self._sender.stdin is not None:
            with suppress(BrokenPipeError):  # said at the end
                self._sender.stdin.write(b"\n")

    def _save(self, one: Record) -> None:
        try:
            one.save()
        except OSError as error:
            if not self._incomplete:
                say(f"tracking: {error}; this run will be incomplete in MLflow")
            self._incomplete = True


def _start_sender(path: Path) -> "subprocess.Popen[bytes] | None":
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "abn.tracking.sender", path],
            stdin=subprocess.PIPE,
            bufsize=0,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the stage; the sender then closes its run
        )
    except OSError as error:
        say(f"tracking: {error}; what there is to send is kept in {record.unsent()}")
        return None


def _keep(path: Path, one: Record) -> None:
    try:
        one.keep(path)
    except OSError as error:
        say(f"tracking: {error}; this file will be missing in MLflow")
