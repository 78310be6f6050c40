"""A Label Studio of one's own, on this machine only: ``with run(port): …``.

It lives in ``.label-studio`` at the root of the repository, which git ignores: its environment
(``make label-studio``), its data, its log, and the login that is made for it once.
"""

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from abn import atomic, paths
from abn.errors import AbnError
from abn.progress import say

EXECUTABLE = "ABN_LABEL_STUDIO"
"""Environment variable that names another ``label-studio`` than the one installed here."""
HOST = "127.0.0.1"
SECONDS_TO_START = 180.0
"""The first start makes the database: half a minute on two cores."""
SECONDS_TO_STOP = 10.0


@dataclass(frozen=True)
class Login:
    """Where the local server answers, and to whom."""

    url: str
    username: str
    password: str = field(repr=False)
    token: str = field(repr=False)


class Running(NamedTuple):
    """The server while it runs."""

    login: Login
    process: subprocess.Popen[bytes]


def home() -> Path:
    """Give the folder in which the local Label Studio lives."""
    return paths.repository() / ".label-studio"


def login() -> Login | None:
    """Give the local server's login, if there has ever been a local server."""
    try:
        return Login(**json.loads(_login_file().read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise AbnError(
            f"{_login_file()}: not a login that `abn annotate serve` wrote; "
            f"move {home() / 'data'} and this file away to begin anew"
        ) from None


@contextmanager
def run(port: int) -> Iterator[Running]:
    """Run the server until the block ends; give it once it answers.

    Raises:
        AbnError: it isn't installed, it runs already, the port is taken, or it does not start.
    """
    executable = _executable()
    home().mkdir(exist_ok=True)
    with (home() / "serve.lock").open("a+") as lock:
        _claim(lock.fileno(), f"http://{HOST}:{port}")
        _check_free(port)
        user = _login(port)
        with (home() / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [str(executable), *_arguments(port)],
                env=_environment(user),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )
        try:
            _wait_until_ready(process, user)
            yield Running(user, process)
        finally:
            _stop(process)


def serve(port: int) -> None:
    """Run the server in the foreground, with its login on the terminal, until interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if not (home() / "data").exists():
            say("The first start takes about half a minute.")
        with run(port) as (user, process):
            say(f"Label Studio: {user.url}   (Ctrl-C stops it)")
            if os.isatty(2):
                say(f"Log in as {user.username} with the password {user.password}")
            else:
                say(f"The login is in {_login_file().relative_to(paths.repository())}")
            raise AbnError(
                f"Label Studio ended by itself, with status {process.wait()}; "
                f"see {home() / 'server.log'}"
            )
    except KeyboardInterrupt:
        say("Label Studio has stopped.")


def _executable() -> Path:
    named = os.environ.get(EXECUTABLE)
    executable = Path(named) if named else home() / "venv/bin/label-studio"
    if not os.access(executable, os.X_OK):
        way_out = f"mend {EXECUTABLE}" if named else "install it with `make label-studio`"
        raise AbnError(f"{executable}: no Label Studio here; {way_out}")
    return executable


def _claim(lock: int, url: str) -> None:
    """Hold the one place there is for a server; its process inherits it and keeps it if we die."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        running = os.pread(lock, 200, 0).decode() or url
        raise AbnError(
            f"this repository's Label Studio runs already, at {running}; stop that one first "
            f"(Ctrl-C where it runs, or end the process that holds {home() / 'serve.lock'})"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, url.encode(), 0)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise AbnError(
                f"port {port} of {HOST} can't be used ({error}); "
                f"choose another: abn annotate serve --port {port + 1}"
            ) from None


def _login(port: int) -> Login:
    url = f"http://{HOST}:{port}"
    known = login()
    user = Login(
        url=url,
        username=known.username if known else "abn@localhost",
        password=known.password if known else secrets.token_urlsafe(12),
        token=known.token if known else secrets.token_hex(20),
    )
    with atomic.file(_login_file()) as aside:
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(asdict(user), indent=1) + "\n", encoding="utf-8")
    return user


def _login_file() -> Path:
    return home() / "login.json"


def _arguments(port: int) -> list[str]:
    data = str(home() / "data")
    return [
        "start", "--no-browser", "--internal-host", HOST, "--port", str(port), "--data-dir", data,
    ]  # fmt: skip


def _environment(user: Login) -> dict[str, str]:
    theirs = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LABEL_STUDIO_", "PYTHON", "VIRTUAL_ENV"))
    }
    ours = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(home() / "data"),
        "LABEL_STUDIO_USERNAME": user.username,
        "LABEL_STUDIO_PASSWORD": user.password,
        "LABEL_STUDIO_USER_TOKEN": user.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
        "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(paths.repository() / paths.ATTENTION.parent),
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    return theirs | ours


def _wait_until_ready(process: subprocess.Popen[bytes], user: Login) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while not _answers(user):
        if process.poll() is not None:
            raise AbnError(
                f"Label Studio ended with status {process.returncode}; see {home() / 'server.log'}"
            )
        if time.monotonic() > deadline:
            raise AbnError(
                f"Label Studio did not answer at {user.url} within {SECONDS_TO_START:.0f} s; "
                f"see {home() / 'server.log'}"
            )
        time.sleep(0.2)


def _answers(user: Login) -> bool:
    """Tell whether the server is up and is ours: whether it knows the token."""
    request = urllib.request.Request(  # noqa: S310 (our own http address)
        f"{user.url}/api/current-user/whoami", headers={"Authorization": f"Token {user.token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise AbnError(
                f"{user.url} does not know the login in {_login_file()}: the data in "
                f"{home() / 'data'} was made with another one; restore it, or move both away"
            ) from None
        return False
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and what it started: politely, then by force."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(SECONDS_TO_STOP)
        except ProcessLookupError:
            process.wait()
            return
        except subprocess.TimeoutExpired:
            continue
        return
