"""One connection to a Label Studio server; the only importer of label_studio_sdk.

The SDK brings the authentication (legacy and personal access tokens) and the retries of requests
that may be repeated. Answers are taken as plain JSON: its models triple the time of a large import.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from abn.edits.label_studio import server
from abn.errors import AbnError

URL = "LABEL_STUDIO_URL"
API_KEY = "LABEL_STUDIO_API_KEY"

SECONDS_TO_CONNECT = 10.0
SECONDS_TO_ANSWER = 60.0
SECONDS_TO_IMPORT = 300.0
RETRIES_OF_READS = 2
"""Only reads: the server doesn't notice that an import comes twice."""

PAGE = 1000
"""Tasks at once where only their state is read."""
PAGE_WHOLE = 100
"""Tasks at once with annotations and predictions, tens of kB each."""

Json = Any
Condition = tuple[str, str, str, Json]
"""A filter of the data manager: column, operator, type, value."""


@dataclass(frozen=True)
class Connection:
    """A server that has accepted the token."""

    url: str
    _http: Any
    """The SDK's HTTP client."""

    @property
    def local(self) -> bool:
        """Whether the server runs on this machine and so can read the repository's files."""
        return _is_local(self.url)

    def get(self, path: str, what: str, **query: Json) -> Json:
        """Read; repeated on failures that may pass. ``what`` names the thing in errors."""
        return self._request("GET", path, what, query=query, retries=RETRIES_OF_READS)

    def post(self, path: str, what: str, body: Json, **query: Json) -> Json:
        """Create, once; ``body`` is a value, or the text of one in JSON."""
        return self._request("POST", path, what, query=query, body=_content(body))

    def patch(self, path: str, what: str, body: Json) -> Json:
        """Change, once."""
        return self._request("PATCH", path, what, body=_content(body))

    def delete(self, path: str, what: str) -> None:
        """Delete, once."""
        self._request("DELETE", path, what)

    def upload(
        self, path: str, what: str, files: Sequence[tuple[str, bytes]], **query: Json
    ) -> Json:
        """Send files, as pairs of name and content, once."""
        parts = {name: (name, content, "image/png") for name, content in files}
        return self._request("POST", path, what, query=query, body={"files": parts})

    def pages(self, path: str, what: str, **query: Json) -> Iterator[Json]:
        """Yield the results of a paged list."""
        page = 1
        while True:
            answer = self.get(path, what, page=page, page_size=PAGE, **query)
            yield from answer["results"]
            if not answer.get("next"):
                return
            page += 1

    def tasks(
        self,
        project: int,
        fields: Iterable[str],
        where: Sequence[Condition] = (),
        whole: bool = False,
    ) -> Iterator[Json]:
        """Yield a project's tasks in the order of their ids; tasks that come and go skip none.

        Args:
            project: its id.
            fields: what of each task, and of what is in it, the server is to send.
            where: conditions that all hold.
            whole: with annotations and predictions.
        """
        size = PAGE_WHOLE if whole else PAGE
        last = 0
        while True:
            query = _query([("id", "greater", "Number", last), *where])
            answer = self.get(
                "api/tasks/", f"project {project}", project=project, page=1, page_size=size,
                fields="all" if whole else "task_only", include=",".join(fields),
                resolve_uri="false", query=query,
            )  # fmt: skip
            yield from answer["tasks"]
            if len(answer["tasks"]) < size:
                return
            last = answer["tasks"][-1]["id"]

    def count(self, project: int, where: Sequence[Condition] = ()) -> int:
        """Count a project's tasks."""
        answer = self.get(
            "api/tasks/", f"project {project}", project=project, page=1, page_size=1,
            fields="task_only", include="id", query=_query(list(where)),
        )  # fmt: skip
        return int(answer["total"])

    def _request(
        self,
        method: str,
        path: str,
        what: str,
        query: dict[str, Json] | None = None,
        body: dict[str, Json] | None = None,
        retries: int = 0,
    ) -> Json:
        seconds = SECONDS_TO_IMPORT if body else SECONDS_TO_ANSWER
        with _said(self.url):
            answer = self._http.request(
                path, method=method, params=query or None, **(body or {}),
                request_options={"max_retries": retries, "timeout": seconds},
            )  # fmt: skip
        del answer.stream  # It points back: megabytes would wait for the garbage collector.
        _check(answer, self.url, what)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise AbnError(
                f"{self.url} answers {path} with something that isn't JSON: {_WRONG_URL}"
            ) from None


_WRONG_URL = f"is {URL} the address of a Label Studio?"
_TOKENS = "copy a valid one from its page Account & Settings, Access Token"


@contextmanager
def connect() -> Iterator[Connection]:
    """Connect to the server that LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY name, or else our own.

    Raises:
        AbnError: no server is named, none answers there, or it refuses the token.
    """
    import httpx  # noqa: PLC0415
    from label_studio_sdk import LabelStudio  # noqa: PLC0415

    url, key = _address()
    timeout = httpx.Timeout(SECONDS_TO_ANSWER, connect=SECONDS_TO_CONNECT)
    with httpx.Client(timeout=timeout, trust_env=not _is_local(url)) as http:
        with _said(url):
            sdk = LabelStudio(base_url=url, api_key=key, httpx_client=http)
        connection = Connection(url, sdk._client_wrapper.httpx_client)  # noqa: SLF001
        connection._request("GET", "api/current-user/whoami", "the user")  # noqa: SLF001
        yield connection


def _address() -> tuple[str, str]:
    url, key = os.environ.get(URL), os.environ.get(API_KEY)
    if url and not key:
        raise AbnError(
            f"{URL} is set and {API_KEY} is not; find the token under Account & Settings"
        )
    if url and key:
        if not key.isascii() or not key.isprintable():
            raise AbnError(f"{API_KEY} holds something that is no token; {_TOKENS}")
        if urlsplit(url).scheme not in ("http", "https"):
            raise AbnError(f"{URL} is {url!r}; it must begin with http:// or https://")
        return url.rstrip("/"), key
    ours = server.login()
    if ours is None:
        raise AbnError(
            f"no Label Studio: start one with `abn annotate serve`, or set {URL} and {API_KEY}"
        )
    return ours.url, ours.token


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def _content(body: Json) -> dict[str, Json]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {
        "content": text.encode(),
        "headers": {"Content-Type": "application/json"},
    }


def _query(where: Sequence[Condition]) -> str:
    items = [
        {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}
        for column, operator, kind, value in where
    ]
    return json.dumps(
        {"filters": {"conjunction": "and", "items": items}, "ordering": ["tasks:id"]},
        separators=(",", ":"),
    )


@contextmanager
def _said(url: str) -> Iterator[None]:
    """Turn what goes wrong between here and the server into one line."""
    import httpx  # noqa: PLC0415
    from label_studio_sdk.core.api_error import ApiError  # noqa: PLC0415

    try:
        yield
    except httpx.ConnectError:
        start = "start it with `abn annotate serve`" if _is_local(url) else f"is {URL} right?"
        raise AbnError(f"no Label Studio answers at {url}: {start}") from None
    except httpx.TimeoutException:
        raise AbnError(
            f"{url} did not answer in time; what was sent may still arrive: "
            "wait a minute and run the command again, it repeats nothing"
        ) from None
    except httpx.HTTPError as error:
        raise AbnError(
            f"the connection to {url} broke ({type(error).__name__}); run it again"
        ) from None
    except ApiError as error:
        raise AbnError(_refused(url, error.body)) from None
    except ValueError:
        raise AbnError(f"{url} answers with something that isn't JSON: {_WRONG_URL}") from None


def _check(answer: Any, url: str, what: str) -> None:
    """Raise ``AbnError`` unless the answer is a success; headers, with cookies, aren't shown."""
    status = answer.status_code
    if status < 300:
        return
    if status < 400:
        raise AbnError(
            f"{url} sends us on to {answer.headers.get('location')}; put that into {URL}"
        )
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if status == 401:
        raise AbnError(_refused(url, body))
    if status == 403:
        raise AbnError(f"{url}: this account may not do that with {what}; ask for the right role")
    if status == 404:
        raise AbnError(f"{url} has no {what} (any more); `abn annotate push` makes what is missing")
    raise AbnError(f"{url} refuses {what} (status {status}): {_reason(body)}")


def _refused(url: str, body: Json) -> str:
    detail = body.get("detail", "") if isinstance(body, dict) else ""
    source = f"the token in {API_KEY}" if os.environ.get(URL) else "our own token"
    return f"{url} refuses {source}{f' ({detail})' if detail else ''}; {_TOKENS}"


def _reason(body: Json) -> str:
    """Name the fields that the server found wrong, in one line."""
    if not isinstance(body, dict):
        return str(body)[:300]
    fields = body.get("validation_errors")
    if isinstance(fields, dict) and fields:
        return "; ".join(f"{name}: {_line(value)}" for name, value in fields.items())[:600]
    return _line(body.get("detail") or "no reason given")


def _line(value: Json) -> str:
    text = " ".join(str(part) for part in value) if isinstance(value, list) else str(value)
    return " ".join(text.split())[:300]
