"""A stage that is killed under DVC."""

import time
from pathlib import Path

import psutil
import yaml

from tests.pipeline.rig import Repository

OUT = "data/models/abn.safetensors"


def test_a_killed_training_goes_on_where_it_was(finished: Repository) -> None:
    """No half an out, no run RUNNING; in the end the same bits as of a training without a kill."""
    before = finished.runs().keys()
    with finished.changed(train={"epochs": 12}):
        repro = finished.start("dvc", "repro", "train_abn")
        _kill_after_an_epoch(finished, repro.pid)
        assert repro.wait(60) != 0
        assert not (finished.root / OUT).exists()
        assert "train_abn" in yaml.safe_load(finished.dvc("status", "--json"))

        assert "resuming after epoch" in finished.dvc("repro", "train_abn")
        resumed = _md5(finished)
        runs = [run for one, run in finished.runs().items() if one not in before]
        assert [(run.info.run_name, run.info.status) for run in runs] == [
            ("train_abn", "FINISHED"),
            ("train_abn", "KILLED"),
        ]
        finished.dvc("repro", "--force", "--single-item", "train_abn")
        assert _md5(finished) == resumed


def _kill_after_an_epoch(repository: Repository, dvc: int) -> None:
    checkpoints = repository.root / ".abn/checkpoints"
    end = time.monotonic() + 120
    while not list(checkpoints.glob("[!.]*.pt")):
        assert time.monotonic() < end, repository.read(".git/said")
        time.sleep(0.005)
    (stage,) = [
        process
        for process in psutil.Process(dvc).children(recursive=True)
        if process.cmdline()[1:] == ["stages/train_abn.py"]
    ]
    stage.kill()


def _md5(repository: Repository) -> str:
    outs = yaml.safe_load(repository.read("dvc.lock"))["stages"]["train_abn"]["outs"]
    (md5,) = [out["md5"] for out in outs if Path(out["path"]) == Path(OUT)]
    return str(md5)
