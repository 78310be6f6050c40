"""Sends records to MLflow: beside a stage as ``python -m abn.tracking.sender``, or afterwards.

The process beside a stage imports mlflow while the stage imports torch, follows the stage's record,
and closes the run when the stage is gone: a killed stage leaves no run open.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from abn.progress import say
from abn.tracking import machine, notes, server
from abn.tracking import record as records
from abn.tracking.owner import known_dead
from abn.tracking.record import Record, unsent
from abn.tracking.runs import Sent

if TYPE_CHECKING:
    from mlflow import MlflowClient

SECONDS_BETWEEN_ATTEMPTS = 60


class Outcome(NamedTuple):
    """What became of the records that waited: how many went, how many stay and why."""

    sent: int
    kept: int
    reason: str | None


def send_unsent() -> Outcome:
    """Send the records of runs that have ended, oldest first; those that fail stay."""
    return _send_unsent(None)


def is_known(experiment: str, stage: str, key: str) -> bool:
    """Whether there is a finished run of a stage, by its key.

    Raises:
        AbnError: MLflow does not answer.
    """
    with server.told():
        client = server.connect()
        return server.newest(client, server.experiment(client, experiment), stage, key) is not None


def restore(record: Record) -> None:
    """Send the record of a stage whose results came with git.

    Raises:
        AbnError: MLflow does not take it.
    """
    record.tags[records.RESTORED_TAG] = "true"
    record.close("FINISHED")
    try:
        with server.told():
            _send(server.connect(), record, None)
    finally:
        record.forget()


def _follow(path: Path) -> None:
    """Send a stage's record each time that it rings, and what is left when it has ended.

    The end of the pipe alone says that the stage was killed, and may come late or before that:
    children that it forked hold the pipe too.
    """
    sent: Sent | None = None
    monitor = None
    outcome: Outcome | None = None
    next_attempt = 0.0
    for _ in sys.stdin.buffer:
        record = records.read(path)
        if record is None or record.status != "RUNNING":
            break
        if time.monotonic() < next_attempt:
            continue
        try:
            sent = sent or _open(path)
            if sent is not None:
                sent.update(record)
                monitor = monitor or machine.watch(record, sent.run_id)
            outcome = None
        except Exception as error:  # noqa: BLE001 (whatever it is, training goes on)
            outcome = Outcome(0, 1, server.clean(str(error)))
            next_attempt = time.monotonic() + SECONDS_BETWEEN_ATTEMPTS
    if monitor is not None:
        with suppress(Exception):
            monitor.finish()
    record = records.read(path)
    if record is not None and record.status == "RUNNING":
        record.close("KILLED")
        record.save()
    if outcome is None or not server.is_remote() or time.monotonic() > next_attempt:
        outcome = _send_unsent(sent)
    if outcome.kept:
        say(
            f"tracking: MLflow at {_address()} does not take everything ({outcome.reason}); "
            f"what is left is kept in {unsent()}, and sent by the next stage or by: abn doctor"
        )


def _open(path: Path) -> Sent | None:
    """Make a record's run, unless the stage has ended and somebody else sends the record now."""
    client = server.connect()
    with _sending():
        record = records.read(path)
        if record is None or record.status != "RUNNING":
            return None
        server.close_orphans(client, server.experiment(client, record.experiment))
        return Sent(client, record)


def _send_unsent(sent: Sent | None) -> Outcome:
    if not any(unsent().glob("*.json")):
        return Outcome(0, 0, None)
    done, reason, client = 0, None, None
    with _sending():
        ended = list(_ended())
        for record in ended:
            try:
                client = client or server.connect()
                _send(client, record, sent)
                record.forget()
                done += 1
            except Exception as error:  # noqa: BLE001 (kept, and said by the caller)
                reason = reason or server.clean(str(error))
                if not server.is_refusal(error):
                    break
    return Outcome(done, len(ended) - done, reason)


def _sending() -> FileLock:
    """Let one process at a time send records that may be anybody's."""
    return FileLock(unsent() / ".lock")


def _ended() -> Iterator[Record]:
    for path in sorted(unsent().glob("*.json")):
        record = records.read(path)
        if record is None:
            continue
        if record.status == "RUNNING":
            if not known_dead(record.tags, record.started):
                continue
            record.close("KILLED")
            record.save()
        yield record


def _send(client: "MlflowClient", record: Record, sent: Sent | None) -> None:
    if record.stages:
        experiment = server.experiment(client, record.experiment)
        references = server.references(client, experiment, record.stages)
        known = server.newest(client, experiment, record.name, record.key)
        if known:
            server.fill_in(client, known, references)
            return
        record.tags |= references
        there = {
            tag.removeprefix("stage."): run
            for tag, run in references.items()
            if run != server.MISSING
        }
        note = record.tags.get(notes.TAG, "")
        record.tags[notes.TAG] = f"{note}\n\n{notes.links(experiment, there)}"
    if sent is None or sent.record_id != record.id:
        sent = Sent(client, record)
    sent.update(record)
    sent.close(record)


def _address() -> str:
    return server.clean(server.tracking_uri())


if __name__ == "__main__":
    _follow(Path(sys.argv[1]))
    os._exit(0)  # taking mlflow down in order takes longer than what is left to do: nothing
