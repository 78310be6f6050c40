"""Checks in repositories of their own, with real services or none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from abn import doctor
from abn.cli import app
from abn.edits.label_studio import client
from abn.edits.label_studio import server as studio_server
from abn.tracking import owner, record, server
from tests import two_stages
from tests.label_studio.server import Studio, free_port, studio, studio_process
from tests.tracking import registered
from tests.two_stages import key_of, replace

__all__ = ["studio", "studio_process"]

SECRET = "hunter2hunter2"
DVC = """
stages:
  shout:
    cmd: tr a-z A-Z < said.txt > shouted.txt
    deps: [said.txt]
    outs: [shouted.txt]
"""


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """A repository of two stages, with the tests' process standing in it."""
    foreign = ("MLFLOW_", "DVC_", "LABEL_STUDIO_")
    for name in [name for name in os.environ if name.startswith(foreign)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, "mlflow.db")
    two_stages.write()
    return tmp_path


# Installation.


def test_packages_are_told_with_their_versions() -> None:
    """What the tests run with is what pyproject.toml asks for."""
    found = doctor.packages()
    assert found.state == "ok"
    assert f"torch {torch.__version__.partition('+')[0]}" in found.text
    assert "label-studio-sdk 2" in found.text


def test_missing_and_old_packages_are_told() -> None:
    """By what is asked for; extras of which nobody asked are left out."""
    asked = ["no-such-package>=1", "torch>=999", "numpy>=2", 'also-not-there; extra == "test"']
    missing = list(doctor._missing(asked))
    assert missing[0] == "no-such-package>=1"
    assert missing[1].startswith("torch>=999 (there is ")
    assert len(missing) == 2


def test_the_device_is_told() -> None:
    """Device and precision as params choose them; a GPU that is not there is a problem."""
    replace("params.yaml", "device: auto", "device: cpu")
    replace("params.yaml", "precision: auto", "precision: fp32")
    assert "cpu, 2 threads, fp32" in doctor.device().text
    replace("params.yaml", "device: cpu", "device: cuda:99")
    found = doctor._run(doctor.device)
    assert found.state == "problem"
    assert "runtime.device is cuda:99" in found.text


@pytest.mark.parametrize(
    ("gigabytes", "state"), [(0.9, "problem"), (1.1, "note"), (4.9, "note"), (5.1, "ok")]
)
def test_a_full_disk_is_told_before_it_is_full(gigabytes: float, state: str) -> None:
    """A problem where a run would not fit, a note where few would."""
    found = doctor.judge_space(int(gigabytes * 1e9))
    assert found.state == state
    assert found.text.startswith(f"{gigabytes} GB free")
    assert bool(found.remedy) == (state != "ok")


def test_what_tests_need_is_a_note_where_it_is_missing(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser on the PATH, a Label Studio in the repository or where a variable says."""
    monkeypatch.setenv("PATH", str(repository))
    monkeypatch.delenv(studio_server.EXECUTABLE, raising=False)
    assert doctor.browser().state == doctor.label_studio_server().state == "note"
    for program in (Path("chromium"), Path(".label-studio/venv/bin/label-studio")):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(mode=0o755)
    assert doctor.browser().state == doctor.label_studio_server().state == "ok"
    monkeypatch.setenv(studio_server.EXECUTABLE, "elsewhere")
    assert doctor.label_studio_server().text.startswith("elsewhere: no Label Studio")


# MLflow.


def waiting() -> record.Record:
    """Leave the record of a stage that could not send it."""
    one = record.start("abn", "train", "1" * 32, {"lr": 0.1}, owner.process_tags())
    one.close("FINISHED")
    one.save()
    return one


def test_what_waited_is_sent_and_what_came_with_git_restored() -> None:
    """Once; a stage that has not run, or whose params have changed, is named in a note."""
    waiting()
    run_file = Path("data/runs/first.json")
    run_file.parent.mkdir()
    run_file.write_text(f'{{"stage": "first", "key": "{key_of("first")}"}}')
    first = doctor.tracking()
    assert first.state == "note"
    assert "sent 1 run(s) that waited, restored 1 that came with git" in first.text
    assert first.remedy.endswith("make it with: dvc repro report")
    assert not list(Path(".abn/unsent").glob("*.json"))
    again = doctor.tracking()
    assert "sent 0 run(s) that waited, restored 0 that came with git" in again.text
    replace("params.yaml", "epochs: 8", "epochs: 9")
    changed = doctor.tracking()
    assert "2 stage(s) have nothing to restore" in changed.text
    assert "params or deps have changed" in changed.remedy
    client_ = server.connect()
    runs = client_.search_runs([server.experiment(client_, "abn")])
    assert sorted(run.info.run_name for run in runs) == ["first", "train"]


def test_a_server_that_is_down_keeps_what_waits_and_no_password_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A problem with the address, without what is secret in it."""
    waits = waiting()
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{SECRET}@{address}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    found = doctor._run(doctor.tracking)
    assert found.state == "problem"
    assert f"http://{address}" in found.text
    assert SECRET not in str(found)
    assert waits.file.exists()


def test_a_record_that_mlflow_refuses_is_told() -> None:
    """One whose experiment was deleted stays, with the reason."""
    client_ = server.connect()
    client_.delete_experiment(server.experiment(client_, "deleted"))
    refused = waiting()
    refused.experiment = "deleted"
    refused.save()
    found = doctor.tracking()
    assert found.state == "problem"
    assert "1 stay" in found.text
    assert "deleted" in found.text


def test_the_registry_is_looked_at() -> None:
    """Nothing registered, no champion yet, a champion that is the newest, one that is not."""
    assert doctor.models() == (
        "note",
        "no model is registered yet",
        "dvc repro registers the refined one",
    )
    registered.a_model(1)
    registered.send()
    found = doctor.models()
    assert (found.state, found.remedy) == ("note", "abn promote")
    assert found.text.startswith("no champion yet; the candidate is version 1 (abn-")
    server.connect().set_registered_model_alias("abn", "champion", "1")
    found = doctor.models()
    assert found.state == "ok"
    assert found.text.endswith("the newest one")
    registered.a_model(2)
    registered.send()
    found = doctor.models()
    assert found.state == "note"
    assert found.text.startswith("the candidate, version 2 (abn-")
    assert "is newer than the champion, version 1 (abn-" in found.text


# Label Studio.


def test_no_label_studio_is_no_problem() -> None:
    """Nobody annotates yet, or the own server is not running."""
    assert doctor.label_studio().state == "note"
    login = Path(".label-studio/login.json")
    login.parent.mkdir()
    url = f"http://127.0.0.1:{free_port()}"
    login.write_text(f'{{"url": "{url}", "username": "a", "password": "b", "token": "c"}}')
    found = doctor.label_studio()
    assert found.state == "note"
    assert "abn annotate serve" in found.remedy


def test_a_label_studio_that_is_named_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A problem; neither token nor password is shown."""
    monkeypatch.setenv(client.URL, f"http://me:{SECRET}@127.0.0.1:{free_port()}")
    monkeypatch.setenv(client.API_KEY, SECRET)
    found = doctor._run(doctor.label_studio)
    assert found.state == "problem"
    assert "no Label Studio answers" in found.text
    assert SECRET not in str(found)


def test_a_label_studio_that_runs_is_found(
    studio: Studio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Our own by its login; one that is named with a wrong token is a problem."""
    found = doctor.label_studio()
    assert found.state == "ok"
    assert studio.login.url in found.text
    monkeypatch.setenv(client.URL, studio.login.url)
    monkeypatch.setenv(client.API_KEY, SECRET)
    refused = doctor._run(doctor.label_studio)
    assert refused.state == "problem"
    assert "refuses the token" in refused.text
    assert SECRET not in str(refused)


# Data.


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)


def test_data_and_recorded_pipeline_are_compared() -> None:
    """Stages to run are a note, results changed by hand a problem, no DVC a problem too."""
    Path("dvc.yaml").write_text(DVC)
    Path("said.txt").write_text("hello")
    assert doctor.results().text.startswith("dvc status fails: ERROR: you are not inside of a DVC")
    dvc("init", "--no-scm", "-q")
    assert doctor.results() == ("note", "not up to date: shout", "dvc repro")
    dvc("repro", "-q")
    assert doctor.results().state == "ok"
    Path("shouted.txt").unlink()
    Path("shouted.txt").write_text("hello")
    found = doctor.results()
    assert (found.state, found.text) == ("problem", "not what dvc.lock records: shouted.txt")
    Path("shouted.txt").unlink()
    assert doctor.results().state == "note"


# The command.


def test_a_broken_params_file_is_told_once_and_the_rest_is_looked_at() -> None:
    """One problem with its lines; what needs params is left out; exit status 1."""
    replace("params.yaml", "epochs: 8", "epochs: many")
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert done.stdout.count("params.yaml: 1 mistake(s)") == 1
    assert "train.epochs is 'many'" in done.stdout
    assert "MLflow at" not in done.stdout
    assert "GB free" in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ok       Python 3")
    assert any(line.startswith("problem  params.yaml") for line in lines)
    assert any(line.startswith("         → ") for line in lines)


def test_a_check_that_breaks_is_a_problem_and_no_crash() -> None:
    """Whatever a broken installation raises."""
    Path(".label-studio").mkdir()
    Path(".label-studio/login.json").write_text('{"url": ')
    assert doctor._run(doctor.label_studio).state == "problem"
    Path("mlflow.db").write_text("no database")
    found = doctor._run(doctor.tracking)
    assert found.state == "problem"
    assert "MLflow at sqlite:///" in found.text
