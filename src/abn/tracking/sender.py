"""Sends records to MLflow: beside a stage as ``python -m abn.tracking.sender``, or afterwards.

The process beside a stage imports mlflow while the stage imports torch, follows the stage's record,
and closes the run when the stage is gone: a killed stage leaves no run open.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock

from abn.errors import AbnError
from abn.progress import say
from abn.tracking import record as records
from abn.tracking import server
from abn.tracking.owner import known_dead
from abn.tracking.record import Record, unsent

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


def restore(
    experiment: str,
    stage: str,
    key: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> bool:
    """Make the finished run of a stage whose results came with git, unless there is one.

    Returns:
        Whether a run was made.

    Raises:
        AbnError: MLflow does not take it.
    """
    try:
        client = server.connect()
        if server.newest(client, server.experiment(client, experiment), stage, key):
            return False
        record = records.start(experiment, stage, key, params, {**tags, "abn.restored": "true"})
        record.log([(0, metrics)])
        record.close("FINISHED")
        _send(client, record, None)
    except Exception as error:  # noqa: BLE001 (mlflow raises what its transports raise)
        raise AbnError(f"MLflow at {_address()}: {server.clean(str(error))}") from None
    return True


def _follow(path: Path) -> None:
    """Send a stage's record each time that it rings, and what is left when it has ended.

    The end of the pipe alone says that the stage was killed, and may come late or before that:
    children that it forked hold the pipe too.
    """
    sent: server.Sent | None = None
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
            outcome = None
        except Exception as error:  # noqa: BLE001 (whatever it is, training goes on)
            outcome = Outcome(0, 1, server.clean(str(error)))
            next_attempt = time.monotonic() + SECONDS_BETWEEN_ATTEMPTS
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


def _open(path: Path) -> server.Sent | None:
    """Make a record's run, unless the stage has ended and somebody else sends the record now."""
    client = server.connect()
    with _sending():
        record = records.read(path)
        if record is None or record.status != "RUNNING":
            return None
        server.close_orphans(client, server.experiment(client, record.experiment))
        return server.Sent(client, record)


def _send_unsent(sent: server.Sent | None) -> Outcome:
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


def _send(client: "MlflowClient", record: Record, sent: server.Sent | None) -> None:
    if record.stages:
        experiment = server.experiment(client, record.experiment)
        references = server.references(client, experiment, record.stages)
        known = server.newest(client, experiment, record.name, record.key)
        if known:
            server.fill_in(client, known, references)
            return
        record.tags |= references
    if sent is None or sent.record_id != record.id:
        sent = server.Sent(client, record)
    sent.update(record)
    sent.close(record)


def _address() -> str:
    return server.clean(server.tracking_uri())


if __name__ == "__main__":
    _follow(Path(sys.argv[1]))
    os._exit(0)  # taking mlflow down in order takes longer than what is left to do: nothing
