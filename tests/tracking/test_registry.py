"""Which version is the candidate, whatever the order in which they come."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
from mlflow import MlflowClient

from abn.errors import AbnError
from abn.tracking import registry, sender, server
from abn.tracking.registry import CANDIDATE, CHAMPION
from tests.tracking.registered import a_model, logged, names, send, versions


def test_the_model_that_was_trained_last_is_the_candidate() -> None:
    """Not the one that was sent last; weights that are trained again are the newest again."""
    for seed, started, candidate in ((1, 1000, "1"), (2, 3000, "2"), (3, 2000, "2")):
        a_model(seed, started=started)
        send()
        assert names() == {CANDIDATE: candidate}
    a_model(1, started=4000)
    send()
    assert names() == {CANDIDATE: "1"}
    assert len(versions()) == 3


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_that_did_not_finish_registers_nothing(status: str) -> None:
    """Its model is there to be looked at, and no candidate."""
    a_model(1, status=status)  # type: ignore[arg-type]
    send()
    assert len(logged()) == 1
    assert (versions(), names()) == ([], {})


def test_a_restored_model_is_no_newer_than_any_that_was_trained() -> None:
    """What came with git is the candidate only where there is no other."""
    one = a_model(1, started=9000)
    sender.restore(one)
    assert names() == {CANDIDATE: "1"}
    a_model(2, started=10)
    send()
    assert names() == {CANDIDATE: "2"}


def test_whoever_registers_between_look_and_set_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine registers a newer model just before ours is named: the newer one stays."""
    set_alias, others = MlflowClient.set_registered_model_alias, [20]

    def slow(self: MlflowClient, name: str, alias: str, number: str) -> None:
        if others:
            with pytest.MonkeyPatch.context() as elsewhere:
                elsewhere.setenv("MLFLOW_TRACKING_URI", server.tracking_uri())
                elsewhere.setenv("DVC_ROOT", str(tmp_path / "elsewhere"))
                a_model(others[0], started=1000 * others.pop())
                send()
        set_alias(self, name, alias, number)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", slow)
    a_model(10, started=10_000)
    send()
    newest = max(versions(), key=lambda one: one.started)
    assert newest.started == 20_000
    assert names() == {CANDIDATE: newest.number}


def test_machines_that_finish_at_once_leave_the_newest_as_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six threads with clients of their own and no lock between them."""
    monkeypatch.setattr(registry, "locked", nullcontext)
    records = [a_model(seed, started=1000 + seed) for seed in range(6)]
    client = server.connect()
    experiment = server.experiment(client, "abn")
    run_id = client.create_run(experiment).info.run_id
    model = client.create_logged_model(experiment, "abn_refined")
    client.create_registered_model("abn")
    together = threading.Barrier(len(records))

    def register(number: int) -> None:
        mine = MlflowClient(server.tracking_uri())
        together.wait()
        registry.register(mine, records[number], run_id, model)

    with ThreadPoolExecutor(len(records)) as machines:
        list(machines.map(register, range(len(records))))
    assert len(versions()) == len(records)
    newest = max(versions(), key=lambda one: one.started)
    assert names()[CANDIDATE] == newest.number
    shutil.rmtree(tmp_path / ".abn/unsent")


# Fetching.


def test_a_model_is_downloaded_once_and_by_what_it_is() -> None:
    """The version's own weights and card; a second time nothing is asked but which it is."""
    a_model(1)
    send()
    weights = registry.fetch("abn", CANDIDATE)
    assert weights.parent.name == versions()[0].weights
    assert weights.with_suffix(".json").exists()
    shutil.rmtree("mlartifacts")
    assert registry.fetch("abn", CANDIDATE) == weights


def test_few_downloaded_models_stay() -> None:
    """Those that were used last; the scratch folder does not grow for ever."""
    for seed in range(registry.KEPT + 2):
        a_model(seed)
        send()
        last = registry.fetch("abn", CANDIDATE)
    kept = list(Path(".abn/models").resolve().iterdir())
    assert len(kept) == registry.KEPT
    assert last.parent in kept


def test_a_name_that_nobody_has_says_how_to_get_it() -> None:
    """Neither a candidate nor a champion yet; nothing is registered at all."""
    with pytest.raises(AbnError, match="has no candidate yet; dvc repro registers one"):
        registry.fetch("abn", CANDIDATE)
    a_model(1)
    send()
    with pytest.raises(AbnError, match=r"no champion yet; .*: abn promote"):
        registry.fetch("abn", CHAMPION)


def test_an_experiments_name_becomes_one_that_the_registry_takes() -> None:
    """MLflow refuses slashes and colons in the names of registered models."""
    assert registry.registered_name("team/abn: first") == "team-abn- first"
