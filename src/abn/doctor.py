"""What ``abn doctor`` looks at: one function a check, each saying how to mend what it finds.

A check gives a finding, or raises ``AbnError``, which is a problem. ``examine()`` runs them all.
"""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from packaging.requirements import Requirement

from abn import params, paths, stage
from abn.edits.label_studio import client
from abn.edits.label_studio import server as studio
from abn.errors import AbnError
from abn.pipeline import read_pipeline
from abn.tracking import registry, sender, server

SHOWN = ("torch", "torchvision", "dvc", "mlflow", "label-studio-sdk")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
GIGABYTE = 10**9
NEEDED, COMFORTABLE = 1 * GIGABYTE, 5 * GIGABYTE
"""Free space: what one run of the default pipeline takes, and what a dozen experiments do."""
SECONDS_FOR_DVC = 600
SECONDS_TO_CONNECT = 2.0
REINSTALL = "make install; where that says it is up to date: make --always-make install"

State = Literal["ok", "note", "problem"]


class Finding(NamedTuple):
    """What a check found; a note is nothing that keeps the pipeline from running."""

    state: State
    text: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Run every check; those that need params.yaml only if it is right."""
    yield _run(packages)
    checked = _run(parameters)
    yield checked
    if checked.state == "ok":
        yield _run(device)
        reached = _run(tracking)
        yield reached
        if reached.state != "problem":
            yield _run(models)
    for check in (label_studio, results, disk, label_studio_server, browser):
        yield _run(check)


def packages() -> Finding:
    """Whether what pyproject.toml asks for is installed, in the versions it asks for."""
    missing = list(_missing(metadata.requires("abn") or ()))
    if missing:
        return Finding("problem", f"not installed as needed: {', '.join(missing)}", REINSTALL)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in SHOWN)
    return Finding("ok", f"Python {platform.python_version()}, {versions}")


def parameters() -> Finding:
    """Whether params.yaml and dvc.yaml are what the stages take."""
    params.load()
    stages = read_pipeline()
    return Finding("ok", f"{paths.PARAMS} is valid; {paths.PIPELINE} has {len(stages)} stages")


def device() -> Finding:
    """Where and how precisely the stages will compute."""
    import torch  # noqa: PLC0415 (seconds)

    from abn.training import engine  # noqa: PLC0415

    every = params.load()
    machine = engine.start(every.runtime, every.seed)
    if machine.device.type == "cuda":
        where = f"{machine.device} ({torch.cuda.get_device_name(machine.device)})"
    else:
        where = f"{machine.device}, {every.runtime.threads} threads"
    text = f"computing on {where}, {machine.precision}"
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        build = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
        return Finding(
            "note",
            f"{text}; there is an NVIDIA driver, and torch sees no GPU",
            f"compare `nvidia-smi` with torch's build ({build}); install a torch that fits",
        )
    return Finding("ok", text)


def tracking() -> Finding:
    """Whether MLflow answers; it gets what waited, and the runs of results that came with git."""
    experiment = params.load().tracking.experiment
    address = server.clean(server.tracking_uri())
    try:
        server.experiment(server.connect(), experiment)
    except Exception as error:  # noqa: BLE001 (mlflow raises what its transports raise)
        return Finding(
            "problem",
            f"MLflow at {address}: {server.clean(str(error))}",
            "start it, or mend MLFLOW_TRACKING_URI; runs wait on the disk until then",
        )
    outcome = sender.send_unsent()
    text = f"MLflow at {address} answers; sent {outcome.sent} run(s) that waited"
    if outcome.kept:
        return Finding(
            "problem",
            f"{text}, {outcome.kept} stay: {outcome.reason}",
            "mend what MLflow says, then run `abn doctor` again",
        )
    restored, left = _restore(read_pipeline())
    text = f"{text}, restored {restored} that came with git"
    if left:
        return Finding("note", f"{text}; {len(left)} stage(s) have nothing to restore", left[0])
    return Finding("ok", text)


def models() -> Finding:
    """Whether the registry's champion is the model that was trained last."""
    name = registry.registered_name(params.load().tracking.experiment)
    with server.told():
        connected = server.connect()
        champion, candidate = (
            registry.named(connected, name, alias)
            for alias in (registry.CHAMPION, registry.CANDIDATE)
        )
    if candidate is None:
        return Finding("note", "no model is registered yet", "dvc repro registers the refined one")
    if champion is None:
        return Finding(
            "note", f"no champion yet; the candidate is {candidate.title}", "abn promote"
        )
    if champion == candidate:
        return Finding("ok", f"the champion is {champion.title}, the newest one")
    return Finding(
        "note",
        f"the candidate, {candidate.title}, is newer than the champion, {champion.title}",
        "abn promote makes it champion if it is better",
    )


def label_studio() -> Finding:
    """Whether Label Studio answers and takes the token, if one is named or has been started."""
    if not os.environ.get(client.URL):
        own = studio.login()
        if own is None or not _listens(own.url):
            return Finding(
                "note",
                "no Label Studio runs here; only annotating needs one",
                f"abn annotate serve; or set {client.URL} and {client.API_KEY}",
            )
    with client.connect() as connection:
        return Finding("ok", f"Label Studio at {connection.url} answers and takes the token")


def results() -> Finding:
    """Whether data and recorded pipeline agree, by ``dvc status``."""
    answer = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"],
        capture_output=True, text=True, timeout=SECONDS_FOR_DVC, check=False,
    )  # fmt: skip
    if answer.returncode != 0:
        said = answer.stderr.strip().splitlines() or ["nothing"]
        return Finding("problem", f"dvc status fails: {said[0]}", "run `dvc status` to see it all")
    return judge(json.loads(answer.stdout))


def judge(status: dict[str, list[Any]]) -> Finding:
    """Judge what ``dvc status --json`` gives: stages, each with what has changed.

    Stages to run are a note; results that somebody has changed by hand are a problem.
    """
    altered = sorted(
        path
        for changes in status.values()
        for change in changes
        if isinstance(change, dict)
        for path, how in change.get("changed outs", {}).items()
        if how == "modified"
    )
    if altered:
        return Finding(
            "problem",
            f"not what dvc.lock records: {', '.join(altered)}",
            "dvc repro makes it anew, dvc checkout brings back what was recorded",
        )
    if status:
        return Finding("note", f"not up to date: {', '.join(status)}", "dvc repro")
    return Finding("ok", "data and recorded pipeline agree")


def disk() -> Finding:
    """Whether there is room for a run."""
    return judge_space(shutil.disk_usage(paths.repository()).free)


def judge_space(free: int) -> Finding:
    """Judge the free bytes of the repository's disk."""
    text = f"{free / GIGABYTE:.1f} GB free"
    if free >= COMFORTABLE:
        return Finding("ok", text)
    return Finding(
        "problem" if free < NEEDED else "note",
        f"{text}; a run takes up to {NEEDED / GIGABYTE:.0f} GB",
        "dvc gc --workspace, and delete .abn/features, which is made anew when it is needed",
    )


def label_studio_server() -> Finding:
    """Whether ``abn annotate serve`` and its tests have a Label Studio to start."""
    own = studio.home() / "venv/bin/label-studio"
    executable = Path(os.environ.get(studio.EXECUTABLE) or own)
    if os.access(executable, os.X_OK):
        return Finding("ok", f"Label Studio is installed: {executable}")
    return Finding(
        "note",
        f"{executable}: no Label Studio; `abn annotate serve` and its tests need one",
        "make label-studio",
    )


def browser() -> Finding:
    """Whether the tests of pages have a browser."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found:
        return Finding("ok", f"a browser for tests: {found}")
    return Finding(
        "note",
        "no Chromium on the PATH; only tests/browser need one",
        "install it, e.g. with: apt-get install chromium",
    )


def _run(check: Any) -> Finding:
    try:
        finding: Finding = check()
    except AbnError as error:
        finding = Finding("problem", str(error))
    except Exception as error:  # noqa: BLE001 (a broken installation raises anything)
        what = check.__name__.replace("_", " ")
        finding = Finding(
            "problem", f"{what}: {type(error).__name__}: {str(error)[:300]}", REINSTALL
        )
    return finding._replace(text=_public(finding.text), remedy=_public(finding.remedy))


def _public(text: str) -> str:
    """Take passwords and tokens out of every line."""
    key = os.environ.get(client.API_KEY)
    lines = (text.replace(key, "…") if key else text).split("\n")
    return "\n".join(map(server.clean, lines))


def _missing(requirements: Iterable[str]) -> Iterator[str]:
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield str(requirement)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement} (there is {version})"


def _restore(stages: Iterable[str]) -> tuple[int, list[str]]:
    """Restore what can be: how many runs were made, and why others could not be."""
    made, left = 0, []
    for name in stages:
        try:
            made += stage.restore(name)
        except AbnError as error:
            left.append(str(error))
    return made, left


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname, parts.port or 80), SECONDS_TO_CONNECT):
            return True
    except OSError:
        return False
