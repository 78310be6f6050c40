"""What the stages share: params, seed, key, the tracked run, metrics; all of it in ``run``.

``main`` gets a ``Stage``. What dvc.yaml says of the stage (its params and deps) is held to: a
parameter that is not named there cannot be read.
"""

import errno
import hashlib
import json
import math
import numbers
import os
import random
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from abn import atomic, paths
from abn.errors import AbnError
from abn.params import Params, load
from abn.pipeline import Declared, flatten, read_key, read_pipeline, restricted, stage_key, values
from abn.progress import say
from abn.tracking import notes, sender
from abn.tracking import record as records
from abn.tracking.headlines import HEADLINES
from abn.tracking.provenance import source_tags
from abn.tracking.record import Dataset, Status
from abn.tracking.run import Run

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
EXIT_SIGTERM = 128 + signal.SIGTERM
EXIT_SIGINT = 128 + signal.SIGINT


class Stage:
    """What a stage's main gets."""

    name: str
    params: Params
    """Only what dvc.yaml names for the stage is readable; anything else raises ``AbnError``."""
    key: str
    """Digest of the stage's name, params and deps: 32 hexadecimal digits."""

    def __init__(
        self,
        name: str,
        every: Params,
        pipeline: Mapping[str, Declared],
        run: Run,
        key: str,
    ) -> None:
        self.name = name
        self.params = restricted(every, pipeline[name])
        self.key = key
        self._every = every
        self._pipeline = pipeline
        self._run = run
        self._rows_logged = 0

    @property
    def seed(self) -> int:
        """The parameter ``seed``; python's, numpy's and torch's generators start from it."""
        return self.params.seed

    def log_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write metrics, named by their path (after.test.iou), to reports/metrics and MLflow.

        Args:
            metrics: nested; leaves are numbers, texts (a tag in MLflow), or None, which leaves
                the metric out.

        Raises:
            AbnError: a number is NaN or infinite; nothing is written.
        """
        metrics = _plain(metrics, "")
        atomic.write_json(paths.metrics_file(self.name), metrics)
        leaves = flatten(metrics)
        for name, value in _texts(leaves).items():
            self._run.tag(name, value)
        self._run.log([(0, _numbers(leaves))])
        self.tag(notes.TAG, notes.of_stage(self._pipeline[self.name].purpose, _numbers(leaves)))

    def log_curve(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a table by step to reports/plots and MLflow; again with more rows as they come.

        Args:
            rows: the first column is the step; None where a row has no value.

        Raises:
            AbnError: a number is NaN or infinite; nothing is written.
        """
        plain = [_plain(row, f"row {n}: ", keep_none=True) for n, row in enumerate(rows)]
        if not plain:
            return
        first, *columns = plain[0]
        atomic.write_csv(paths.PLOTS / f"{self.name}.csv", plain, [first, *columns])
        self._run.log(
            (int(row[first]), _numbers({name: row[name] for name in columns}))
            for row in plain[self._rows_logged :]
        )
        self._rows_logged = len(plain)

    def log_artifact(self, path: Path) -> None:
        """Send a file or folder to MLflow when the stage ends, as it is now."""
        self._run.log_artifact(path)

    def log_model(self, weights: Path) -> None:
        """Send a model to MLflow while the stage goes on; a refined one into the registry too.

        Args:
            weights: safetensors, the card beside it.
        """
        self._run.log_model(weights, _example(), weights == paths.REFINED_MODEL)

    def tag(self, name: str, value: str) -> None:
        """Tag the MLflow run: what is no result and may differ from run to run, as the device."""
        self._run.tag(name, value)

    def log_pipeline(self, metrics: Mapping[str, Any], artifacts: Iterable[Path] = ()) -> None:
        """Log the MLflow run that people compare: one for each distinct state of the pipeline.

        It holds every stage's params and refers to every stage's run.

        Args:
            metrics: nested as in the stages' own files; MLflow gets the headlines among them.
            artifacts: files and folders to send with it.
        """
        keys = {name: self.key if name == self.name else read_key(name) for name in self._pipeline}
        named = [one for stage in self._pipeline.values() for one in stage.params]
        leaves = flatten(_plain(metrics, ""))
        headlines = {name: leaves[name] for name in HEADLINES if name in leaves}
        self._run.log_pipeline(
            keys, values(self._every, named), headlines, _texts(leaves), artifacts
        )


def run(name: str, main: Callable[[Stage], None]) -> None:
    """Run a stage as dvc.yaml declares it; exit with 1 (error), 130 (Ctrl-C) or 143 (SIGTERM).

    ``AbnError`` is shown as one message; any other exception with its traceback. The MLflow run is
    FINISHED, FAILED or KILLED accordingly, and data/runs/<name>.json is written at the very end.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        _run(name, main)
    except AbnError as error:
        say(f"{name}: {error}")
        sys.exit(1)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        say(
            f"{name}: {error.strerror}{f' ({error.filename})' if error.filename else ''}; "
            f"free space and run again: dvc repro {name}"
        )
        sys.exit(1)
    except KeyboardInterrupt:
        say(f"{name}: interrupted")
        sys.exit(EXIT_SIGINT)


def _run(name: str, main: Callable[[Stage], None]) -> None:
    every = load()
    pipeline = read_pipeline()
    if name not in pipeline:
        raise AbnError(f"{paths.PIPELINE}: there is no stage {name}")
    declared = pipeline[name]
    own = values(every, declared.params)
    key = stage_key(name, own, declared.deps)
    if "seed" in own:
        _seed(every.seed)
    tracked = Run(every.tracking.experiment, name, key, own, _tags(own, pipeline))
    status: Status = "FAILED"
    try:
        if paths.PREPARED in declared.deps:
            tracked.log_dataset(_dataset())
        main(Stage(name, every, pipeline, tracked, key))
        atomic.write_json(paths.run_file(name), {"stage": name, "key": key})
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        tracked.close(status)


def restore(name: str) -> bool:
    """Make the MLflow run of a stage whose results came with git and DVC, unless there is one.

    Returns:
        Whether a run was made.

    Raises:
        AbnError: the stage's run file is missing, or of other params or deps than there are now.
    """
    every, pipeline = load(), read_pipeline()
    own = values(every, pipeline[name].params)
    key = read_key(name)
    if key != stage_key(name, own, pipeline[name].deps):
        raise AbnError(f"{name}: params or deps have changed since it ran; run: dvc repro {name}")
    experiment = every.tracking.experiment
    if sender.is_known(experiment, name, key):
        return False
    metrics = paths.metrics_file(name)
    leaves = flatten(json.loads(metrics.read_text(encoding="utf-8"))) if metrics.exists() else {}
    record = records.start(experiment, name, key, own, _texts(leaves))
    record.log([(0, _numbers(leaves))])
    record.tags[notes.TAG] = notes.of_stage(pipeline[name].purpose, _numbers(leaves))
    if paths.PREPARED in pipeline[name].deps:
        record.dataset = _dataset()
    for weights in {paths.MODEL, paths.REFINED_MODEL} & set(pipeline[name].outs):
        if weights.exists():
            record.keep_model(weights, _example(), weights == paths.REFINED_MODEL)
    sender.restore(record)
    return True


def _terminate(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise SystemExit(EXIT_SIGTERM)


def _plain(metrics: Mapping[str, Any], above: str, *, keep_none: bool = False) -> dict[str, Any]:
    """Give metrics as JSON knows them; numpy's numbers become Python's, None is left out."""
    plain: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            plain[name] = _plain(value, f"{above}{name}.", keep_none=keep_none)
        elif value is not None:
            plain[name] = _leaf(value, f"{above}{name}")
        elif keep_none:
            plain[name] = None
    return plain


def _leaf(value: Any, name: str) -> int | float | str:
    match value:
        case str():
            return value
        case numbers.Integral():
            return int(value)
        case numbers.Real() if math.isfinite(value):
            return float(value)
        case numbers.Real():
            raise AbnError(f"the metric {name} is {float(value)}: not a finite number")
    raise TypeError(f"the metric {name} is a {type(value).__name__}, not a number")


def _numbers(leaves: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in leaves.items() if isinstance(value, int | float)}


def _texts(leaves: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in leaves.items() if isinstance(value, str)}


def _dataset() -> Dataset:
    path = paths.PREPARED / "dataset.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    return Dataset(name=described["source"], digest=described["digest"], images=described["images"])


def _example() -> Any:
    """Give an image H×W×C of the prepared set."""
    return np.load(paths.PREPARED / "images.npy", mmap_mode="r")[0]


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (what libraries draw from)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def _tags(named: Mapping[str, Any], pipeline: Mapping[str, Declared]) -> dict[str, str]:
    digest = hashlib.sha256(json.dumps(dict(named), sort_keys=True).encode()).hexdigest()
    tags = {"mlflow.source.name": sys.argv[0], "abn.params": digest[:16]}
    if "DVC_EXP_NAME" in os.environ:
        tags["abn.dvc_experiment"] = os.environ["DVC_EXP_NAME"]
    written = [out for stage in pipeline.values() for out in stage.outs]
    return tags | source_tags(written)
