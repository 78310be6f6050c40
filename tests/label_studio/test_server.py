"""A local server of one's own, started and stopped as `abn annotate serve` does it."""

import json
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from abn.edits.label_studio import server
from abn.errors import AbnError
from tests.label_studio.server import free_port, migrated_data

ABN = [sys.executable, "-m", "abn.cli"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose Label Studio has been migrated and has no user yet."""
    template = migrated_data()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(template, server.home() / "data")
    return tmp_path


@contextmanager
def _serving(port: int) -> Iterator[subprocess.Popen[str]]:
    """Run `abn annotate serve` until it answers."""
    command = [*ABN, "annotate", "serve", "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(300):
                if process.poll() is not None or _up(port):
                    break
                time.sleep(0.1)
            yield process
        finally:
            process.kill()
            process.wait()


def _up(port: int) -> bool:
    try:
        return httpx.get(f"http://{server.HOST}:{port}/health").json() == {"status": "UP"}
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_here_alone_and_stops_cleanly(
    repository: Path, number: signal.Signals
) -> None:
    """It listens on the loopback address only; a signal ends it and all that it started."""
    port = free_port()
    with _serving(port) as process:
        family = psutil.Process(process.pid).children(recursive=True)
        listening = {
            connection.laddr.ip
            for one in family
            for connection in one.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {server.HOST}
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Label Studio has stopped." in errors
    assert not psutil.wait_procs(family, timeout=5)[1]
    assert not _up(port)


def test_the_login_is_for_its_owner_alone_and_in_no_log(repository: Path) -> None:
    """Token and password are in one file, readable by its owner, and in no output that is kept."""
    with _serving(free_port()) as process:
        user = server.login()
        assert user is not None
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    file = server.home() / "login.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = [path for path in repository.rglob("*") if path.is_file() and path != file]
    for secret in (user.token, user.password):
        assert secret not in errors
        assert secret not in repr(user)
        assert [path.name for path in kept if secret.encode() in path.read_bytes()] in (
            [], ["label_studio.sqlite3"],
        )  # fmt: skip


def test_the_login_stays_from_start_to_start(repository: Path) -> None:
    """The second start keeps user and token, on whatever port."""
    with server.run(free_port()) as (first, _):
        pass
    with server.run(free_port()) as (second, _):
        assert (second.username, second.token) == (first.username, first.token)


def test_a_second_server_is_refused_with_the_address_of_the_first(repository: Path) -> None:
    """One repository has one server; the second is told where the first runs, and leaves it."""
    port = free_port()
    with server.run(port):
        with (
            pytest.raises(AbnError, match=f"runs already, at http://127.0.0.1:{port}"),
            server.run(free_port()),
        ):
            pass
        assert _up(port)


def test_a_server_that_outlives_its_command_is_noticed(repository: Path) -> None:
    """If serve is killed outright, its server still counts as running."""
    port = free_port()
    with _serving(port) as process:
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        try:
            with pytest.raises(AbnError, match="runs already"), server.run(free_port()):
                pass
        finally:
            for one in family:
                one.kill()
            psutil.wait_procs(family, timeout=10)


def test_a_taken_port_is_said(repository: Path) -> None:
    """Another program on the port: one line with the option that mends it; nothing is started."""
    with socket.socket() as other:
        other.bind((server.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        command = [*ABN, "annotate", "serve", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"abn: port {port} of 127.0.0.1 can't be used")
    assert f"--port {port + 1}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_label_studio_serve_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Makefile's target is named; a wrong override is named too."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv(server.EXECUTABLE, raising=False)
    with pytest.raises(AbnError, match="make label-studio"), server.run(free_port()):
        pass
    monkeypatch.setenv(server.EXECUTABLE, "/no/such/program")
    with pytest.raises(AbnError, match=server.EXECUTABLE), server.run(free_port()):
        pass


def test_data_made_with_another_login_is_said(repository: Path) -> None:
    """A lost login is an error that names both files, not a server that nobody can enter."""
    with server.run(free_port()):
        pass
    (server.home() / "login.json").unlink()
    with pytest.raises(AbnError, match="does not know the login"), server.run(free_port()):
        pass


@pytest.mark.parametrize("text", ["", "[]", '{"url": "http://x"}', json.dumps("a")])
def test_a_malformed_login_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A login file that serve did not write is named."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    server.home().mkdir()
    (server.home() / "login.json").write_text(text)
    with pytest.raises(AbnError, match=r"login\.json"):
        server.login()


def test_a_server_that_dies_at_once_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is named, and no wait for the whole time allowed."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv(server.EXECUTABLE, "/bin/false")
    with pytest.raises(AbnError, match=r"status 1.*server\.log"), server.run(free_port()):
        pass
